"""A training step and a choice of positions, against one of the reference's kind.

    python benchmarks/training.py --out out/training

The reference's step is written plainly here: hooks on both models, both in full at every step,
the target twice (once for the teacher, once with its input at the cut replaced), gradients of
every target weight computed and not used, because nothing freezes them. A second column freezes
them, which is kinder than the reference is. All methods take turns in one process, at published
sizes with random weights, batch 16; memory is the peak of a process of its own. What must be
computed in any case is the floor: the tail's multiply-accumulates, forward and back to its
input, over the best rate that any library reaches here on the tail's own products. What a build
takes by default is the setting that its own measurement chooses; that choice is made here, too.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from choosing import alignments, positions
from floor import Products, Rates, products_of
from hooked import RATE, Step, hooked
from published import BATCH, DIRECTIONS, Direction
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bioxedge.bridging.compute import Compute, has_bf16
from bioxedge.bridging.costs import costs
from bioxedge.bridging.fastest import LONG, fastest, settings
from bioxedge.bridging.runner import Runner
from bioxedge.bridging.train import Alignment, Training, train_bridge

PUBLISHED = Training(loss="cosine", over="tokens", batch=BATCH)
LONGEST = 300.0
# For the choice of positions: what takes minutes. NormWear's window costs a hundred of LaBraM's.
PAIRS = {"WESAD": 96, "ISRUC": 192, "FOG": 16}
PARTS = ("steps", "precision", "positions", "cka")


# -- ours ---------------------------------------------------------------------------------------


def ours(direction: Direction, compute: Compute) -> Step:
    """Make the step that `train_bridge` does, on one batch whose features were extracted.

    Extracting them, once for all epochs, is not timed; its memory is part of the peak.
    """
    source_chain, target = direction.source.chain(), direction.target.chain()
    cut, last = direction.source.cut, len(target)
    source = (
        Runner().features(source_chain, direction.source.windows(BATCH, 1), last=cut).pooled[cut]
    )
    windows = direction.target.windows(BATCH, 2)
    teacher = Runner().features(target, windows, tokens=[last]).tokens[last]
    bridge, tail = direction.bridge(source_chain, target), target[direction.target.cut :]
    alignment = Alignment(teacher, PUBLISHED, torch.arange(BATCH), torch.device("cpu"))
    adam = torch.optim.AdamW(bridge.parameters(), lr=RATE, weight_decay=0.0)
    onward, everything = compute.fused(tail), torch.arange(BATCH)
    place = compute.placed(tail)
    place.__enter__()

    def step(_: object = place) -> float:  # held for as long as it is timed
        adam.zero_grad(set_to_none=True)
        tokens = bridge(source)
        with compute.running():
            predicted = onward(tokens)
        loss = alignment(predicted, everything)
        loss.backward()
        adam.step()
        return loss.item()

    return step


METHODS: dict[str, Callable[[Direction], Step]] = {
    "reference": lambda direction: hooked(direction, frozen=False),
    "reference, frozen": lambda direction: hooked(direction, frozen=True),
    "ours": lambda direction: ours(direction, Compute(device="cpu")),
    "ours, packed": lambda direction: ours(direction, Compute(device="cpu", packed=True)),
    "ours, compiled": lambda direction: ours(direction, Compute(device="cpu", compiled=True)),
}
if has_bf16(torch.device("cpu")):
    METHODS["ours, bf16, packed"] = lambda direction: ours(
        direction, Compute(device="cpu", precision="bf16", packed=True)
    )
    METHODS["ours, bf16, compiled"] = lambda direction: ours(
        direction, Compute(device="cpu", precision="bf16", compiled=True)
    )
EXACT = ("ours", "ours, packed", "ours, compiled")  # the reference's numbers, to rounding


# -- measuring ----------------------------------------------------------------------------------


def timed(
    steps: dict[str, Step], rounds: int, rates: Rates
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Let all methods take turns of two steps, and bare matrix products among them.

    A user's step follows its like, not another method's: the second of a turn is timed.

    Returns
    -------
    seconds, losses : dict of str to list of float
        Of each method. There are fewer rounds, but two at least, where they would take longer
        than `LONGEST` seconds.
    rate : float
        Multiply-accumulates a second of the product: the best of its turns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    began = time.perf_counter()
    losses = {name: [step()] for name, step in steps.items()}
    rounds = max(2, min(rounds, int(LONGEST / 2 / (time.perf_counter() - began))))
    for _ in range(rounds):
        for name, step in steps.items():
            losses[name].append(step())  # takes up what the step before it left cold
            began = time.perf_counter()
            losses[name].append(step())
            seconds[name].append(time.perf_counter() - began)
        rates.turn()
    return seconds, losses


def shares(step: Step) -> dict[str, float]:
    """Say where the time of a step goes, by kind of operation."""
    kinds = {
        "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
        "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward"),
        "attention": ("aten::_scaled_dot_product",),
        "element by element": ("aten::gelu", "aten::native_layer_norm", "aten::add", "aten::mul",
                               "aten::relu", "aten::threshold_backward", "aten::native_batch_norm",
                               "aten::sum", "aten::copy_", "aten::div", "aten::cat"),
    }  # fmt: skip
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    found = dict.fromkeys([*kinds, "other"], 0.0)
    for event in seen.key_averages():
        for kind, names in kinds.items():
            if event.key.startswith(names):
                found[kind] += event.self_cpu_time_total
                break
        else:
            found["other"] += event.self_cpu_time_total
    total = sum(found.values())
    return {kind: value / total for kind, value in found.items()}


def peak(direction: Direction, method: str) -> float:
    """Give the peak resident memory of a process that does two steps, in MiB."""
    words = [sys.executable, __file__, "--peak", direction.name, method]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def tail_products(direction: Direction) -> Products:
    """Count the tail's matrix products, forward and back to its input."""
    target = direction.target.chain()
    shape = BATCH, *target.cut(direction.target.cut, direction.target.samples)
    tail = target[direction.target.cut :].to("meta")  # shapes alone pass through
    tokens = torch.empty(shape, device="meta", requires_grad=True)
    return products_of(lambda: tail(tokens).sum().backward())


