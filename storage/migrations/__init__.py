"""The Alembic environment of the SQLAlchemy store: how a database gets from one version of the schema to the next.

`versions/` holds the steps. The schema itself is declared beside the store, not here.
"""
