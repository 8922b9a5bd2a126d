"""Write `docs/limits.md`, or compare it with what is checked in (`--check`).

The page is made from the constants that the code goes by, so it cannot say anything else than what holds.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from wazir.clients.study_file_reader import MAX_BYTES
from wazir.domain import constraint, limits, metric, names, settings, space, totals
from wazir.domain.study import MAX_LABELS
from wazir.service import metadata, optimal, pages, progress, requests, servicer
from wazir.service.connections import MOST, ConnectionSettings
from wazir.service.handing_out import MAX_COUNT
from wazir.service.security.limits import LimitSettings
from wazir.service.settings import ServiceSettings
from wazir.storage.store import AUDIT_SCAN

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limits.md"

HEAD = """# Sizes and limits

Everything that a caller can make large has a limit. Beyond it a call is refused before anything is written, in words
that name the field, its value and the limit; what comes at an attempt's end, where nobody could say it again, is cut
and says so. Studies that were stored when limits were wider are read as they are.

This page is made from the code (`python -m tools.limits`), and a test compares the two.
"""

SPEC = """Counted before anything of it is parsed; checking one takes a second at most, beside other calls."""

CALLS = """Lists go on with `next_page_token`, watches with further frames. A trial alone is sent however large."""

CALLERS = """Refused with RESOURCE_EXHAUSTED and the time to wait, which Wazir's clients keep to. Each server counts by
itself; a Unix socket has no such limits. Owners also take turns at computing: each gets the same time, however many
studies it has."""

CONNECTED = """gRPC closes what is beyond. It has no limit for each host: where strangers reach a service, let a proxy
or the firewall count, for instance with `ct count` of nftables, or `maxconn` and `stick-table` of HAProxy in TCP
mode."""

OWNERS = """None by default. `wazir serve --quota studies=1000,trials=1000000,bytes=10Gi` sets them for every owner,
`--quota vision:trials=5000000` for one; `wazir db usage` shows what is used. Give all servers of a database the same.
Measurements count 100 bytes a value, text a byte a character. Without room nothing is added; what waits is still handed
out, and training code keeps its reports until there is room
([0092](decisions/0092-quotas-are-sums-of-studies.md))."""

AUDIT = """Beyond them, like calls share a record ([0095](decisions/0095-audit-records.md)). `wazir serve --audit-keep`
and `--audit-keep-at-most` set how long records are kept."""

SETTINGS, DEFAULT, CONNECTIONS = ServiceSettings(), LimitSettings(), ConnectionSettings()

Row = tuple[str, str]


def sections() -> Iterator[tuple[str, str, list[Row]]]:
    yield "A specification", SPEC, spec()
    yield "A study, a trial, an attempt", "", kept()
    yield "Calls", CALLS, calls()
    yield "Callers", CALLERS, callers()
    yield "Connections", CONNECTED, connections()
    yield "Quotas of owners", OWNERS, []
    yield "Audit records", AUDIT, audit()


def spec() -> list[Row]:
    return [
        ("whole specification", size(limits.MAX_SPEC_BYTES)),
        ("study file", size(MAX_BYTES)),
        ("objectives", number(limits.MAX_OBJECTIVES)),
        ("safety metrics", number(limits.MAX_SAFETY_METRICS)),
        ("parameters", number(space.MAX_PARAMETERS)),
        ("name of a parameter", characters(space.MAX_NAME_LENGTH)),
        ("values of one parameter", number(space.MAX_VALUES)),
        ("values that all parameters and conditions list", number(limits.MAX_LISTED)),
        ("conditions (`when`)", number(limits.MAX_CONDITIONS)),
        ("comparisons to check the conditions", number(limits.MAX_COMPARISONS)),
        ("constraints", number(limits.MAX_CONSTRAINTS)),
        ("one constraint", characters(limits.MAX_CONSTRAINT_LENGTH)),
        ("all constraints together", characters(limits.MAX_CONSTRAINTS_LENGTH)),
        ("levels of nesting in a constraint", number(constraint.MAX_DEPTH)),
        ("settings of an algorithm or a rule, as JSON", characters(settings.MAX_LENGTH)),
        ("labels", number(MAX_LABELS)),
    ]


def kept() -> list[Row]:
    return [
        ("id of a study", characters(names.MAX_ID_LENGTH)),
        ("metadata of a study, keys and values together", size(totals.MAX_STUDY_METADATA)),
        ("metadata of a trial, keys and values together", size(totals.MAX_TRIAL_METADATA)),
        ("one value of metadata", size(totals.MAX_METADATA_VALUE)),
        ("keys of metadata", number(totals.MAX_METADATA_KEYS)),
        ("labels of a trial", number(metadata.MAX_LABELS)),
        ("attempts of a trial", number(totals.MAX_ATTEMPTS)),
        ("log kept of an attempt (cut)", characters(totals.MAX_LOG_TAIL)),
        ("message, reason, the scheduler's words (cut)", characters(totals.MAX_MESSAGE)),
        ("devices of an attempt", f"{totals.MAX_DEVICES:,}, together {characters(totals.MAX_DEVICES_LENGTH)}"),
        ("a path, a node's name", characters(totals.MAX_PATH)),
        ("name of a metric", characters(metric.MAX_NAME_LENGTH)),
        ("metrics that a trial ends with", number(totals.MAX_FINAL_METRICS)),
    ]


def calls() -> list[Row]:
    return [
        ("request", size(SETTINGS.max_request)),
        ("response", size(SETTINGS.max_response)),
        ("page of a list, frame of a watch, trials of a suggestion: ends after", size(pages.PAGE_BYTES)),
        ("items of a page", number(servicer.MAX_PAGE)),
        ("steps of a page of measurements", number(servicer.MAX_STEPS_PAGE)),
        ("values in one report", number(totals.MAX_METRICS)),
        ("trials asked for at once", number(MAX_COUNT)),
        ("best trials", number(optimal.MAX_OPTIMAL)),
        ("trials of a study's progress", f"{progress.MAX_TRIALS:,}, {progress.MAX_POINTS} points of a curve"),
        ("states, labels or fields of a filter or a mask", number(servicer.MAX_FILTERS)),
        ("`request_id`", f"{characters(requests.MAX_LENGTH)}, kept for {SETTINGS.answer_lifetime / 3600:g} h"),
        ("a computation", f"{SETTINGS.compute_limit:g} s, then its process is killed"),
    ]


def callers() -> list[Row]:
    owner = DEFAULT.owner
    return [
        ("calls of a caller", f"{DEFAULT.calls.rate:,} a second, {DEFAULT.calls.burst:,} at once"),
        ("trials asked for by a caller", f"{DEFAULT.points.rate:,} a second, {DEFAULT.points.burst:,} at once"),
        ("watches of a caller", number(DEFAULT.streams)),
        ("calls of all callers of an owner", f"{owner.calls.rate:,} a second, {owner.calls.burst:,} at once"),
        (
            "trials asked for by all callers of an owner",
            f"{owner.points.rate:,} a second, {owner.points.burst:,} at once",
        ),
        ("watches of all callers of an owner", number(owner.streams)),
        ("unknown tokens from a host", f"{DEFAULT.strangers.rate:,} a second, {DEFAULT.strangers.burst:,} at once"),
    ]


def connections() -> list[Row]:
    return [
        ("connections at each address", f"{MOST:,}, or as many as open files allow"),
        ("calls at a time on a connection", number(CONNECTIONS.calls)),
        ("until a connection has said what it is", f"{CONNECTIONS.handshake:g} s"),
        ("headers of a call", size(CONNECTIONS.metadata)),
        ("received of a call before its token is known", "about 64 KiB, and none of it is decoded"),
    ]


def audit() -> list[Row]:
    kept = SETTINGS.audit
    return [
        ("age", f"{kept.keep / 86_400:g} days"),
        ("records", number(kept.keep_at_most)),
        ("records of like reports of one training", f"one, and one each {kept.reports / 3_600:g} h"),
        ("records of like refused calls of one caller", f"one, and one each {kept.refusals:g} s"),
        ("kinds of refused calls of one caller that are told apart", f"{kept.kinds} in {kept.refusals:g} s"),
        ("records that wait for a database that is away", number(kept.waiting)),
        ("records that one page of a list looks at", number(AUDIT_SCAN)),
    ]


def size(count: int) -> str:
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if count % factor == 0:
            return f"{count // factor} {unit}"
    return f"{count:,} bytes"


def number(count: int) -> str:
    return f"{count:,}"


def characters(count: int) -> str:
    return f"{count:,} characters"


def page() -> str:
    parts = [HEAD]
    for title, words, rows in sections():
        parts.append(f"\n## {title}\n")
        if words:
            parts.append(f"\n{words}\n")
        if rows:
            parts.append("\n| what | most |\n|---|---|\n" + "".join(f"| {what} | {most} |\n" for what, most in rows))
    return "".join(parts)


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    sys.stderr.write("docs/limits.md is not what the code says: run `python -m tools.limits`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
