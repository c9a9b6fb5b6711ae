"""What a slow or dead sink of each kind does to windows and to memory: nothing, it is hoped.

``python benchmarks/sinks.py [--seconds 20] [--turns 2] [--out FOLDER]`` (about seven minutes)

Each way is the same run in real time, 16 windows a second, in a process of its own, in turns with
one that has no such sink. Delay is a window's ``latency``, and the time that the run's own thread
is held up by giving a record out; memory is what 100,000 events add to a process whose sink takes
none of them.
Kinds whose library or broker is missing are left out by name.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bioxedge import Bundle, Stream
from bioxedge.runtime import ReplaySource, loop, make_sink, record
from bioxedge.runtime.desk import Desk
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks import BaseSink, RunInfo, SinkRunner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from broker import MOSQUITTO, Broker, free_port
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded

ROOT = Path(__file__).resolve().parent.parent
AIM = 1.0  # ms that the p99 of windows may be later
EVENTS = 100_000
WAYS = (
    "none", "jsonl, a pipe that nobody reads", "terminal, the same", "mqtt, broker stopped",
    "mqtt, no broker", "lsl, a client that does not read", "page, a client that does not read",
    "recording, a disk that takes 1 s a call", "own sink that sleeps", "own sink that raises",
)  # fmt: skip


class Live(ReplaySource):
    """A recording that waits for nobody."""

    def __init__(self, *given: object, **options: object) -> None:
        super().__init__(*given, **options)
        self.waits = False


class Sleeps(BaseSink):
    """Takes ten seconds a record."""

    name = "sleeps"

    def emit(self, record: object) -> None:
        """Sleep."""
        time.sleep(10.0)


class Raises(BaseSink):
    """Fails at the first record."""

    name = "raises"

    def emit(self, record: object) -> None:
        """Fail."""
        raise ValueError("no more")


class Counts(BaseSink):
    """Keeps the latencies."""

    name = "counts"

    def __init__(self) -> None:
        self.latencies: list[float] = []

    def emit(self, record: object) -> None:
        """Keep one."""
        if not isinstance(record, Event):
            self.latencies.append(record.latency)


class SlowWriter(record.Writer):
    """A writer to a disk that takes a second for everything."""

    def write(self, reads: object) -> None:
        """Take a second more."""
        time.sleep(1.0)
        super().write(reads)

    def sync(self) -> None:
        """Take a second more."""
        time.sleep(1.0)
        super().sync()


def pipe(folder: Path) -> Path:
    """A pipe that is open at its other end and never read."""
    path = folder / "pipe"
    os.mkfifo(path)
    os.open(path, os.O_RDWR)
    return path


def made(way: str, folder: Path, stack: contextlib.ExitStack) -> list[BaseSink]:
    """Make the sinks of a way, and whoever stands at their other end."""
    if way.startswith("jsonl"):
        return [make_sink(f"jsonl:{pipe(folder)}")]
    if way.startswith("terminal"):
        from bioxedge.runtime import TerminalSink

        return [TerminalSink(pipe(folder).open("w"))]
    if way.startswith("mqtt"):
        port = free_port()
        if "stopped" in way:
            broker = Broker(folder / "broker")
            broker.start()
            port = broker.port
            stack.callback(broker.process.kill)
            stack.callback(broker.process.send_signal, signal.SIGCONT)
        sink = make_sink(f"mqtt:127.0.0.1:{port},spool={folder / 'spool'},spool_size=20000000")
        if "stopped" in way:
            opened = sink.open

            def open_then_stop(run: RunInfo) -> None:
                opened(run)
                time.sleep(1.0)
                broker.process.send_signal(signal.SIGSTOP)

            sink.open = open_then_stop  # type: ignore[method-assign]
        return [sink]
    if way.startswith("lsl"):
        return [make_sink("lsl:unread")]
    if way.startswith("page"):
        from bioxedge.runtime.page import PageSink

        return [PageSink(port=0)]
    return {"own sink that sleeps": [Sleeps()], "own sink that raises": [Raises()]}.get(way, [])


def meet(way: str, sinks: list[BaseSink]) -> object:
    """Let a client come that does not read, once the sink is open."""
    if way.startswith("lsl"):
        from bioxedge.runtime import lsl

        pylsl = lsl.load()
        (info,), _ = lsl.resolve(pylsl, lambda one: one.name() == "unread-events", 10.0)
        inlet = pylsl.StreamInlet(info, max_buflen=1)
        inlet.open_stream(timeout=5.0)
        return inlet
    if way.startswith("page"):
        port = int(sinks[0].page.address.rstrip("/").rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        return client
    return None


def windows(way: str, seconds: float, folder: Path) -> dict[str, float]:
    """Run one way in this process."""
    make_bundle(folder / "b", length=64, hop=4)
    held: list[float] = []
    emit = Desk.emit

    def timed(self: Desk, record: object) -> None:
        began = time.perf_counter()
        emit(self, record)
        held.append(time.perf_counter() - began)

    Desk.emit = timed  # type: ignore[method-assign, assignment]
    source = Live(recorded(pulse(1, round(64 * seconds), 64.0)), chunk=2)
    if way.startswith("recording"):
        record.Writer = SlowWriter  # type: ignore[misc]
        source = record.Recorded(source, folder / "rec")
    counts = Counts()
    clients: list[object] = []
    with contextlib.ExitStack() as stack:
        sinks = made(way, folder, stack)

        class Meets(BaseSink):
            name = "meets"

            def open(self, run: RunInfo) -> None:
                clients.append(meet(way, sinks))

        met = [Meets()] if way.startswith(("lsl", "page")) else []
        with contextlib.suppress(Exception):  # a sink that is blocked is told at the end
            loop.run(source, Stream(Bundle.open(folder / "b")), [counts, *sinks, *met])
    took = np.array(counts.latencies) * 1e3
    return {
        "windows": len(took),
        "p50_ms": float(np.quantile(took, 0.5)),
        "p99_ms": float(np.quantile(took, 0.99)),
        "held_p99_ms": float(np.quantile(held, 0.99) * 1e3),
    }


def resident() -> float:
    """Megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(way: str, folder: Path) -> float:
    """Megabytes that events add which the sink does not take."""
    with contextlib.ExitStack() as stack:
        sinks = made(way, folder, stack)
        if not sinks:
            return 0.0
        runner = SinkRunner(sinks[0])
        with contextlib.suppress(Exception):
            runner.start(RunInfo(labels=("rest", "stress"), bundle="b", digest="0" * 64))
        client = meet(way, sinks)
        text = "x" * 500
        for number in range(5000):
            runner.emit(Event("gap", f"{number} {text}"))
        before = resident()
        for number in range(EVENTS):
            runner.emit(Event("gap", f"{number} {text}"))
            if number % 1000 == 0:
                time.sleep(0.002)  # who gets on at all does
        after = resident()
        del client
        return after - before


