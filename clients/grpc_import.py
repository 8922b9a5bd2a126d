"""Imports grpc so that it keeps its own notes to itself.

If GRPC_VERBOSITY is not set when grpc is first imported, each restart of a service puts a line about its transport
between those of the training. If the variable is set, that holds; otherwise it is unset again afterwards, so that
nothing that the process starts inherits it.
"""

from __future__ import annotations

import os

_VARIABLE = "GRPC_VERBOSITY"

if _VARIABLE in os.environ:
    import grpc as grpc
else:
    os.environ[_VARIABLE] = "ERROR"
    try:
        import grpc as grpc
    finally:
        del os.environ[_VARIABLE]
