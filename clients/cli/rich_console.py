"""The console for tables and styled text: rich's own, which lets no control character of others pass.

A module of its own because loading rich takes longer than most commands work, and a refusal needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ...domain.visible import on_one_line, visible


class Terminal(Console):
    """A console that shows control characters escaped, in whatever is printed through it. Its own colours and cursor
    movements are not affected."""

    def print(self, *objects: Any, **how: Any) -> None:
        """A table that does not go to a terminal is a line for each row, its cells separated by a tab."""
        if len(objects) == 1 and isinstance(objects[0], Table) and not self.is_terminal:
            # Written past rich, which would make blanks of the tabs.
            self.file.write(tab_separated(objects[0]))
        else:
            super().print(*objects, **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, str):
            renderable = visible(renderable)
        elif isinstance(renderable, Text):
            # Before it is folded: an escape is wider than its character.
            renderable = visible_text(renderable)

        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible(text), **how)


def tab_separated(table: Table) -> str:
    """The headings, if it has any, and the rows of a table. No cell has a tab or a line feed in it, and none is cut or
    padded."""
    columns = [list(column.cells) for column in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    if table.show_header:
        rows.insert(0, [column.header for column in table.columns])
    return "".join("\t".join(map(_cell_text, row)) + "\n" for row in rows)


def _cell_text(cell: object) -> str:
    return on_one_line(cell.plain if isinstance(cell, Text) else str(cell))


def visible_text(text: Text) -> Text:
    """`text` with its control characters escaped, each in the style that it had."""
    if visible(text.plain) == text.plain:
        return text

    shown = text.blank_copy()
    for character in text.divide(range(1, len(text.plain))):
        escaped = Text(visible(character.plain), style=character.style)
        escaped.spans = [span._replace(start=0, end=len(escaped.plain)) for span in character.spans]
        shown.append_text(escaped)
    return shown
