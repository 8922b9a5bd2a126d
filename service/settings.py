"""What the study service can be told, read once by the entry point and passed down."""

from __future__ import annotations

from dataclasses import dataclass, field

from .auditing.settings import AuditSettings
from .connections import ConnectionSettings
from .quotas import QuotaSettings
from .security.limits import LimitSettings
from .security.tls import TlsFiles


@dataclass(frozen=True)
class ServiceSettings:
    """All times in seconds, all sizes in bytes."""

    default_lease: float = 60.0
    """How long heartbeats of an ask/tell attempt may stay away where its holder names no lease."""

    shortest_lease: float = 1.0
    """A shorter one would end trials at every hiccup of the network."""

    longest_lease: float = 86_400.0
    """A longer one would keep a dead worker's trial for more than a day."""

    duty_interval: float = 0.5
    """Between two looks at leases and budgets. Small beside any lease, and a look costs microseconds."""

    neighbour_patience: float = 60.0
    """How long attempts whose signs of life another server was given do not end though nothing is heard of that server:
    it may be paused, or cut off from the database. Longer than a machine is paused to be moved."""

    drain: float = 10.0
    """How long calls in flight may go on when the server is told to end."""

    max_request: int = 4 * 1024 * 1024
    """Largest request: a report of 10,000 values with the longest names takes 3 MiB. It is received before its token is
    looked at, and decoded on the event loop."""

    max_response: int = 64 * 1024 * 1024
    """Largest response. Pages end at 4 MiB, so only a single trial with a thousand attempts comes near."""

    default_deadline: float = 10.0
    """For a suggestion whose caller set no deadline."""

    answer_margin: float = 1.0
    """How long before its caller's deadline a quasi-random point stands in for an algorithm that is not done; a fifth
    of the deadline where that is less. It leaves time to commit and to answer."""

    compute_workers: int = 0
    """Processes that compute suggestions of costly algorithms, started as they are needed. 0: one for each core but
    one, at least one."""

    compute_patience: float = 60.0
    """How long a computation that nobody waits for may go on, and its outcome is kept for those who come next. Later
    the history has usually moved on so far that another one is better."""

    compute_limit: float = 600.0
    """How long a computation may go on though callers wait. One that takes longer is hardly ever going to end."""

    turn_interval: float = 1.0
    """How often a server looks whether another one, which computes for a study, is done without having told."""

    answer_lifetime: float = 24 * 3600.0
    """How long the first answer to a request id is kept."""

    keep_measurements: float | None = None
    """How long after a study's end its curves are kept whole; None: forever."""

    keep_points: int = 200
    """At most so many points of a curve are kept after that. A screen shows 60."""

    upkeep_interval: float = 60.0
    """Between two looks for rows to remove. Nobody waits for it; a study that was deleted here is a reason to look at
    once."""

    studies_in_memory: int = 256
    """Histories and curves of so many studies are kept in memory; others are read again when asked about."""

    authenticate: bool = False
    """Whether callers must show a token. Over a Unix socket none is asked for: its file lets in the right user only."""

    server_key: bytes | None = field(default=None, repr=False)
    """What attempts' tokens are made from, the same for all servers of a database, 32 bytes or more. None: the
    database keeps one, which anybody who reads the database can read too."""

    tls: TlsFiles | None = None
    """TLS of every address but Unix sockets; None: none."""

    limits: LimitSettings = LimitSettings()
    """How much one caller may ask for."""

    audit: AuditSettings = AuditSettings()
    """How long it is kept who did what."""

    health: str = ""
    """HOST:PORT where health alone is answered for, to everybody and without TLS, for probes that know nothing else;
    empty: nowhere but at the other addresses."""

    connections: ConnectionSettings = ConnectionSettings()
    """How many there may be, and what each may do before anybody is known."""

    quotas: QuotaSettings = QuotaSettings()
    """How much the studies of one owner may hold."""

    metrics: str = ""
    """HOST:PORT where Prometheus reads figures over HTTP, without authentication; empty: nowhere."""

    token_max_age: float = 2.0
    """How old the knowledge about a token may be: so long a revoked one goes on working. Less means more reads."""
