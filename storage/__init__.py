"""Where studies live: the store interface with its promises, the in-memory store, the SQLAlchemy store, migrations.

Stores speak domain types, name their transaction boundaries and keep the change feed. They have never heard of gRPC or
of an algorithm, and they decide nothing: which move of a trial is allowed is the domain's affair, asked before a write.
"""
