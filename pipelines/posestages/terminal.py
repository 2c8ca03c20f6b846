"""The console of the commands: what data calls itself is shown as text, never obeyed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment

from posebed.listing import visible
from posestages.surroundings import have_sound_terminal


class _Visible:
    """A renderable whose texts have visible signs in place of control characters."""

    def __init__(self, renderable: RenderableType) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self.renderable, options):
            yield Segment(text if control else visible(text), style, control)


class _ShowsOrders(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(renderable) for renderable in renderables]


have_sound_terminal()
console = Console()
console.push_render_hook(_ShowsOrders())
