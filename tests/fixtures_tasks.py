"""A small real bundle that tells three things of one window: two labels' worth and a value."""

from __future__ import annotations

from pathlib import Path

import fixtures_bundle as wire
import msgspec
import numpy as np
from fixtures_value import HEART

from bioxedge import bundle, goldenfile, manifest
from bioxedge.bundle import Bundle
from bioxedge.goldenfile import GoldenData

BREATH = ("slow", "middle", "fast")


def onnx_tasks(weights: np.ndarray, bias: np.ndarray, channels: int, length: int) -> bytes:
    """``[softmax(2), softmax(3), 1]`` of linear maps: x [1, channels, length] -> y [1, 6]."""
    nodes, tensors = [wire._node("Flatten", ["x"], "flat", axis=1)], []
    for name, columns in (("a", slice(0, 2)), ("b", slice(2, 5)), ("c", slice(5, 6))):
        nodes.append(wire._node("Gemm", ["flat", f"w{name}", f"b{name}"], f"l{name}"))
        tensors += [
            wire._tensor(f"w{name}", weights[:, columns]),
            wire._tensor(f"b{name}", bias[columns]),
        ]
    nodes += [wire._node("Softmax", [f"l{name}"], name, axis=1) for name in "ab"]
    nodes.append(wire._node("Concat", ["a", "b", "lc"], "y", axis=1))
    graph = (
        b"".join(wire._field(1, node) for node in nodes)
        + wire._field(2, "linear")
        + b"".join(wire._field(5, tensor) for tensor in tensors)
        + wire._field(11, wire._value("x", (1, channels, length)))
        + wire._field(12, wire._value("y", (1, 6)))
    )
    opset = wire._field(1, "") + wire._field(2, 18)
    about = wire._field(1, 10) + wire._field(2, "bioxedge-tests")
    return about + wire._field(7, graph) + wire._field(8, opset)


def make_tasks_bundle(
    path: str | Path,
    *,
    decisions: tuple[manifest.Decision, ...] = (manifest.Decision(),) * 3,
    wrong: int | None = None,
    **options: object,
) -> Bundle:
    """Write a bundle of ``rest``/``stress``, a breathing band and a heart rate, and open it.

    ``wrong`` is a column of the golden answers that claims something else than the model gives.
    """
    labels = wire.make_bundle(path, **options)
    about = labels.manifest
    _, channels, length = about.variant().input.shape
    weights, bias = wire.weights_of(6, channels * length, seed=5)
    weights[:, 5] *= 10.0
    bias[5] = 80.0
    golden = labels.golden
    flat = golden.windows.reshape(len(golden.windows), -1).astype(np.float64)
    logits = flat @ weights + bias
    odds = np.exp(logits[:, :5])
    parts = [odds[:, a:b] / odds[:, a:b].sum(1, keepdims=True) for a, b in ((0, 2), (2, 5))]
    answers = np.hstack([*parts, logits[:, 5:]]).astype(np.float32)
    if wrong is not None:
        answers[:, wrong] += np.float32(0.01 * (HEART.range if wrong == 5 else 1))
    files = {
        "model.onnx": onnx_tasks(weights, bias, channels, length),
        "golden.npz": goldenfile.pack(GoldenData(golden.raw, golden.windows, answers)),
    }
    fp32 = msgspec.structs.replace(
        about.model["fp32"], output=manifest.Tensor(name="y", shape=(1, 6))
    )
    about = msgspec.structs.replace(
        about,
        model={"fp32": fp32},
        output=msgspec.structs.replace(about.output, decision=decisions[0]),
        others=(
            manifest.Other(name="breath", output=told(BREATH, decisions[1])),
            manifest.Other(name="heart", output=told((), decisions[2], HEART)),
        ),
    )
    return bundle.write(path, bundle.with_files(about, files), files)


def told(
    labels: tuple[str, ...], decision: manifest.Decision, value: manifest.Value | None = None
) -> manifest.Output:
    """Say what a task answers, uncalibrated."""
    bias = (0.0,) * (len(labels) or 1)
    return manifest.Output(
        labels=labels,
        calibration=manifest.Calibration(temperature=1.0, bias=bias),
        decision=decision,
        value=value,
    )
