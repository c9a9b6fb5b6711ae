"""The six published directions at full size: counted, trained a step, exported, proven.

    python benchmarks/directions.py --out out/directions

Weights and windows are random: counts, files and agreement are what is held to. For each
direction: the bridge's parameters against the published number, one training step from cached
features, one ONNX graph of truncated source, bridge, target tail and head, its answers against
torch's on windows it has not seen, and how long ONNX Runtime takes for a window on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from published import DIRECTIONS, Direction
from rich.console import Console
from rich.table import Table

from bioxedge.bridging.costs import cost_map
from bioxedge.bridging.head import Head
from bioxedge.bridging.runner import Runner
from bioxedge.bridging.train import Training, train_bridge, trained_parameters
from bioxedge.errors import BioxedgeError, ExportError
from bioxedge.exporting.onnx import to_onnx
from bioxedge.exporting.parity import answers, prove
from bioxedge.exporting.splice import BridgedModel
from bioxedge.onnxfile import inspect

PAIRS = 4


def bridged(direction: Direction) -> tuple[BridgedModel, float]:
    """Train a bridge for one step; give the spliced model and the step's loss."""
    source, target = direction.source.chain(), direction.target.chain()
    i, j, last = direction.source.cut, direction.target.cut, len(target)
    features = Runner().features(source, direction.source.windows(PAIRS, 1), last=i).pooled[i]
    teacher = (
        Runner().features(target, direction.target.windows(PAIRS, 2), tokens=[last]).tokens[last]
    )
    bridge = direction.bridge(source, target)
    training = Training(loss="cosine", over="tokens", epochs=1, batch=PAIRS, learning_rate=1e-4)
    course = train_bridge(bridge, target[j:], features, teacher, training, seed=0)
    head = Head(target.cut(last, direction.target.samples).features, 3)
    with torch.no_grad():
        head.linear.weight *= 10  # answers that differ, so that a difference would show
    return BridgedModel(source[:i], bridge, target[j:], head), course.losses[0]


def latency(raw: bytes, windows: Any) -> float:
    """Give the median seconds of ONNX Runtime for one window, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    seconds = []
    for turn in range(8):
        began = time.perf_counter()
        session.run(None, {name: windows[turn % len(windows)][None]})
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def proven(direction: Direction) -> dict[str, Any]:
    """Take one direction all the way."""
    began = time.perf_counter()
    model, loss = bridged(direction)
    trained = trained_parameters(model.bridge)
    if trained != direction.parameters:
        raise ExportError(
            f"{direction.name}: the bridge has {trained} parameters, {direction.parameters} were "
            "published: look at its cuts"
        )
    costs = cost_map(
        direction.source.chain(),
        direction.source.samples,
        direction.target.chain(),
        direction.target.samples,
        direction.rank,
        direction.prototypes,
    )
    windows = direction.source.windows(PAIRS, 3).numpy()
    exporting = time.perf_counter()
    raw = to_onnx(model, *windows.shape[1:])
    exported = time.perf_counter()
    off = prove(raw, answers(model, windows), windows)
    facts = inspect(raw)
    place = direction.source.cut, direction.target.cut
    return {
        "direction": direction.name,
        "source": f"{direction.source.name}[:{place[0]}]",
        "target": f"{direction.target.name}[{place[1]}:]",
        "trained_parameters": trained,
        "published_parameters": direction.parameters,
        "loss": loss,
        "parameters": int(costs.parameters[place]),
        "macs": int(costs.macs[place]),
        "bytes": len(raw),
        "opset": facts.opset,
        "ir": facts.ir,
        "off": off,
        "export_seconds": exported - exporting,
        "latency_seconds": latency(raw, windows),
        "seconds": time.perf_counter() - began,
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay the directions out for a terminal."""
    out = Table(title="published directions at full size, random weights", title_justify="left")
    for name in ("direction", "source → target", "trained", "on the device", "MMAC", "MB",
                 "off torch", "one thread"):  # fmt: skip
        out.add_column(
            name, justify="left" if name in ("direction", "source → target") else "right"
        )
    for row in rows:
        out.add_row(
            row["direction"],
            f"{row['source']} → {row['target']}",
            f"{row['trained_parameters']:,} ✓",
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:,.0f}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['off']:.0e}",
            f"{row['latency_seconds'] * 1e3:.0f} ms",
        )
    return out


def main() -> int:
    """Take all directions; print the table, keep the figures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path)
    options.add_argument("--directions", nargs="+", default=[d.name for d in DIRECTIONS])
    given = options.parse_args()
    console = Console(width=140)
    rows = []
    for direction in DIRECTIONS:
        if direction.name in given.directions:
            rows.append(proven(direction))
            console.print(f"{direction.name}: proven in {rows[-1]['seconds']:.0f} s")
    console.print(table(rows))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "directions.json").write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
