"""The version of the schema, for those too who load nothing of SQLAlchemy."""

from __future__ import annotations

REVISION = "v0007"
"""The newest step in `migrations/versions/`."""

VERSION_TABLE = "wazir_schema"
"""Of our own, because other programs, Optuna among them, keep an `alembic_version`."""