def child(what: str, way: str, seconds: float) -> float | dict[str, float] | None:
    """Run a way in a process of its own; None where it cannot be."""
    os.environ.setdefault("LSLAPICFG", str(ROOT / "tests" / "lsl_api.cfg"))
    command = [sys.executable, "-W", "ignore", __file__, "--child", what, "--way", way]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, timeout=seconds + 120
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("answer ")]
    if not lines:
        raise SystemExit(f"{way} failed: {done.stderr[-500:]}")
    return json.loads(lines[-1].removeprefix("answer "))


def possible(way: str) -> bool:
    """Whether this machine has what a way needs."""
    import importlib.util

    if way.startswith("mqtt"):
        return importlib.util.find_spec("paho") is not None and (
            MOSQUITTO is not None or "no broker" in way
        )
    return not way.startswith("lsl") or importlib.util.find_spec("pylsl") is not None


def main() -> None:
    """Run all ways in turns, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/sinks"))
    parser.add_argument("--child", choices=["windows", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = (
                windows(asked.way, asked.seconds, folder)
                if asked.child == "windows"
                else memory(asked.way, folder)
            )
            print("answer", json.dumps(found), flush=True)
            os._exit(0)  # a thread may be stuck for ever in what it was given
    ways = [way for way in WAYS if possible(way)]
    console = Console(width=110)
    for way in set(WAYS) - set(ways):
        console.print(f"left out, because it is not installed here: {way}")
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    beside: dict[str, list[float]] = {way: [] for way in ways}  # p99 of a plain run just before
    for _ in range(asked.turns):
        for way in ways:
            plain = child("windows", "none", asked.seconds)
            beside[way].append(plain["p99_ms"])
            runs[way].append(child("windows", way, asked.seconds))
            console.print(f"{way}: {runs[way][-1]['p99_ms']:.2f} ms, without {plain['p99_ms']:.2f}")
    table = Table(
        title=f"sinks that do not get on, {asked.turns} x {asked.seconds:g} s, 16 windows/s"
    )
    for head in (
        "sink",
        "p50, ms",
        "p99, ms",
        "p99 without",
        "later by",
        "held p99, ms",
        "MB more",
    ):
        table.add_column(head, justify="left" if head == "sink" else "right")
    rows = {}
    for way in ways:
        middle = {key: float(np.median([run[key] for run in runs[way]])) for key in runs[way][0]}
        without = float(np.median(beside[way]))
        grew = 0.0
        if way != "none" and not way.startswith("recording"):
            grew = child("memory", way, asked.seconds)
        later = middle["p99_ms"] - without
        rows[way] = {**middle, "without_p99_ms": without, "later_ms": later, "memory_mb": grew}
        table.add_row(
            way, f"{middle['p50_ms']:.2f}", f"{middle['p99_ms']:.2f}", f"{without:.2f}",
            f"{later:+.2f}", f"{middle['held_p99_ms']:.3f}", f"{grew:+.1f}",
        )  # fmt: skip
    console.print(table)
    worst = max(rows.values(), key=lambda row: row["later_ms"])["later_ms"]
    verdict = "within" if worst <= AIM else "beyond"
    load = os.getloadavg()[0]
    console.print(
        f"the latest p99 is later by {worst:.2f} ms, {verdict} {AIM:g} ms; load {load:.1f}"
    )
    plain = rows["none"]["held_p99_ms"]
    held = max(row["held_p99_ms"] for row in rows.values()) - plain
    console.print(f"giving a record out holds the run up by at most {held:.2f} ms more (p99)")
    asked.out.mkdir(parents=True, exist_ok=True)
    about = {"seconds": asked.seconds, "turns": asked.turns, "load": load, "ways": rows}
    (asked.out / "sinks.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
