"""A small but real kit, made without torch: its parts are handwritten graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures_bundle import onnx_model

from bioxedge import kit
from bioxedge.kit import CALL, Kit, Parts, Plan, Sliced

PARTS = Parts(
    stem="source-stem",
    blocks=("source-block-00", "source-block-00"),
    pools=("pool-00", "pool-00", "pool-00"),
    bridges=("bridge-00", "bridge-01"),
    tail=("target-block-00",),
    head="head",
    seams=("source-seam-00", "source-seam-01"),
    tail_seams=(),
)
PLAN = Plan(
    source=Sliced(model="papagei", config={"blocks": 2}, channels=1, samples=64),
    target=Sliced(model="ecg_transformer", config={"blocks": 1}, channels=1, samples=125),
    rank=2,
    prototypes=4,
    classes=2,
)


def graph(channels: int, length: int, labels: int = 2) -> tuple[tuple[int, ...], bytes]:
    """The shape of a part's input, and its graph."""
    weights = np.full((channels * length, labels), 0.1, np.float32)
    raw = onnx_model(weights, np.zeros(labels, np.float32), channels, length)
    return (1, channels, length), raw


def make_kit(path: Path, plan: Plan = PLAN) -> Kit:
    """Write a kit of two source blocks that share a part, and one target block."""
    names = sorted(PARTS.names | {CALL})
    graphs = {name: graph(1 + at, 16) for at, name in enumerate(names)}
    return kit.write(path, plan, PARTS, graphs, "0")
