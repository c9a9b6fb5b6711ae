"""A small real bundle that tells a value: a linear map of the window, in a unit."""

from __future__ import annotations

from pathlib import Path

import fixtures_bundle as wire
import msgspec
import numpy as np

from bioxedge import bundle, goldenfile, manifest
from bioxedge.bundle import Bundle
from bioxedge.goldenfile import GoldenData

HEART = manifest.Value(name="HR", unit="bpm", low=50.0, high=110.0)


def onnx_value(weights: np.ndarray, bias: float, channels: int, length: int) -> bytes:
    """``flatten(x) @ weights + bias``: x [1, channels, length] -> y [1, 1]."""
    graph = (
        wire._field(1, wire._node("Flatten", ["x"], "flat", axis=1))
        + wire._field(1, wire._node("Gemm", ["flat", "weights", "bias"], "y"))
        + wire._field(2, "linear")
        + wire._field(5, wire._tensor("weights", weights))
        + wire._field(5, wire._tensor("bias", np.array([bias], np.float32)))
        + wire._field(11, wire._value("x", (1, channels, length)))
        + wire._field(12, wire._value("y", (1, 1)))
    )
    opset = wire._field(1, "") + wire._field(2, 18)
    about = wire._field(1, 10) + wire._field(2, "bioxedge-tests")
    return about + wire._field(7, graph) + wire._field(8, opset)


def make_value_bundle(
    path: str | Path,
    *,
    value: manifest.Value = HEART,
    smoothing: float = 0.0,
    spread: float = 20.0,
    bias: float = 75.0,
    told: float = 1.0,
    **options: object,
) -> Bundle:
    """Write a bundle that answers ``bias``, give or take ``spread``, and open it.

    ``told`` scales the answers that the golden file claims.
    """
    labels = wire.make_bundle(path, **options)
    about = labels.manifest
    _, channels, length = about.variant().input.shape
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((channels * length, 1)) * spread / np.sqrt(channels * length)
    weights = weights.astype(np.float32)
    golden = labels.golden
    flat = golden.windows.reshape(len(golden.windows), -1).astype(np.float64)
    answers = ((flat @ weights + bias) * told).astype(np.float32)
    files = {
        "model.onnx": onnx_value(weights, bias, channels, length),
        "golden.npz": goldenfile.pack(GoldenData(golden.raw, golden.windows, answers)),
    }
    fp32 = msgspec.structs.replace(
        about.model["fp32"], output=manifest.Tensor(name="y", shape=(1, 1))
    )
    about = msgspec.structs.replace(
        about,
        model={"fp32": fp32},
        output=manifest.Output(
            labels=(),
            calibration=manifest.Calibration(temperature=1.0, bias=(0.0,)),
            decision=manifest.Decision(smoothing=smoothing),
            value=value,
        ),
    )
    return bundle.write(path, bundle.with_files(about, files), files)
