"""How long anything between a server and PostgreSQL may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """All in seconds. docs/databases.md says what each protects against."""

    connect: float = 3.0
    """To make a connection, from the first packet to the end of the authentication. psycopg takes at least 2."""

    answer: float = 8.0
    """Without a byte of the answer to a statement. Then the connection is given up, whatever the network does. More
    than `statement`, so that a server that works ends its statement itself."""

    statement: float = 7.0
    """For one statement, kept by PostgreSQL."""

    long_statement: float = 600.0
    """The same for the deletion of a study with all it has, and for reading all that a database holds."""

    network: float = 8.0
    """Until the kernel, on either side, gives up a connection whose other end acknowledges nothing."""

    idle: float = 10.0
    """For an open transaction in which nothing happens, and for a session with duties whose holder does not beat: then
    PostgreSQL ends the session. More than `held`."""

    lock: float = 10.0
    """For a unit that has met a lock."""

    lock_turn: float = 5.0
    """For one try to get a lock. Less than `statement`."""

    pulse: float = 1.0
    """Between two signs of life: of the connection that listens, and of the session with duties."""

    silence: float = 1.8
    """Until an answer to a sign of life. With `pulse`, and some for looking, it is less than 3."""

    held: float = 8.0
    """After the last sign of life that was answered, for which a duty is taken to be held."""

    retry: float = 1.0
    """Between two tries to reach a database that is away; the first ones follow faster."""


STANDARD = Limits()
