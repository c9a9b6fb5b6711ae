"""What a run costs beside its model, whether rows get lost, and whether memory grows.

    python benchmarks/runtime.py --out out/runtime

*hops*: everything but the engine, from a board's rows to the sinks' queues, through the same
source, stream, judge, decision, loop and JSON lines that a device runs. The board stands at
BrainFlow's boundary and is drained every 5 ms of a simulated clock, so that what is timed is work
and never waiting. *answer*: the pass through the loop that completes a window, less the engine:
what it adds to the age of a label. *hop*: all passes of one hop together, the empty ones too: what
it costs. Several processes, at least a thousand hops in all, every one kept. *rows*: the real
BrainFlow library plays rows in real time while windows are answered; every row has to come, to the
last bit. *memory*: resident memory over windows.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bioxedge.bundle import Bundle
from bioxedge.runtime import BrainFlowSource, Engine, JsonLinesSink, PlaybackSource, Stream, loop
from bioxedge.runtime.hostclock import SYSTEM, HostClock, SimulatedClock
from bioxedge.runtime.sources import boards
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Channel, Chunk, Recording

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fixtures_bundle import make_bundle, pulse
from test_faults import judged_bundle

BOARD, RATE = "freeeeg32", 512.0
NAMES = tuple(boards.channel_names(BOARD, "default"))
PARTS = ("hops", "rows", "memory")
QUANTILES = {"p50": 50.0, "p99": 99.0, "max": 100.0}
Floats = npt.NDArray[np.float64]


def bundle_of(folder: str, count: int, *, quality: bool = True) -> Bundle:
    """Make a bundle of that many channels: 4 s every second, a band-pass, z-score."""
    seconds = round(RATE)
    make = judged_bundle if quality else make_bundle
    return make(
        Path(folder) / f"b{count}", channels=NAMES[:count], rate=RATE, modality="eeg",
        length=4 * seconds, hop=seconds,
    )  # fmt: skip


class Timed(Engine):
    """An engine that knows how long it took."""

    spent: tuple[int, int] = (0, 0)
    windows = 0

    def run(
        self, window: npt.NDArray[np.float32], beside: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Answer one window."""
        began = clocks()
        try:
            return super().run(window, beside)
        finally:
            self.spent = plus(self.spent, clocks(), began)
            self.windows += 1


def clocks() -> tuple[int, int]:
    """Nanoseconds of the wall clock, and of a processor by this thread."""
    return time.perf_counter_ns(), time.thread_time_ns()


def plus(total: tuple[int, int], now: tuple[int, int], began: tuple[int, int]) -> tuple[int, int]:
    """Add what has passed on both clocks."""
    return total[0] + now[0] - began[0], total[1] + now[1] - began[1]


class Passes(Managed):
    """Times what happens from one read to the next, less the engine and the sleep."""

    def __init__(self, source: Source, engine: Timed) -> None:
        self._source, self._engine = source, engine
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.sensor, self.waits = source.sensor, True  # a simulated clock waits for its sinks
        self.kept: dict[str, list[tuple[float, float]]] = {"answer": [], "hop": [], "engine": []}
        self._began: tuple[int, int] | None = None
        self._hop = (0, 0)
        self._before = ((0, 0), 0)

    @property
    def loss(self) -> int | None:
        """The source's."""
        return self._source.loss

    def start(self) -> None:
        """Start the source."""
        self._source.start()

    def read(self) -> Chunk | None:
        """Close the pass before, and begin the next."""
        now, (engine, windows) = clocks(), (self._engine.spent, self._engine.windows)
        if self._began is not None:
            model = plus((0, 0), engine, self._before[0])
            own = plus((-model[0], -model[1]), now, self._began)
            self._hop = plus(self._hop, own, (0, 0))
            if windows > self._before[1]:
                for name, value in (("answer", own), ("hop", self._hop), ("engine", model)):
                    self.kept[name].append((value[0] / 1e6, value[1] / 1e6))
                self._hop = (0, 0)
        self._before = engine, windows
        self._began = clocks()
        return self._source.read()

    def take_events(self) -> Any:
        """The source's."""
        return self._source.take_events()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class Board:
    """Stands where ``BoardShim`` stands; has rows as a simulated clock goes on."""

    def __init__(self, clock: HostClock) -> None:
        names = NAMES
        self._clock = clock
        self._layout = boards.layout(BOARD, "default", names)
        self._rows = self._layout.rows(names)
        self._signal = pulse(len(names), round(64 * RATE), RATE, 5)
        self._given = 0
        self._zero = clock.monotonic_ns()

    def prepare_session(self) -> None:
        """Nothing to prepare."""

    def start_stream(self, ring: int) -> None:
        """Begin now."""
        self._zero = self._clock.monotonic_ns()

    def get_board_data(self, *, preset: int) -> Floats:
        """Give the rows that are due."""
        due = int((self._clock.monotonic_ns() - self._zero) / 1e9 * RATE)
        index = np.arange(self._given, due)
        self._given = due
        table = np.zeros((self._layout.width, len(index)))
        table[self._rows] = self._signal[:, index % self._signal.shape[1]]
        table[self._layout.counter] = index % 256
        table[self._layout.stamp] = 1.76e9 + (index + 1) / RATE
        return table

    def stop_stream(self) -> None:
        """Nothing to stop."""

    def release_session(self) -> None:
        """Nothing to release."""


