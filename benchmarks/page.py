"""What the page costs: CPU time and the windows' delay, without it, with it, and looked at.

``python benchmarks/page.py [--seconds 60] [--rounds 3] [--out FOLDER]``

Each run is a process of its own that reads a source in real time for so long, its sink a counter.
The three ways are interleaved, so that whatever else the machine does meets all of them. Who looks
is a real Chromium, whose own work on this machine is told apart: on a device it is done elsewhere,
by the phone that looks. ``--pictures`` makes docs/pictures instead (three minutes).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import chromium  # noqa: E402
from fixtures_bundle import make_bundle, pulse  # noqa: E402

# Four windows a second, so that a minute has enough of them for a p99.
SHAPES = {
    "1 channel, 64 Hz": {"channels": ("ppg_2",), "rate": 64.0, "hop": 16},
    "32 channels, 500 Hz": {
        "channels": tuple(f"c{n}" for n in range(32)),
        "rate": 500.0,
        "length": 2000,
        "hop": 125,
    },
}
WAYS = ("without", "page", "looked at")
# Seconds that are left out at the start.
SETTLE = 8.0
# Where the demo's recording shows most: labels of both kinds, a stretch without, a short gap.
MOMENT = 162.0


def child(folder: Path, way: str, seconds: float) -> None:
    """Run for so long, and print what it took as JSON."""
    from bioxedge import Stream
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import ReplaySource, loop
    from bioxedge.runtime.page import Page
    from bioxedge.runtime.prediction import Prediction
    from bioxedge.runtime.sinks.base import BaseSink
    from bioxedge.signals import Channel, Recording

    class Counts(BaseSink):
        """Keeps the delays of windows after the start."""

        def __init__(self) -> None:
            self.latency: list[float] = []
            self.age: list[float] = []
            self.began: tuple[float, float] | None = None

        def emit(self, record: object) -> None:
            if not isinstance(record, Prediction):
                return
            if record.t_end > SETTLE:
                if self.began is None:
                    self.began = time.process_time(), time.monotonic()
                self.latency.append(record.latency * 1e3)
                self.age.append(record.age * 1e3)

    bundle = Bundle.open(folder)
    about = bundle.manifest.input
    signal = pulse(len(about.names), round(about.rate * (seconds + SETTLE + 2)), about.rate, 3)
    counts = Counts()
    sinks: list[BaseSink] = [counts]
    if way != "without":
        sinks.append(Page(port=0, say=lambda said: print(said.split()[1], flush=True)).sink())
    else:
        print("-", flush=True)
    rows = tuple(Channel(name) for name in about.names)
    source = ReplaySource(Recording(signal, about.rate, rows, "ppg", "p1"), speed=1.0)
    loop.run(source, Stream(bundle), sinks, seconds=seconds + SETTLE)
    assert counts.began is not None
    cpu, wall = (
        now - then
        for now, then in zip((time.process_time(), time.monotonic()), counts.began, strict=True)
    )
    figures = {"core": cpu / wall, "windows": len(counts.latency)}
    for name, found in (("latency", counts.latency), ("age", counts.age)):
        for share in (50, 99):
            figures[f"{name}_p{share}"] = float(np.percentile(found, share))
    print(json.dumps(figures))


def measure(folder: Path, way: str, seconds: float) -> dict[str, float]:
    """Run once, looked at or not."""
    with subprocess.Popen(
        [sys.executable, __file__, "--child", str(folder), way, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if way != "looked at":
            return json.loads(process.stdout.readline())
        with (
            tempfile.TemporaryDirectory() as scratch,
            chromium.browser(Path(scratch) / "p", size=(1280, 1180)) as tab,
        ):
            tab.go(address)
            figures = json.loads(process.stdout.readline())
            figures["browser"] = _cpu(tab.pid) / (seconds + SETTLE)
            assert not [one for one in tab.problems if "ERR_" not in one], tab.problems
        return figures


def _cpu(session: int) -> float:
    """CPU seconds of every process in a session that still lives."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def costs(seconds: float, rounds: int, out: Path) -> None:
    """Measure every shape in every way, and write a table."""
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, (shape, about) in enumerate(SHAPES.items()):
            folder = Path(scratch) / str(number)
            make_bundle(folder, **about)
            runs = [(way, measure(folder, way, seconds)) for _ in range(rounds) for way in WAYS]
            found[shape] = {
                way: {
                    key: median(one[key] for named, one in runs if named == way)
                    for key in next(one for named, one in runs if named == way)
                }
                for way in WAYS
            }
    head = "| shape | way | % of a core | more than without | p99 latency, ms | p99 age, ms |"
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    for shape, ways in found.items():
        for way, one in ways.items():
            more = 100 * (one["core"] - ways["without"]["core"])
            lines.append(
                f"| {shape} | {way} | {100 * one['core']:.2f} | {more:+.2f} | "
                f"{one['latency_p99']:.2f} | {one['age_p99']:.2f} |"
            )
    (out / "page.json").write_text(json.dumps(found, indent=1))
    (out / "page.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print("load:", os.getloadavg())


def pictures(out: Path) -> None:
    """Show the demo's bundle on a replay of its recording, and take its pictures."""
    out.mkdir(parents=True, exist_ok=True)
    demo = ROOT / "demo"
    command = [sys.executable, "-m", "bioxedge", "run", str(demo / "bundle"), "--page", "0"]
    command += ["--source", f"replay:{demo / 'recordings' / 'wearer-01'}"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        address = process.stderr.readline().split()[1]
        with chromium.browser(Path(scratch) / "p", size=(1280, 1330)) as tab:
            tab.go(address)
            time.sleep(MOMENT - 10)  # asking costs what the picture shows
            tab.until(
                "fetch('/state').then((one) => one.json())"
                ".then((all) => all.runs.length ? all.runs[0].samples / all.runs[0].run.rate : 0)",
                lambda seconds: seconds > MOMENT,
                patience=60.0,
            )
            views = (
                ("page-light", (1280, 1330), False, 1.0),
                ("page-dark", (1280, 1330), True, 1.0),
                ("page-phone", (360, 740), False, 2.0),
                ("page-phone-dark", (360, 740), True, 2.0),
            )
            for name, size, dark, scale in views:
                tab.shape(size, dark=dark, scale=scale)
                time.sleep(0.7)  # for what moves to come to rest
                tab.picture(out / f"{name}.png")
        process.terminate()


def main() -> None:
    """Read the command line."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "page")
    parser.add_argument("--pictures", action="store_true")
    given = parser.parse_args()
    if chromium.find() is None:
        sys.exit(chromium.MISSING)
    if given.pictures:
        pictures(ROOT / "docs" / "pictures")
    else:
        costs(given.seconds, given.rounds, given.out)


if __name__ == "__main__":
    main()
