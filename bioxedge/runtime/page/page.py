"""A page for people, and what it shows for programs: several runs may share one."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from bioxedge import __version__
from bioxedge.runtime.events import Event
from bioxedge.runtime.page.access import HOST, PORT, Access, parse_address, read_token
from bioxedge.runtime.page.feed import Feed
from bioxedge.runtime.page.handler import Handler
from bioxedge.runtime.page.metrics import exposition
from bioxedge.runtime.page.server import Server
from bioxedge.runtime.page.state import RunState, told
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.signals import Chunk

FORMAT = 1
"""Of ``/state`` and the events; a field that changes its meaning makes it 2."""

# Seconds between two batches of signal: ten a second, whatever the source does.
BATCH = 0.1
# Seconds between two words about what is counted, at least.
FIGURES = 1.0


def _print(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody may read it; the page is there all the same
        print(text, file=sys.stderr, flush=True)


class Page:
    """Listens while a run has it open, or between ``with`` and its end.

    ::

        with Page(port=8765) as page:
            sinks = [page.sink(), page.sink()]  # one for each run of a site

    Parameters
    ----------
    host : str, optional
        This machine alone by default.
    port : int, optional
        0 is any that is free.
    token : str, optional
        What opens it. Left out, none is needed on this machine, and one is made elsewhere.
    say : callable, optional
        Told the address once it listens; standard error by default.

    Attributes
    ----------
    access : Access
    feed : Feed
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        token: str | None = None,
        *,
        say: Callable[[str], None] = _print,
    ) -> None:
        self.access = Access(host, token)
        self.feed = Feed()
        self._host, self._port, self._say = host, port, say
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._held = 0
        self._runs: dict[str, RunState] = {}

    @property
    def name(self) -> str:
        """What it is, for messages."""
        return f"the page at {self._shown_host}:{self._port}"

    @property
    def _shown_host(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host

    @property
    def address(self) -> str:
        """Where a browser finds it, without the token."""
        port = self._port if self._server is None else self._server.port
        return f"http://{self._shown_host}:{port}/"

    def sink(self) -> PageSink:
        """Give a sink for one more run; runs are told apart by their names."""
        return PageSink(page=self)

    # -- listening --------------------------------------------------------------------------

    def hold(self) -> None:
        """Listen, if nobody made it before.

        Raises
        ------
        SinkError
            The port is taken, or there is no such address.
        """
        with self._lock:
            if not self._held:
                if self.feed.ended:
                    self.feed, self._runs = Feed(), {}
                handler = type("PageHandler", (Handler,), {"page": self})
                self._server = Server(self._host, self._port, handler)
                self._server.start()
                self._say(self._said())
            self._held += 1

    def release(self) -> None:
        """Listen no more, if nobody else wants it to."""
        with self._lock:
            self._held -= 1
            if self._held or self._server is None:
                return
            server, self._server = self._server, None
            self.feed.close()
        server.close()

    def _said(self) -> str:
        text = f"page: {self.address}"
        if self.access.token is None:
            return f"{text} (this machine only)"
        return text + (f"?token={self.access.token}" if self.access.made else " (needs its token)")

    def __enter__(self) -> Page:
        """Listen."""
        self.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self.release()

    # -- runs -------------------------------------------------------------------------------

    def add(self, run: RunState) -> None:
        """Show a run; one of the same name that was there before is forgotten."""
        with self._lock:
            self._runs[run.name] = run
        self.feed.record("run", {"run": run.name, **run.info.to_dict()})

    @property
    def runs(self) -> list[RunState]:
        """Every run, in the order in which they began."""
        with self._lock:
            return list(self._runs.values())

    # -- what is asked ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Give all that is known, as JSON values (docs/page.md)."""
        return {
            "format": FORMAT,
            "bioxedge": __version__,
            "now": time.time(),
            "last_id": f"{self.feed.epoch}-{self.feed.last}",
            "runs": [run.to_dict() for run in self.runs],
        }

    def shown(self) -> list[dict[str, Any]]:
        """Give the signal of every run as it is shown now."""
        return [one for run in self.runs if (one := run.shown()) is not None]

    def metrics(self) -> str:
        """Give the text for Prometheus."""
        server, runs = self._server, self.runs
        with ExitStack() as stack:
            for run in runs:
                stack.enter_context(run.lock)
            return exposition(runs, 0 if server is None else server.clients)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether every run goes on and its label is fresh."""
        runs = {run.name: "stale" if run.stale else "well" for run in self.runs}
        return bool(runs) and "stale" not in runs.values(), {"runs": runs}


class PageSink(BaseSink):
    """A page for one run, or one run of a :class:`Page`.

    Parameters
    ----------
    host, port, token
        See :class:`Page`.
    page : Page, optional
        One that is shared; the others mean nothing then.
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        token: str | None = None,
        *,
        page: Page | None = None,
    ) -> None:
        self.page = Page(host, port, token) if page is None else page
        self.name = self.page.name
        self._state: RunState | None = None
        self._sent = self._counted = 0.0

    def open(self, run: RunInfo) -> None:
        """Listen, and show the run.

        Raises
        ------
        SinkError
            The port is taken, or there is no such address.
        """
        self.page.hold()
        self._state = RunState(run)
        self.page.add(self._state)

    def emit(self, record: Prediction | Event) -> None:
        """Show one prediction or event."""
        state = self._state
        if state is None:
            return
        state.emit(record)
        self._batch(state)
        feed = self.page.feed
        if isinstance(record, Event):
            feed.record("event", {"run": state.name, **told(record)})
            return
        feed.record("prediction", {"run": state.name, **record.to_dict()})
        if feed.looking and time.monotonic() - self._counted >= FIGURES:
            self._counted = time.monotonic()
            feed.batch("figures", {"run": state.name, **state.figures()})

    def signal(self, chunk: Chunk) -> None:
        """Show samples, while somebody looks."""
        state = self._state
        if state is None:
            return
        looked_at = self.page.feed.looking > 0
        state.signal(chunk, looked_at=looked_at)
        if looked_at and time.monotonic() - self._sent >= BATCH:
            self._batch(state)

    def _batch(self, state: RunState) -> None:
        """Send the columns that are new."""
        batch = state.batch()
        if batch is not None:
            self._sent = time.monotonic()
            self.page.feed.batch("signal", batch)

    def close(self) -> None:
        """Show that the run has ended; the page goes with the last one."""
        state, self._state = self._state, None
        if state is None:
            return
        state.end()
        self.page.feed.record("ended", {"run": state.name})
        self.page.release()


def make_page(address: str, token: Path | None = None) -> PageSink:
    """Make a page from what the command line says.

    Parameters
    ----------
    address : str
        ``[HOST:]PORT``.
    token : Path, optional
        A file whose first line is the token; the environment's ``BIOXEDGE_PAGE_TOKEN`` if left
        out.

    Raises
    ------
    SinkError
        An address or a token that cannot be used.
    """
    host, port = parse_address(address)
    return PageSink(host, port, read_token(token))