class Polls(SimulatedClock):
    """A simulated clock at real wall time, so that stamps and arrivals agree."""

    def __init__(self) -> None:
        super().__init__(1.76e9)


def hops(count: int, number: int, quality: bool = True) -> dict[str, Any]:
    """Run ``number`` hops of ``count`` channels in this process."""
    clock = Polls()
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_of(folder, count, quality=quality)
        engine = Timed(bundle)
        board = Board(clock)
        source = BrainFlowSource(
            BOARD, channels=bundle.manifest.input.names, rate=RATE, clock=clock,
            factory=lambda number, params: board,
        )  # fmt: skip
        passes = Passes(source, engine)
        sink = JsonLinesSink(Path(folder) / "labels.jsonl")
        stream = Stream(bundle, engine=engine, clock=clock)
        loop.run(passes, stream, [sink], seconds=number + 8.0, clock=clock)
    skip = 3  # what the first windows set up is not a hop's
    return {
        "channels": count,
        "quality": quality,
        "ms": {name: [value[0] for value in kept[skip:]] for name, kept in passes.kept.items()},
        "processor_ms": {
            name: [value[1] for value in kept[skip:]] for name, kept in passes.kept.items()
        },
    }


def restarted(count: int, number: int, restarts: int, quality: bool) -> list[dict[str, Any]]:
    """Measure hops in processes of their own, one after another."""
    found = []
    for _ in range(restarts):
        each = number // restarts + 4
        words = [sys.executable, __file__, "--hops", str(count), str(each), str(int(quality))]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def quantiles(values: list[float]) -> dict[str, float]:
    """Give the quantiles of interest."""
    return {name: round(float(np.percentile(values, q)), 4) for name, q in QUANTILES.items()}


def published() -> float | None:
    """Milliseconds of a published bridge's graph here, one thread; None without torch."""
    try:
        from directions import bridged, latency
        from published import DIRECTIONS

        from bioxedge.exporting.onnx import to_onnx
    except ImportError:
        return None
    direction = next(one for one in DIRECTIONS if one.name == "WESAD ECG→PPG")
    windows = direction.source.windows(4, 3).numpy()
    model, _ = bridged(direction)
    return 1e3 * latency(to_onnx(model, *windows.shape[1:]), windows)


class Every(Managed):
    """Holds every sample that passes against the recording."""

    def __init__(self, source: PlaybackSource, recording: Recording) -> None:
        self._source, self._samples = source, recording.samples
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.sensor, self.waits = source.sensor, source.waits
        self.rows = self.equal = 0

    @property
    def loss(self) -> int | None:
        """The source's."""
        return self._source.loss

    def start(self) -> None:
        """Start the source."""
        self._source.start()

    def read(self) -> Chunk | None:
        """Read and compare."""
        chunk = self._source.read()
        if chunk is not None and chunk.samples.shape[1]:
            self.rows += chunk.samples.shape[1]
            self.equal += int(
                (chunk.samples == self._samples[:, chunk.first : chunk.end]).all(0).sum()
            )
        return chunk

    def take_events(self) -> Any:
        """The source's."""
        return self._source.take_events()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def rows(count: int, seconds: float) -> dict[str, Any]:
    """Let BrainFlow play ``count`` channels, a thousand rows a second, and answer windows."""
    names = NAMES[:count]
    total = round(seconds * 1000)
    channels = tuple(Channel(name) for name in names)
    recording = Recording(pulse(count, total, RATE, 7), RATE, channels, "eeg", "benchmark", 1.76e9)
    source = Every(PlaybackSource(recording, board=BOARD, speed=1000 / RATE), recording)
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_of(folder, count)
        sink = JsonLinesSink(Path(folder) / "labels.jsonl")
        began = time.perf_counter()
        tally = loop.run(source, Stream(bundle), [sink], clock=SYSTEM)
        took = time.perf_counter() - began
    return {
        "channels": count,
        "rows": total,
        "read": source.rows,
        "equal": source.equal,
        "dropped": total - source.rows,
        "loss": tally.loss,
        "windows": tally.windows,
        "seconds": round(took, 1),
        "rows_a_second": round(source.rows / took, 1),
    }


