"""A database gets the schema that the code declares, in one piece, and only where something is missing."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from wazir.domain.errors import FailedPrecondition
from wazir.storage import migration, revision, schema
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Answer

from ..contract.store import insert, new_study
from .earlier import TO_THE_FIRST


def declared(connection: sqlite3.Connection) -> dict[str, str]:
    """The statement that made each table and index, without the spaces that a column added later leaves elsewhere."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: re.sub(r" ?([(),]) ?", r"\1", " ".join(sql.split()))
        for name, sql in rows
        if name not in (revision.VERSION_TABLE, "sqlite_sequence")
    }


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "wazir.db"
    open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def test_the_migrations_make_the_tables_that_the_schema_declares(migrated: sqlite3.Connection) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        assert declared(migrated) == declared(cast(sqlite3.Connection, connection.connection.dbapi_connection))


def test_a_new_database_is_at_the_newest_revision(migrated: sqlite3.Connection) -> None:
    assert migrated.execute(f"SELECT version_num FROM {revision.VERSION_TABLE}").fetchall() == [(revision.REVISION,)]


def test_the_newest_revision_is_that_of_the_last_step() -> None:
    config = Config()
    config.set_main_option("script_location", str(migration.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [revision.REVISION]


def test_the_file_has_a_log_written_ahead(migrated: sqlite3.Connection) -> None:
    assert migrated.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_migration_that_fails_leaves_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wazir.db"
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text((migration.SCRIPTS / "env.py").read_text())
    (scripts / "versions" / "v0001.py").write_text(
        "from alembic import op\n"
        "revision, down_revision = 'v0001', None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE studies (key INTEGER)')\n"
        "    raise RuntimeError('no')\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr(migration, "SCRIPTS", scripts)
        with pytest.raises(RuntimeError, match=r"^no$"):
            open_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
    open_sqlite(path).close()


def test_two_that_make_the_same_database_at_once_both_get_it(tmp_path: Path) -> None:
    def make(number: int) -> None:
        open_sqlite(tmp_path / f"{number // 4}.db").close()

    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(make, number) for number in range(24)]:
            made.result()


def test_a_database_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    open_sqlite(path).close()
    code = (
        "import sys; from wazir.storage.sqlite import open_sqlite; open_sqlite(sys.argv[1]).close(); "
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_migration_that_fails_says_why_and_leaves_the_database(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE wazir_schema SET version_num = 'v0002'")
        connection.commit()
    with pytest.raises(FailedPrecondition, match=r"could not be brought from schema v0002 to .*duplicate column"):
        open_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM wazir_schema").fetchone() == ("v0002",)


def test_a_database_of_an_earlier_version_is_brought_up_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TO_THE_FIRST)
        connection.execute("INSERT INTO answers VALUES ('default', 'r', 'SuggestTrials', 'p', '[1]', 1.5)")
        connection.commit()
    store = open_sqlite(path)
    try:
        assert store.read(lambda view: view.answer("default", "r")) == Answer("SuggestTrials", "p", "[1]", 1.5)
        assert store.read(lambda view: view.tokens()) == []
    finally:
        store.close()


def earlier(path: Path) -> Path:
    """A database of the first version with a study, closed."""
    store = open_sqlite(path)
    insert(store, new_study())
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TO_THE_FIRST)
    return path


def revision_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM wazir_schema").fetchone()[0])


def test_a_file_is_kept_as_it_was_before_it_is_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = earlier(tmp_path / "wazir.db")
    open_sqlite(path).close()
    copy = tmp_path / f"wazir.db.before-{revision.REVISION}"
    assert (revision_of(path), revision_of(copy)) == (revision.REVISION, "v0001")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == sorted([path, copy])
    assert f"is kept as it was in {copy}" in caplog.text


def test_no_copy_is_kept_of_a_file_without_studies(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TO_THE_FIRST)
    open_sqlite(path).close()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_which_no_copy_can_be_kept_is_not_changed(tmp_path: Path) -> None:
    path = earlier(tmp_path / "wazir.db")
    # Where the copy would be written, as a full disk would refuse it.
    (tmp_path / f"wazir.db.before-{revision.REVISION}.part").symlink_to("/dev/full")
    with pytest.raises(FailedPrecondition, match=r"left as it is, because no copy.*Make room"):
        open_sqlite(path)
    assert revision_of(path) == "v0001"
