"""A small but real bundle, made without torch and without the onnx package.

The model is written byte by byte in protobuf's wire format: it answers with the softmax of a
linear map of the flattened window. Device tests need nothing but the device's own install.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from bioxedge import __version__, bundle, dsp, goldenfile, manifest, spec
from bioxedge.bundle import Bundle
from bioxedge.goldenfile import GoldenData
from bioxedge.signals import Chunk
from bioxedge.windows import WindowStream

# A band that keeps the pulse: what a PPG recipe would use.
PULSE = (spec.Filter(design="butterworth", cutoff=(0.5, 8.0), order=2),)


# -- an ONNX file from scratch (field numbers: onnx.proto) --------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field: an integer as a varint, text and bytes with their length before them."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _value(name: str, shape: Sequence[int]) -> bytes:
    """A ValueInfoProto of float32."""
    dims = b"".join(_field(1, _field(1, n)) for n in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def _tensor(name: str, array: np.ndarray) -> bytes:
    """A TensorProto of float32."""
    dims = b"".join(_field(1, n) for n in array.shape)
    return dims + _field(2, 1) + _field(8, name) + _field(9, array.astype("<f4").tobytes())


def _node(operator: str, inputs: Sequence[str], output: str, **integers: int) -> bytes:
    """A NodeProto; attributes are integers."""
    named = b"".join(_field(1, name) for name in inputs) + _field(2, output)
    attributes = b"".join(
        _field(5, _field(1, key) + _field(3, value) + _field(20, 2))
        for key, value in integers.items()
    )
    return named + _field(3, output + "_node") + _field(4, operator) + attributes


def onnx_model(weights: np.ndarray, bias: np.ndarray, channels: int, length: int) -> bytes:
    """``softmax(flatten(x) @ weights + bias)``: x [1, channels, length] -> y [1, labels]."""
    graph = (
        _field(1, _node("Flatten", ["x"], "flat", axis=1))
        + _field(1, _node("Gemm", ["flat", "weights", "bias"], "logits"))
        + _field(1, _node("Softmax", ["logits"], "y", axis=1))
        + _field(2, "linear")
        + _field(5, _tensor("weights", weights))
        + _field(5, _tensor("bias", bias))
        + _field(11, _value("x", (1, channels, length)))
        + _field(12, _value("y", (1, len(bias))))
    )
    opset = _field(1, "") + _field(2, 18)
    return _field(1, 10) + _field(2, "bioxedge-tests") + _field(7, graph) + _field(8, opset)


# -- the bundle ---------------------------------------------------------------------------


def weights_of(labels: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the weights [features, labels] and the bias [labels] of the test model."""
    rng = np.random.default_rng(seed)
    scale = 2.0 / np.sqrt(features)
    return (
        (rng.standard_normal((features, labels)) * scale).astype(np.float32),
        (rng.standard_normal(labels) * 0.1).astype(np.float32),
    )


