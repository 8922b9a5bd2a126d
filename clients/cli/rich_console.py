"""The console for tables and styled text: rich's own, which lets no control character of others pass.

A module of its own because loading rich takes longer than most commands work, and a refusal needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ...domain.visible import visible


class Terminal(Console):
    """A console that shows control characters escaped, in whatever is printed through it. Its own colours and cursor
    movements are not affected."""

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
