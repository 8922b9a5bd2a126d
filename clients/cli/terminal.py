"""The one door to standard output and standard error: no control character of others passes it.

`console()` in `output.py` makes a `Terminal` (`rich_console.py`) for tables and styled text; `say` writes plain lines,
errors among them; `ShownLog` is for the logs of trials, whose colours are welcome.
"""

from __future__ import annotations

import codecs
import io
import re
import sys

import click

from ...domain.errors import MISSING, InvalidArgument
from ...domain.visible import escape, visible

_SPELLED = {"·": "-", "…": "...", "±": "+-", "×": "x", "—": "-"}
"""Wazir's own typography, for streams whose encoding lacks it."""


def spell_out(stream: object) -> None:
    """Lets a stream whose encoding is not Unicode write every text: what it lacks comes as an escape."""
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="wazir")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLED.get(character) or escape(character) for character in lacking), error.end


codecs.register_error("wazir", _spelled)


def say(words: object, *, err: bool = False) -> None:
    """Writes a line of plain text."""
    spell_out(sys.stderr if err else sys.stdout)
    click.echo(visible(str(words)), err=err)


def confirm(question: str) -> None:
    """Asks a yes-or-no question, and ends the command if the answer is no. The command has an option --yes.

    Raises InvalidArgument if nobody is there to answer.
    """
    try:
        agreed = click.confirm(visible(question))
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        click.echo(err=True)  # ends the line of the question
        raise InvalidArgument(
            "--yes", MISSING, "is missing, and nobody is there to be asked", "Give -y to do it without a question"
        ) from None
    if not agreed:
        raise click.Abort


_COLOUR = "\x1b\\[[0-9;:]*m"
"""Select graphic rendition (ECMA-48, section 8.3.117)."""

_RESET = "\x1b[0m"

_BEGUN = re.compile("\x1b(\\[[0-9;:]{0,64})?\\Z")
"""What may become a colour with the next chunk."""


class ShownLog:
    """A log, chunk by chunk, as a terminal may show it: colours pass, every other control character is escaped, and a
    carriage return, by which a progress bar overwrites itself, begins a new line.

    Bytes that are not UTF-8 are shown as `\\x9b`, too.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._held = ""
        self._coloured = False

    def show(self, chunk: bytes, *, final: bool = False) -> str:
        """The text to write for `chunk`. With `final` also what was held back, and the end of its colours."""
        text = self._held + self._decoder.decode(chunk, final)

        begun = None if final else _BEGUN.search(text)
        self._held = begun[0] if begun else ""
        if begun:
            text = text[: begun.start()]
        if not final and text.endswith("\r"):
            # The line feed after it may come with the next chunk.
            text, self._held = text[:-1], "\r" + self._held

        text = re.sub("\r+\n?", "\n", text)
        parts = re.split(f"({_COLOUR})", text)
        self._coloured = self._coloured or len(parts) > 1
        shown = "".join(part if index % 2 else visible(part) for index, part in enumerate(parts))
        return shown + _RESET if final and self._coloured else shown
