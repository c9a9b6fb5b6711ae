"""What recording costs, and whether a replay is the run that was recorded.

    python benchmarks/record.py                # the read path, bytes, windows: two minutes
    python benchmarks/record.py --hour         # an hour of two boards that fail, run and replayed

Nothing is needed but the base install. ``slow disk`` is a writer that takes a second for each of
its calls, as an SD card does when it tidies up; ``none`` is the same run without a recording. The
three are run in turns in one process, so that what else this machine does hits all alike.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bioxedge.recorded import Read
from bioxedge.recorded.frames import SIZE
from bioxedge.recorded.read import pack
from bioxedge.runtime import ReplaySource, Stream, loop, record, recordlog
from bioxedge.runtime.faults import draw
from bioxedge.signals import Chunk

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded
from test_replay_bitwise import failing, hold, run
from test_runtime_stream import Keep

# Channels, rate in Hz and samples a packet, as BrainFlow gives them; the loop looks every 5 ms.
BOARDS = {
    "muse_2/ancillary (PPG)": (3, 64.0, 6),
    "muse_2/default (EEG)": (4, 256.0, 12),
    "cyton (EEG, ECG, EMG)": (8, 250.0, 1),
    "cyton_daisy": (16, 125.0, 1),
    "one ECG channel": (1, 250.0, 1),
}
LOOK = 0.005


class Live(ReplaySource):
    """A recording that waits for nobody."""

    def __init__(self, *given, **options) -> None:
        super().__init__(*given, **options)
        self.waits = False


class Slow(record.Writer):
    """A writer to a disk that takes a second for everything."""

    def write(self, reads) -> None:
        """Take a second more."""
        time.sleep(1.0)
        super().write(reads)

    def sync(self) -> None:
        """Take a second more."""
        time.sleep(1.0)
        super().sync()


def in_the_way(seconds: float) -> None:
    """Time reads with and without a recording, in turns, at a board's pace."""
    worn = recorded(pulse(3, 64, 64.0, 1))
    reads = round(seconds / LOOK)
    found: dict[str, list[float]] = {"none": [], "recorded": []}
    with tempfile.TemporaryDirectory() as folder:
        plain = ReplaySource(recorded(np.tile(worn.samples, 4000)), speed=math.inf, chunk=4)
        beside = record.Recorded(
            ReplaySource(recorded(np.tile(worn.samples, 4000)), speed=math.inf, chunk=4), folder
        )
        with plain, beside:
            turns = [("none", plain), ("recorded", beside)]
            for _ in range(reads):
                turns.reverse()  # whoever is first after a sleep finds the caches cold
                for name, source in turns:
                    began = time.perf_counter()
                    source.read()
                    source.take_events()
                    found[name].append(time.perf_counter() - began)
                time.sleep(LOOK)
    middle = {name: np.median(took) * 1e6 for name, took in found.items()}
    last = {name: np.quantile(took, 0.99) * 1e6 for name, took in found.items()}
    print(
        f"read path, {reads} reads: {middle['recorded'] - middle['none']:.1f} us more a read "
        f"(median {middle['none']:.1f} -> {middle['recorded']:.1f}, "
        f"p99 {last['none']:.1f} -> {last['recorded']:.1f} us)",
        flush=True,
    )


def on_the_disk() -> None:
    """Say what an hour of each board takes."""
    for name, (channels, rate, packet) in BOARDS.items():
        # Packets come one by one, or several in one look.
        samples = max(packet, math.floor(rate * LOOK))
        chance, each = np.random.default_rng(1), samples / rate
        reads = []
        for number in range(round(recordlog.EVERY / each)):
            at = round((number * each + chance.exponential(0.002)) * 1e9) + 27_000_000_000_000
            t0, real = 1.7e9 + chance.normal(0, 1e-3), rate + chance.normal(0, 1e-3)
            wall = 1.7e9 + chance.normal(0, 1e-6)
            values, late = chance.normal(size=(channels, samples)), round(chance.normal(4e6, 1e5))
            chunk = Chunk(values, number * samples, rate, t0, at, at - late, real)
            reads.append(Read(chunk, at + 5000, wall, 0))
        size = (SIZE + len(pack(reads))) / len(reads) * 3600 * rate / samples
        values = 8 * channels * rate * 3600
        print(f"{name:24} {size / 1e6:6.1f} MB/h, {values / size:.0%} of it values", flush=True)


