"""One line for each step: a bar while it runs, a tick when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bioxedge.bridging.loop import Report

EVERY = 30.0
"""Seconds between two lines where nobody watches."""


class Steps:
    """Shows steps on a console; on one that is no terminal, plain lines.

    Parameters
    ----------
    console : Console, optional
        Standard error if left out: standard output stays for results.
    every : float, optional
        Seconds between two lines on a console that is no terminal.
    """

    def __init__(self, console: Console | None = None, every: float = EVERY) -> None:
        self.console = console or Console(stderr=True)
        self._every = every

    def found(self, title: str) -> None:
        """Say that a step was already done."""
        self._tick(title, "already done")

    @contextmanager
    def running(self, title: str) -> Iterator[Report]:
        """Show a step while it runs; gives what it reports to."""
        began = time.monotonic()
        if self.console.is_terminal:
            with self._bar(title) as report:
                yield report
        else:
            self._line(f"{title} …")
            yield self._lines(title, began)
        took = time.monotonic() - began
        self._tick(title, f"{took:.1f} s")

    def _tick(self, title: str, how: str) -> None:
        """Say that a step is done."""
        line = f"  [green]✓[/] {escape(title)} [dim]({how})[/]"
        self.console.print(line, highlight=False, soft_wrap=True)

    @contextmanager
    def _bar(self, title: str) -> Iterator[Report]:
        """Show a bar on a terminal."""
        bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        with bars:
            task = bars.add_task(escape(title), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)

    def _lines(self, title: str, began: float) -> Callable[[int, int], None]:
        """Say now and then how far a step is, for a log."""
        said = began
        first: tuple[float, int] | None = None

        def report(done: int, total: int) -> None:
            nonlocal said, first
            now = time.monotonic()
            if first is None:
                first = now, done  # what was done before this run says nothing of its speed
            if now - said < self._every or not total:
                return
            said = now
            left = ""
            if done > first[1]:
                seconds = (now - first[0]) / (done - first[1]) * (total - done)
                left = f", about {_span(seconds)} left"
            self._line(f"  {title}: {done / total:.0%} after {_span(now - began)}{left}")

        return report

    def _line(self, text: str) -> None:
        """Say a plain line."""
        self.console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def _span(seconds: float) -> str:
    """Say a time as people do."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
