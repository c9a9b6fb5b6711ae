"""One line for each step: a bar while it runs, a tick when it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bioxedge.bridging.loop import Report


class Steps:
    """Shows steps on a console; on one that is no terminal, one plain line for each.

    Parameters
    ----------
    console : Console, optional
        Standard error if left out: standard output stays for results.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def found(self, title: str) -> None:
        """Say that a step was already done."""
        self.console.print(f"  [green]✓[/] {title} [dim](already done)[/]", highlight=False)

    @contextmanager
    def running(self, title: str) -> Iterator[Report]:
        """Show a step while it runs; gives what it reports to."""
        began = time.monotonic()
        bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,  # a log gets the line below, no blank ones
        )
        with bars:
            task = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
        took = time.monotonic() - began
        self.console.print(f"  [green]✓[/] {title} [dim]({took:.1f} s)[/]", highlight=False)