def memory(number: int) -> dict[str, Any]:
    """Look at resident memory over ``number`` windows."""
    seen: list[tuple[int, float]] = []

    class Watched(Timed):
        def run(
            self, window: npt.NDArray[np.float32], beside: npt.NDArray[np.float32] | None = None
        ) -> npt.NDArray[np.float32]:
            if self.windows % max(number // 10, 1) == 0:
                pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
                seen.append((self.windows, round(pages * 4096 / 2**20, 2)))
            return super().run(window, beside)

    class Coarse(Polls):
        def sleep(self, seconds: float) -> None:
            super().sleep(0.25)

    clock = Coarse()
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_of(folder, 1)
        engine = Watched(bundle)
        board = Board(clock)
        source = BrainFlowSource(
            BOARD, channels=bundle.manifest.input.names, rate=RATE, clock=clock,
            factory=lambda number, params: board,
        )  # fmt: skip
        sink = JsonLinesSink(Path(folder) / "labels.jsonl")
        stream = Stream(bundle, engine=engine, clock=clock)
        loop.run(source, stream, [sink], seconds=number + 8.0, clock=clock)
    return {"windows": engine.windows, "rss_mib": seen}


def measure(given: argparse.Namespace) -> None:
    """Measure what was asked for, and keep it as it comes."""
    console = Console(width=100)
    found: dict[str, Any] = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": sys.version},
        "command": sys.argv,
    }

    def keep(part: str, value: Any) -> None:
        found[part] = value
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "runtime.json").write_text(json.dumps(found, indent=1) + "\n")

    if "hops" in given.parts:
        engine = published()
        keep("published_engine_ms", engine)
        runs = {
            f"{count}{'' if quality else ', not judged'}": restarted(
                count, given.number, given.restarts, quality
            )
            for count in given.channels
            for quality in (True, False)
        }
        keep("hops", runs)
        table = Table("channels", "hops", "", "clock", *QUANTILES, "of the engine", title="ms")
        for count, parts in runs.items():
            for name in ("answer", "hop", "engine"):
                for clock, told_as in (("ms", "wall"), ("processor_ms", "processor")):
                    values = [value for part in parts for value in part[clock][name]]
                    told = quantiles(values)
                    share = (
                        f"{told['p50'] / engine:.1%}–{told['p99'] / engine:.1%}" if engine else ""
                    )
                    table.add_row(
                        count, str(len(values)), name, told_as,
                        *(f"{told[q]:.3f}" for q in told), share,
                    )  # fmt: skip
        console.print(table)
        console.print(f"the engine of a published bridge (WESAD ECG→PPG): {engine} ms")
    if "rows" in given.parts:
        keep("rows", [])
        for count in (1, 8, 32):
            keep("rows", [*found["rows"], rows(count, given.seconds)])
            console.print(found["rows"][-1])
    if "memory" in given.parts:
        keep("memory", memory(given.windows))
        console.print(found["memory"])


def main() -> int:
    """Read the command line, and measure."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path)
    options.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure")
    options.add_argument("--channels", nargs="+", type=int, default=[1, 32])
    options.add_argument("--number", type=int, default=1500, help="hops, over all processes")
    options.add_argument("--restarts", type=int, default=5, help="processes")
    options.add_argument("--seconds", type=float, default=60.0, help="of rows, for each count")
    options.add_argument("--windows", type=int, default=20_000, help="for memory")
    options.add_argument("--hops", nargs=3, type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.hops:
        count, number, quality = given.hops
        print(json.dumps(hops(count, number, bool(quality))))
        return 0
    try:
        measure(given)
    except KeyboardInterrupt:
        kept = f"; what was measured is in {given.out}" if given.out else ""
        print(f"stopped{kept}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
