"""Translation between `wazir.v1` messages and the domain, one file per resource, and the one table error <-> status.

The service, the clients and out-of-process algorithms all come through here, so a value has one spelling on the wire.
Nothing here opens a channel, reads a store or decides anything: what cannot be translated raises the domain's error.
"""
