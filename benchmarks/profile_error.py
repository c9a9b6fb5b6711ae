"""How well the sum of measured parts predicts a whole bridged model: time and memory.

    python benchmarks/profile_error.py --out out/profile_error

For each direction a kit is made and profiled as a device does it, and for some pairs of cuts the
fused graph is exported, with random weights, as a bundle would hold it. Both are run through the
same session, in turns in one process, so that a slow moment falls on both: the figures to trust
are the ratios. Memory is that of processes of their own, one that profiles and one for each
fused graph. The corners of the map are always among the pairs; the rest are drawn.

Where other programs use the machine, ``--processor-time`` counts what one thread computed rather
than what passed on the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import torch
from published import DIRECTIONS, Direction, Side
from rich.console import Console
from rich.table import Table

from bioxedge import profilefile
from bioxedge.bridging import PrototypeBridge
from bioxedge.bridging.head import Head
from bioxedge.building.budget import memory, milliseconds
from bioxedge.errors import BioxedgeError
from bioxedge.exporting.blocks import plan_of, write_kit
from bioxedge.exporting.onnx import to_onnx
from bioxedge.exporting.splice import BridgedModel
from bioxedge.kit import Kit
from bioxedge.measuring.machine import machine
from bioxedge.measuring.profile import Clock, profile
from bioxedge.models.chain import Chain
from bioxedge.profilefile import Profile
from bioxedge.runtime.session import Session

mpl.use("Agg")
from matplotlib import pyplot as plt

CLASSES = 3
SMALL = Direction(
    "small",
    Side("papagei", 640, 4, {"base_filters": 16, "blocks": 8}),
    Side("ecg_transformer", 1250, 1, {}),
    rank=8,
    prototypes=16,
    parameters=0,
)
RESIDENT = """
import sys
from pathlib import Path
from bioxedge.runtime.session import Session
session = Session(Path(sys.argv[1]).read_bytes(), threads=int(sys.argv[2]))
session.again()
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""

Pair = tuple[int, int]


def pairs(direction: Direction, count: int) -> list[Pair]:
    """The corners of the map, the published cuts, and others drawn with a fixed seed."""
    rows, columns = len(direction.source.chain()), len(direction.target.chain())
    found = [
        (0, 0), (rows, columns), (0, columns), (rows, 0),
        (direction.source.cut, direction.target.cut),
    ]  # fmt: skip
    others = [(i, j) for i in range(rows + 1) for j in range(columns + 1)]
    random.Random(0).shuffle(others)
    return list(dict.fromkeys([*found, *others]))[:count]


def fused(direction: Direction, source: Chain, target: Chain, pair: Pair) -> bytes:
    """Export one bridged model, as a bundle holds it."""
    i, j = pair
    tokens, features = target.cut(j, direction.target.samples)
    bridge = PrototypeBridge(
        source.cut(i, direction.source.samples).features,
        features,
        tokens,
        direction.rank,
        direction.prototypes,
        b_std=1e-2,
        seed=0,
    )
    last = target.cut(len(target), direction.target.samples).features
    model = BridgedModel(source[:i], bridge, target[j:], Head(last, CLASSES))
    return to_onnx(model, source.channels, direction.source.samples)


def timed(session: Session, runs: int, clock: Clock) -> float:
    """Give the median milliseconds of runs in a row; the first is not counted."""
    took = []
    for _ in range(runs + 1):
        began = clock()
        session.again()
        took.append(1e3 * (clock() - began))
    return float(np.median(took[1:]))