def chosen(direction: Direction, macs: int) -> dict[str, Any]:
    """Say what a build of so many steps that all of it is worth measuring would take."""
    source, target = direction.source.chain(), direction.target.chain()
    cut, last = direction.target.cut, len(target)
    bridge = direction.bridge(source, target)
    features = torch.randn(BATCH, bridge.in_features)
    teacher = torch.randn(BATCH, *target.cut(last, direction.target.samples))
    quick, _ = settings("cpu", "fp32", None, None)
    began = time.perf_counter()
    found = fastest(
        quick, [], bridge, target[cut:], features, teacher, PUBLISHED,
        macs=macs // 2 // BATCH, steps=10**6,
    )  # fmt: skip
    return {
        "line": found.line(),
        "seconds": time.perf_counter() - began,
        "compiling_is_tried_above_seconds": LONG,
    }


def measured(direction: Direction, rounds: int) -> dict[str, Any]:
    """Measure one direction."""
    products = tail_products(direction)
    rates = Rates(products.largest())
    rates.turn()
    steps = {name: make(direction) for name, make in METHODS.items()}
    seconds, losses = timed(steps, rounds, rates)
    wanted, rate = np.array(losses["reference"]), rates.turn()
    tail = costs(direction.target.chain(), direction.target.samples)
    macs = 2 * BATCH * (tail[-1].macs - tail[direction.target.cut].macs)
    whole = direction.bridge(direction.source.chain(), direction.target.chain())
    trained = sum(parameter.numel() for parameter in whole.parameters())
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "direction": direction.name,
        "parameters": trained,
        "parameters_as_published": trained == direction.parameters,
        "seconds": median,
        "spread": {name: [min(values), max(values)] for name, values in seconds.items()},
        "faster": {
            base: {
                name: median[base] / value
                for name, value in median.items()
                if name.startswith("ours")
            }
            for base in ("reference", "reference, frozen")
        },
        # The same steps from the same start: whatever is faster must not be something else.
        "loss_off": {
            name: float(np.abs(np.array(values) / wanted - 1).max())
            for name, values in losses.items()
        },
        "chosen": chosen(direction, macs),
        "gemm_macs_per_second": rates.best,
        "products": [list(product) for product in products.largest()],
        "floor_seconds": macs / rate,
        "tail_macs": macs,
        "shares": shares(steps["ours"]),
        "peak_mib": {name: peak(direction, name) for name in ("reference", "ours")},
    }


# -- precision --------------------------------------------------------------------------------


def precision(direction: Direction, steps: int) -> dict[str, Any]:
    """Train the same bridge in fp32 and with the frozen tail in bf16; judge both in fp32.

    A processor without bf16 computes it by conversion: slowly, but the same numbers.
    """
    source_chain, target = direction.source.chain(), direction.target.chain()
    cut, last = direction.source.cut, len(target)
    features = (
        Runner().features(source_chain, direction.source.windows(BATCH, 1), last=cut).pooled[cut]
    )
    windows = direction.target.windows(BATCH, 2)
    teacher = Runner().features(target, windows, tokens=[last]).tokens[last]
    tail, everything = target[direction.target.cut :], torch.arange(BATCH)
    alignment = Alignment(teacher, PUBLISHED, everything, torch.device("cpu"))
    training = replace(PUBLISHED, epochs=steps, learning_rate=1e-3)

    def judged(bridge: Callable[[Tensor], Tensor]) -> float:
        with torch.no_grad():
            return alignment(tail(bridge(features)), everything).item()

    found: dict[str, Any] = {"direction": direction.name, "steps": steps}
    found["before"] = judged(direction.bridge(source_chain, target))
    for kind in ("fp32", "bf16"):
        bridge = direction.bridge(source_chain, target)
        compute = Compute(device="cpu", precision=kind)
        train_bridge(bridge, tail, features, teacher, training, seed=0, compute=compute)
        found[kind] = judged(bridge)
    return found


