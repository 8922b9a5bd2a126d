"""The remote commands of `wazir`: a command parses, refuses impossible combinations in one sentence, and delegates.

It holds no logic that the Python client lacks. Commands that start a process of Wazir itself (`serve`, `controller`,
`run`, `db`) are in `app/`. Needs the extra `wazir[cli]`.
"""