def answers(windows: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute in float64 what the model answers: [windows, labels] float32."""
    logits = windows.reshape(len(windows), -1).astype(np.float64) @ weights + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def pulse(channels: int, samples: int, rate: float, seed: int = 0) -> np.ndarray:
    """A pulse-like signal [channels, samples] with harmonics, drift and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / rate
    beat = 2 * np.pi * (1.1 + 0.05 * np.arange(channels)[:, None]) * t
    drift = 0.3 * np.sin(2 * np.pi * 0.1 * t)
    wave = np.sin(beat) + 0.4 * np.sin(2 * beat + 0.7) + drift
    return np.ascontiguousarray(wave + 0.05 * rng.standard_normal((channels, samples)) + 2.0)


def make_bundle(
    path: str | Path,
    *,
    modality: str = "ppg",
    channels: Sequence[str] = ("ppg_2",),
    rate: float = 64.0,
    stages: Sequence[spec.Stage] = PULSE,
    max_gap: int = 8,
    length: int = 256,
    hop: int = 64,
    then: Sequence[spec.WindowStage] = (spec.ZScore(),),
    labels: Sequence[str] = ("rest", "stress"),
    unit: str = "a.u.",
    sensors: Sequence[str] = (),
    expect: Sequence[spec.Expect] = (),
    quality: spec.QualitySpec | None = None,
    decision: manifest.Decision | None = None,
    seed: int = 0,
) -> Bundle:
    """Write a bundle at ``path`` and open it."""
    model, about, golden = parts(
        modality=modality,
        channels=tuple(channels),
        rate=float(rate),
        stages=tuple(stages),
        max_gap=max_gap,
        length=length,
        hop=hop,
        then=tuple(then),
        labels=tuple(labels),
        seed=seed,
    )
    about = msgspec.structs.replace(
        about,
        input=msgspec.structs.replace(
            about.input,
            channels=tuple(spec.ChannelSpec(name=name, unit=unit) for name in channels),
            sensors=tuple(sensors),
            expect=tuple(expect),
        ),
        output=msgspec.structs.replace(about.output, decision=decision or manifest.Decision()),
        quality=quality,
    )
    files = {"model.onnx": model, "golden.npz": goldenfile.pack(golden)}
    return bundle.write(path, bundle.with_files(about, files), files)


def with_bf16(good: Bundle, path: str | Path, **bounds: float) -> Bundle:
    """Write a bundle again, with a variant that is its file in another arithmetic."""
    bounds = {"tolerance": 0.05, "agreement": 0.5, **bounds}
    fp32 = good.manifest.model["fp32"]
    bf16 = msgspec.structs.replace(fp32, precision="bf16", **bounds)
    about = msgspec.structs.replace(good.manifest, model={"fp32": fp32, "bf16": bf16})
    files = {"model.onnx": good.model(), "golden.npz": goldenfile.pack(good.golden)}
    return bundle.write(path, about, files)


@functools.cache
def parts(
    *,
    modality: str,
    channels: tuple[str, ...],
    rate: float,
    stages: tuple[spec.Stage, ...],
    max_gap: int,
    length: int,
    hop: int,
    then: tuple[spec.WindowStage, ...],
    labels: tuple[str, ...],
    seed: int,
) -> tuple[bytes, manifest.Manifest, GoldenData]:
    """Give a bundle's model, manifest (sizes and hashes left open) and golden arrays."""
    source = spec.Input(
        modality=modality,
        channels=tuple(spec.ChannelSpec(name=name, unit="a.u.") for name in channels),
        rate=rate,
    )
    stream = spec.StreamSpec(stages=dsp.settle(stages, source), max_gap=max_gap)
    window = spec.WindowSpec(length=length, hop=hop, then=then)
    width = len(dsp.Stages(stream.stages, source).channels)
    weights, bias = weights_of(len(labels), width * length, seed)
    golden = _golden(source, stream, window, weights, bias, seed)
    parameters = weights.size + bias.size
    about = manifest.Manifest(
        format=manifest.FORMAT,
        name="test bundle",
        input=source,
        stream=stream,
        window=window,
        model={
            "fp32": manifest.Variant(
                file="model.onnx",
                precision="fp32",
                opset=18,
                ir=10,
                sha256="0" * 64,
                bytes=1,
                parameters=parameters,
                input=manifest.Tensor(name="x", shape=(1, width, length)),
                output=manifest.Tensor(name="y", shape=(1, len(labels))),
            )
        },
        golden=manifest.Golden(
            file="golden.npz", sha256="0" * 64, bytes=1, windows=len(golden.windows)
        ),
        output=manifest.Output(
            labels=labels,
            calibration=manifest.Calibration(temperature=1.0, bias=(0.0,) * len(labels)),
        ),
        quality=None,
        made_by=_made_by(parameters, seed),
    )
    return onnx_model(weights, bias, width, length), about, golden


def _golden(
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
    weights: np.ndarray,
    bias: np.ndarray,
    seed: int,
) -> GoldenData:
    """Two pieces of signal, each long enough for three windows, and what comes of them."""
    stages = dsp.Stages(stream.stages, source)
    last = window.length + 2 * window.hop - 1
    samples = int(np.ceil(float(stages.position(last)))) + 64
    for stage in stream.stages:  # the position has the delay taken off: add it again
        if isinstance(stage, spec.Resample):
            samples += 2 * stage.reach * max(stage.up, stage.down)
    raw = np.stack(
        [pulse(len(source.channels), samples, source.rate, seed + piece) for piece in (1, 2)]
    )
    windows = np.stack(
        [
            cut.samples
            for piece in raw
            for cut in WindowStream(source, stream, window).push(Chunk(piece, 0, source.rate))
        ]
    )
    return GoldenData(raw, windows, answers(windows, weights, bias))


def _made_by(parameters: int, seed: int) -> manifest.MadeBy:
    """Provenance of a model that was drawn, not trained."""
    part = manifest.ModelPart(
        model="none", cut=1, blocks=2, checkpoint="none", checkpoint_sha256="0" * 64, parameters=0
    )
    return manifest.MadeBy(
        bioxedge=__version__,
        versions={"numpy": np.__version__},
        source=part,
        target=part,
        bridge=manifest.BridgePart(
            in_features=1,
            out_features=1,
            tokens=1,
            rank=1,
            prototypes=1,
            trained_parameters=parameters,
        ),
        data=manifest.DataPart(name="none", split={"train": ("a",), "test": ("b",)}, seed=seed),
        metrics={},
        licences=(manifest.Licence(part="all", licence="Apache-2.0"),),
        non_commercial=False,
    )
