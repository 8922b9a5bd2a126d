"""The study service: use cases, one family a file, the thin gRPC servicers in front of them, and the settings.

Decisions live in the use cases, which have never heard of gRPC; a servicer decodes, calls once and encodes. The service
starts no pod and no process but the workers in `compute/`, and it knows algorithms only through the registry and stores
only through their interface.
"""