def profiled(kit: Kit, threads: int) -> Profile:
    """Profile in a process of its own, as on a device: without torch in its memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile.json"
        words = ["profile", str(kit.path), "--threads", str(threads), "--out", str(out)]
        run = [sys.executable, "-m", "bioxedge", *words, "--repeats", "5"]
        subprocess.run(run, check=True, capture_output=True)
        return profilefile.read(out)


def resident(raw: bytes, threads: int) -> int:
    """Resident bytes of a process that holds one model and has run it."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(raw)
        file.flush()
        run = [sys.executable, "-c", RESIDENT, file.name, str(threads)]
        return int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def compare(direction: Direction, given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Measure one direction: a row for each pair of cuts."""
    source, target = direction.source.chain(), direction.target.chain()
    plan = plan_of(
        source,
        direction.source.samples,
        target,
        direction.target.samples,
        rank=direction.rank,
        prototypes=direction.prototypes,
        classes=CLASSES,
    )
    kit = write_kit(folder, plan, source, target)
    places = pairs(direction, given.pairs)
    clock = time.thread_time if given.processor_time else time.perf_counter
    graphs = {pair: fused(direction, source, target, pair) for pair in places}
    rng = np.random.default_rng(0)
    sessions = {pair: Session(raw, threads=given.threads) for pair, raw in graphs.items()}
    for session in sessions.values():
        session.given[...] = rng.standard_normal(session.given.shape, np.float32)
    turns = []
    measured: dict[Pair, list[float]] = {pair: [] for pair in places}
    for _ in range(given.turns):
        found = profile(kit, threads=[given.threads], repeats=given.repeats, clock=clock)
        turns.append(milliseconds(found, found.runs[0]))
        for pair, session in sessions.items():
            measured[pair].append(timed(session, given.repeats, clock))
    for session in sessions.values():
        session.close()
    predicted = np.median(turns, axis=0)
    bytes_predicted = memory(profiled(kit, given.threads))
    rows = []
    for pair, raw in graphs.items():
        took, held = float(np.median(measured[pair])), resident(raw, given.threads)
        rows.append(
            {
                "direction": direction.name,
                "source_cut": pair[0],
                "target_cut": pair[1],
                "predicted_ms": float(predicted[pair]),
                "measured_ms": took,
                "error": float(predicted[pair]) / took - 1,
                "predicted_bytes": int(bytes_predicted[pair]),
                "measured_bytes": held,
                "bytes_error": int(bytes_predicted[pair]) / held - 1,
            }
        )
    return rows


def table(rows: list[dict[str, Any]], threads: int, clock: str) -> Table:
    """Lay the pairs out for a terminal."""
    out = Table(title=f"predicted from parts, measured whole; {threads} thread(s), {clock}",
                title_justify="left")  # fmt: skip
    for name in ("direction", "source", "target", "predicted ms", "measured ms", "error",
                 "predicted MB", "measured MB", "error"):  # fmt: skip
        out.add_column(name, justify="left" if name == "direction" else "right")
    for row in rows:
        out.add_row(
            row["direction"],
            str(row["source_cut"]),
            str(row["target_cut"]),
            f"{row['predicted_ms']:.3g}",
            f"{row['measured_ms']:.3g}",
            f"{row['error']:+.1%}",
            f"{row['predicted_bytes'] / 1e6:.0f}",
            f"{row['measured_bytes'] / 1e6:.0f}",
            f"{row['bytes_error']:+.1%}",
        )
    return out


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and largest absolute errors, for each direction and all."""
    names = list(dict.fromkeys(row["direction"] for row in rows))
    found = {}
    for name in [*names, "all"]:
        mine = [row for row in rows if name in (row["direction"], "all")]
        time_errors = [abs(row["error"]) for row in mine]
        found[name] = {
            "mean": float(np.mean(time_errors)),
            "largest": max(time_errors),
            "memory_mean": float(np.mean([abs(row["bytes_error"]) for row in mine])),
        }
    return found


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw predicted against measured time, and the band of 15 %."""
    figure, axis = plt.subplots(figsize=(5.2, 4.8), layout="constrained")
    low = min(row["measured_ms"] for row in rows) * 0.7
    high = max(row["measured_ms"] for row in rows) * 1.4
    line = np.array([low, high])
    axis.fill_between(line, 0.85 * line, 1.15 * line, color="grey", alpha=0.25, label="± 15 %")
    axis.plot(line, line, color="grey", linewidth=0.8)
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
    for name, colour in zip(dict.fromkeys(row["direction"] for row in rows), colours, strict=False):
        mine = [row for row in rows if row["direction"] == name]
        axis.scatter(
            [row["measured_ms"] for row in mine], [row["predicted_ms"] for row in mine],
            s=24, color=colour, label=name, zorder=3,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="measured milliseconds a window",
             ylabel="predicted from parts")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def clock_name(given: argparse.Namespace) -> str:
    """Say what was counted."""
    return "processor time of one thread" if given.processor_time else "wall clock"


def main() -> int:
    """Compare; print the table, keep the figures."""
    known = {"small": SMALL, **{each.name: each for each in DIRECTIONS}}
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path)
    options.add_argument("--directions", nargs="+", default=["small", "WESAD ECG→PPG"],
                         choices=list(known))  # fmt: skip
    options.add_argument("--pairs", type=int, default=10)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--processor-time", action="store_true")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--repeats", type=int, default=9)
    given = options.parse_args()
    if given.processor_time and given.threads > 1:
        options.error("--processor-time counts one thread: leave --threads out")
    torch.manual_seed(0)
    console = Console(width=130)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.directions:
            rows += compare(known[name], given, Path(folder) / str(len(rows)))
    console.print(table(rows, given.threads, clock_name(given)))
    found = summary(rows)
    for name, errors in found.items():
        console.print(
            f"{name}: mean absolute error {errors['mean']:.1%}, largest {errors['largest']:.1%}; "
            f"memory {errors['memory_mean']:.1%}",
            highlight=False,
        )
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        about = {
            "machine": msgspec.to_builtins(machine()),
            "threads": given.threads,
            "load": os.getloadavg(),
            "clock": clock_name(given),
            "summary": found,
            "pairs": rows,
        }
        (given.out / "profile_error.json").write_text(json.dumps(about, indent=2) + "\n")
        picture(rows, given.out / "profile_error.png")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