def windows(seconds: float, turns: int) -> None:
    """Time windows without a recording, with one, and with one on a slow disk, in turns."""
    names = tuple(f"ecg_{number}" for number in range(1, 9))
    waits: dict[str, list[float]] = {"none": [], "recorded": [], "slow disk": []}
    cpu = dict.fromkeys(waits, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(
            Path(folder) / "b", modality="ecg", channels=names, rate=250.0, length=500, hop=20,
            stages=(),
        )  # fmt: skip
        samples = pulse(8, round(250 * seconds), 250.0, 1)
        worn = recorded(samples[:1], rate=250.0)
        worn = type(worn)(
            samples, 250.0, tuple(type(worn.channels[0])(name) for name in names), "ecg", "p1"
        )
        writer = record.Writer
        for turn in range(turns):
            for name in waits:
                source = Live(worn, chunk=1)
                record.Writer = Slow if name == "slow disk" else writer
                if name != "none":
                    source = record.Recorded(source, Path(folder) / f"{name}-{turn}")
                sink, began = Keep(), time.process_time()
                loop.run(source, Stream(bundle), [sink])
                cpu[name] += time.process_time() - began
                waits[name] += [one.latency for one in sink.predictions]
        record.Writer = writer
    for name, took in waits.items():
        print(
            f"windows, {name:9}: {len(took)}, latency median {np.median(took) * 1e3:.2f} ms, "
            f"p99 {np.quantile(took, 0.99) * 1e3:.2f} ms; {cpu[name] / (turns * seconds):.1%} of a "
            "core",
            flush=True,
        )


def hour(hours: float, seed: int) -> None:
    """Run a bundle on each of two failing boards, recorded; replay each, line by line."""
    faults = round(60 * hours)
    with tempfile.TemporaryDirectory() as folder:
        session = Path(folder) / "pair"
        for role, rate, channels in (("source", 64.0, 1), ("target", 250.0, 2)):
            names = ("ppg_2", "ppg_1")[:channels]
            bundle = make_bundle(
                Path(folder) / role, channels=names, rate=rate, length=round(4 * rate),
                hop=round(rate), stages=(),
            )  # fmt: skip
            plan = draw(faults, 3600 * hours, channels=channels, seed=seed, quiet=10, rate=rate)
            source, clock = failing(3600 * hours, plan, seed=seed, rate=rate, channels=channels)
            began = time.monotonic()
            beside = record.Recorded(source, session, role=role, clock=clock)
            live, tally = run(bundle, beside, clock)
            took, began = time.monotonic() - began, time.monotonic()
            assert not beside.progress.left_out
            hold(bundle, session, live, tally, stream=role)
            said = sum('"event"' in line for line in live.lines)
            print(
                f"{role}: {hours:g} h at {rate:g} Hz with {faults} faults: {len(live.lines)} lines "
                f"({said} events, {tally.loss} samples lost), the same again bit by bit; "
                f"{took:.0f} s live, {time.monotonic() - began:.0f} s replayed, "
                f"{beside.progress.bytes / 1e6:.1f} MB",
                flush=True,
            )


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=12.0)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--hour", action="store_true")
    options.add_argument("--hours", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    if given.hour:
        hour(given.hours, given.seed)
        return
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    in_the_way(given.seconds)
    on_the_disk()
    windows(given.seconds, given.turns)


if __name__ == "__main__":
    main()
