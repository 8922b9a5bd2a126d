"""How a database is named: a file of SQLite, as a path, or the URL of a PostgreSQL, as text.

What looks like a URL is never taken for a path, and no password in it is ever shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from .errors import InvalidArgument

Database = Path | str
"""A file of SQLite, or a URL of PostgreSQL as `read_database` has checked it."""

DEFAULT_DATABASE = Path(".wazir") / "wazir.db"
"""Relative to the working folder."""

DATABASE_VARIABLE = "WAZIR_DB"

POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
"""Schemes that mean PostgreSQL."""

POSTGRESQL_PORT = 5432

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>/{1,3})?(?P<rest>.*)", re.DOTALL)
_LIKE_POSTGRESQL = "postgresql://USER@HOST/DATABASE"
_LIKE_SQLITE = "sqlite:///FILE"


def read_database(text: str | os.PathLike[str], field: str = "--db") -> Database:
    """The database that `text` names: a path, `sqlite:///FILE` or `postgresql://USER@HOST:PORT/DATABASE`.

    As with SQLAlchemy and Optuna, `sqlite:///runs.db` is a file in the working folder and `sqlite:////data/runs.db` has
    an absolute path. Raises InvalidArgument, with any password masked, for other schemes and for what only resembles a
    URL, such as `postgresql:/host/name`.
    """
    if not isinstance(text, str):
        return Path(text)
    found = _URL.fullmatch(text)
    if found is None or (found["slashes"] is None and found["scheme"].lower() not in (*POSTGRESQL, "sqlite")):
        return _file(text, field)

    scheme, shown = found["scheme"].lower(), mask_password(text)
    if scheme == "sqlite":
        if found["slashes"] != "///" or not found["rest"] or "?" in found["rest"]:
            raise InvalidArgument(field, shown, f"must be {_LIKE_SQLITE}", "Or write the path alone")
        return _file(unquote(found["rest"]), field)
    if scheme not in POSTGRESQL:
        raise InvalidArgument(
            field,
            shown,
            f'Wazir has no database of the kind "{scheme}"',
            f"Write {_LIKE_POSTGRESQL}, {_LIKE_SQLITE}, or the path of a SQLite file",
        )
    if found["slashes"] not in ("//", "///"):
        raise InvalidArgument(field, shown, f"must be {_LIKE_POSTGRESQL}")

    encoded = "In a password write %40 for @, %2F for / and %25 for %"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # Not the words of the error: they quote what may be a password.
        raise InvalidArgument(field, shown, f"must be {_LIKE_POSTGRESQL}", encoded) from None

    if parts.netloc.count("@") > 1:
        raise InvalidArgument(field, shown, f"must be {_LIKE_POSTGRESQL}, with one @", encoded)
    if not parts.path.strip("/") or port == 0:
        raise InvalidArgument(field, shown, f"names no database: it must be {_LIKE_POSTGRESQL}")
    return text


def database_of(environment: Mapping[str, str]) -> Database:
    """The database that WAZIR_DB names, or that of the working folder. Raises InvalidArgument."""
    return read_database(environment.get(DATABASE_VARIABLE) or DEFAULT_DATABASE, DATABASE_VARIABLE)


def shown(database: Database) -> str:
    """For people and logs: without a password."""
    return str(database) if isinstance(database, Path) else mask_password(_plain_scheme(database))


def mask_password(text: str) -> str:
    """`text` with the password of a URL in it replaced by `***`, also if the URL is malformed."""
    # To the last "@": a password that is not percent-encoded may hold one.
    text = re.sub(r"(?s)^([A-Za-z][A-Za-z0-9+.-]*:/*[^:/?#@]*):.*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&]\w*password=)[^&#]*", r"\1***", text)


def without_password(url: str) -> tuple[str, str | None]:
    """The URL of a PostgreSQL without its password, the same for all spellings of one, and the password."""
    parts = urlsplit(_plain_scheme(url))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", None)
    if parts.password is not None:
        password = unquote(parts.password)

    user = f"{parts.username}@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = "" if parts.port in (None, POSTGRESQL_PORT) else f":{parts.port}"
    return urlunsplit(("postgresql", f"{user}{host}{port}", parts.path, urlencode(sorted(query.items())), "")), password


def _plain_scheme(url: str) -> str:
    return "postgresql:" + url.partition(":")[2]


def _file(text: str, field: str) -> Path:
    if not text or "\0" in text:
        raise InvalidArgument(field, text, "must be a path or a URL")
    return Path(text)
