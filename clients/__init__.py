"""What talks to the service: the Python client, the trial-side client, and the commands of the CLI (`cli/`).

All of it comes over the wire and needs the base dependencies only, for it lands in every training image; `cli/` needs
the extra `wazir[cli]`. Nothing here imports the service, a store or an algorithm.
"""
