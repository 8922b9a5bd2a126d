"""How a database is named: nothing that looks like a URL is a path, and no password is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wazir.domain.database import database_of, mask_password, read_database, shown, without_password
from wazir.domain.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (".wazir/wazir.db", Path(".wazir/wazir.db")),
        ("/data/w.db", Path("/data/w.db")),
        (Path("a:/b"), Path("a:/b")),
        ("./mysql://x", Path("./mysql://x")),
        ("run:1.db", Path("run:1.db")),
        ("C:/w.db", Path("C:/w.db")),
        ("sqlite:///w.db", Path("w.db")),
        ("sqlite:////data/w%20x.db", Path("/data/w x.db")),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgres://u:p@h:5433/d?sslmode=require", "postgres://u:p@h:5433/d?sslmode=require"),
        ("postgresql:///d", "postgresql:///d"),
    ],
)
def test_a_path_or_a_url(text: str | Path, meant: Path | str) -> None:
    assert read_database(text) == meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mysql://u:geheim@h/d", '--db = "mysql://u:***@h/d": Wazir has no database of the kind "mysql"'),
        ("postgresql:/u:geheim@h/d", '--db = "postgresql:/u:***@h/d": must be postgresql://USER@HOST/DATABASE'),
        ("postgresql:u:geheim@h/d", 'postgresql:u:***@h/d": must be postgresql://'),
        ("POSTGRESQL://u:geheim@h", "names no database"),
        ("postgresql://u:geheim@h:port/d", "must be postgresql://USER@HOST/DATABASE. In a password write %40"),
        ("postgresql://u:geheim@[h/d", "must be postgresql://USER@HOST/DATABASE"),
        ("postgresql://u:geh/eim@h/d", "In a password write %40 for @, %2F for /"),
        ("postgresql://u:geh@eim@h/d", "with one @. In a password write %40 for @"),
        ("redis://h/0?password=geheim&x=1", "redis://h/0?password=***&x=1"),
        ("sqlite://", "must be sqlite:///FILE. Or write the path alone"),
        ("sqlite:///w.db?mode=ro", "must be sqlite:///FILE"),
        ("sqlite://w.db", "must be sqlite:///FILE"),
        ("", "must be a path or a URL"),
    ],
)  # fmt: skip
def test_what_only_resembles_one_is_refused_without_its_password(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_database(text)
    assert words in str(refused.value)
    assert not re.search("geh|eim", str(refused.value))


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:p@ss/w:rd@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?sslpassword=x&a=b", "postgresql://u@h/d?sslpassword=***&a=b"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
    ],
)
def test_a_password_is_masked_wherever_it_is(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_what_is_shown_has_the_usual_scheme() -> None:
    assert shown("postgresql+psycopg://u:p@h/d") == "postgresql://u:***@h/d"
    assert shown(Path("w.db")) == "w.db"


def test_every_spelling_of_a_url_is_one_database() -> None:
    spellings = [
        "postgresql://u:one@Host:5432/d?b=2&a=1",
        "postgres://u@host/d?a=1&b=2&password=two",
        "postgresql+psycopg://u:three@host/d?a=1&b=2",
    ]
    assert {without_password(url)[0] for url in spellings} == {"postgresql://u@host/d?a=1&b=2"}
    assert [without_password(url)[1] for url in spellings] == ["one", "two", "three"]
    assert without_password("postgresql://u@[::1]:6/d")[0] == "postgresql://u@[::1]:6/d"


def test_the_environment_names_one_and_the_folder_another() -> None:
    assert database_of({"WAZIR_DB": "postgresql://h/d"}) == "postgresql://h/d"
    assert database_of({"WAZIR_DB": ""}) == database_of({}) == Path(".wazir/wazir.db")
    with pytest.raises(InvalidArgument, match="WAZIR_DB"):
        database_of({"WAZIR_DB": "oracle://h/d"})