# -- the table ----------------------------------------------------------------------------------


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay the steps out for a terminal."""
    out = Table(title=f"a training step, batch {BATCH}, seconds (median)", title_justify="left")
    names = [name for name in METHODS if any(name in row["seconds"] for row in rows)]
    for head in ("direction", *names, "× ours", "× fastest", "floor", "loss off", "peak MiB"):
        out.add_column(head, justify="left" if head == "direction" else "right")
    for row in rows:
        factors, kind = row["faster"]["reference"], row["faster"]["reference, frozen"]
        fastest = max(factors, key=lambda name: factors[name])
        out.add_row(
            row["direction"],
            *(f"{row['seconds'][name]:.3f}" if name in row["seconds"] else "–" for name in names),
            f"{factors['ours']:.1f} ({kind['ours']:.1f})",
            f"{factors[fastest]:.1f} ({kind[fastest]:.1f})",
            f"{row['floor_seconds']:.3f}",
            f"{max(row['loss_off'][name] for name in EXACT):.0e}",
            f"{row['peak_mib']['reference']:.0f} → {row['peak_mib']['ours']:.0f}",
        )
    out.caption = "in brackets: against a reference whose weights are frozen"
    return out


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Give the mean of the factors, their geometric mean, and the factor of the summed times."""
    found = {}
    for which in ("ours", "fastest"):
        ours = [
            row["seconds"]["ours"]
            if which == "ours"
            else min(value for name, value in row["seconds"].items() if name.startswith("ours"))
            for row in rows
        ]
        reference = [row["seconds"]["reference"] for row in rows]
        factors = [theirs / mine for theirs, mine in zip(reference, ours, strict=True)]
        found[which] = {
            "mean": statistics.mean(factors),
            "geometric_mean": statistics.geometric_mean(factors),
            "of_summed_times": sum(reference) / sum(ours),
        }
    return found


def measure(given: argparse.Namespace) -> None:
    """Measure all that was asked for; print it, and keep the figures as they come."""
    by_name = {direction.name: direction for direction in DIRECTIONS}
    console = Console(width=150)
    where = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    console.print(f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    found: dict[str, Any] = {}
    if given.out and (given.out / "training.json").is_file():
        found = json.loads((given.out / "training.json").read_text())  # of parts run before
    found |= {"where": where, "threads": torch.get_num_threads(), "torch": torch.__version__}
    for part in given.parts:
        rows = found.get(part, [])
        found[part] = [row for row in rows if row.get("direction") not in given.directions]

    def keep(part: str, row: dict[str, Any]) -> None:
        found[part].append(row)
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "training.json").write_text(json.dumps(found, indent=2) + "\n")

    if "steps" in given.parts:
        for name in given.directions:
            keep("steps", measured(by_name[name], given.rounds))
            console.print(table(found["steps"][-1:]))
        console.rule()
        console.print(table(found["steps"]))
        found["means"] = summary(found["steps"])
        console.print("over all:", found["means"])
        for row in found["steps"]:
            took = f"(measured in {row['chosen']['seconds']:.1f} s)"
            console.print(f"{row['direction']} chooses {row['chosen']['line']} {took}")
        shared = {
            row["direction"]: {kind: f"{share:.0%}" for kind, share in row["shares"].items()}
            for row in found["steps"]
        }
        console.print("where our step's time goes:", shared)
    for name in given.precise if "precision" in given.parts else ():
        keep("precision", precision(by_name[name], given.steps))
        console.print(found["precision"][-1])
    for name in given.directions if "positions" in given.parts else ():
        keep("positions", positions(by_name[name], PAIRS[name.split()[0]]))
        console.print(found["positions"][-1])
    if "cka" in given.parts:
        found["cka"] = []
        keep("cka", alignments())
        console.print("linear CKA:", found["cka"])


def main() -> int:
    """Read the command line, and measure."""
    names = [direction.name for direction in DIRECTIONS]
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path)
    options.add_argument("--rounds", type=int, default=7, help="timed steps of each method")
    options.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure")
    options.add_argument("--steps", type=int, default=3, help="in either precision")
    options.add_argument(
        "--precise",
        nargs="*",
        default=["WESAD ECG→PPG"],
        choices=names,
        metavar="DIRECTION",
        help="directions trained in both precisions (minutes without bf16)",
    )
    options.add_argument(
        "--directions", nargs="+", default=names, choices=names, metavar="DIRECTION"
    )
    options.add_argument("--peak", nargs=2, metavar=("DIRECTION", "METHOD"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.peak:
        step = METHODS[given.peak[1]](DIRECTIONS[names.index(given.peak[0])])
        step(), step()
        # Not getrusage: its peak is carried over from the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
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
