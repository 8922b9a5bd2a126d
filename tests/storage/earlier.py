"""How a database of today is made one of an earlier version, for tests of what brings it up again."""

from __future__ import annotations

from typing import Final

TO_THE_FIRST: Final = """
ALTER TABLE studies DROP COLUMN trials;
ALTER TABLE studies DROP COLUMN bytes;
DROP INDEX ix_studies_end_time_key;
ALTER TABLE studies DROP COLUMN curve_points;
ALTER TABLE studies DROP COLUMN thin_time;
DROP TABLE audit_records;
DROP TABLE tokens;
DROP TABLE secrets;
ALTER TABLE trials DROP COLUMN until_step;
ALTER TABLE trials DROP COLUMN checkpoint_of;
ALTER TABLE studies DROP COLUMN algorithm_status;
UPDATE wazir_schema SET version_num = 'v0001';
"""
"""Statements that take back every migration but the first, for SQLite and PostgreSQL. A new migration is added here."""
