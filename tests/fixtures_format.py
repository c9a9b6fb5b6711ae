"""Signals and bundles for the tests of docs/format.md."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import fixtures_bundle as wire
import msgspec
import numpy as np
from fixtures_all import few
from fixtures_bundle import make_bundle
from fixtures_tasks import make_tasks_bundle
from fixtures_value import make_value_bundle
from hypothesis import Phase, settings
from hypothesis import strategies as st

from bioxedge import bundle, classic, goldenfile, manifest, spec
from bioxedge.bundle import Bundle
from bioxedge.goldenfile import GoldenData, golden_classic
from bioxedge.quality.measures import MEASURES, measure
from bioxedge.signals import Chunk
from bioxedge.wearer import Scale, beside

SEED = st.integers(0, 2**32 - 1)


def law(examples: int) -> Any:
    return settings(
        max_examples=few(4 * examples, examples),
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),  # minutes of shrinking tell no more than a seed
    )


def chunks(x: np.ndarray, rate: float, seed: int) -> list[Chunk]:
    """Cut samples anyhow; leave out what is wholly missing now and then, so that indices jump."""
    rng = np.random.default_rng(seed)
    cuts = np.unique(np.concatenate([[0, x.shape[1]], rng.integers(0, x.shape[1], 9)]))
    found = []
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if np.isfinite(x[:, begin:end]).any() or begin == 0 or rng.random() < 0.5:
            found.append(Chunk(x[:, begin:end], begin, rate))
    return found


BODY = ("quiet", "beats", "noise", "flat", "railed", "mains", "loud", "missing", "zigzag", "drift")


def body(kind: str, rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    """Draw what a channel may look like: alive, or with one of the faults."""
    t = np.arange(n) / rate
    x = np.sin(2 * np.pi * 1.2 * t) + 0.4 * np.sin(2 * np.pi * 2.4 * t) + 0.03 * rng.normal(size=n)
    if kind == "noise":
        x = rng.normal(size=n)
    elif kind == "flat":
        x[n // 3 :] = x[n // 3]
    elif kind == "railed":
        x = np.clip(4 * x, -1.0, 1.0)
    elif kind == "mains":
        x += 3 * np.sin(2 * np.pi * rng.choice([50, 60]) * t)
    elif kind == "loud":
        x *= 10 ** rng.uniform(-4, 4)
    elif kind == "missing":
        x[rng.random(n) < rng.uniform(0, 1)] = np.nan
    elif kind == "zigzag":
        x = (-1.0) ** np.arange(n) + 0.01 * x
    elif kind == "drift":
        x += 20 * t
    return x + 5 * (kind == "beats")


def expected(name: str, rate: float, n: int, people: int) -> spec.Expect:
    """Say what training saw, as a build would: quantiles of every measure of good windows."""
    kinds = ("quiet", "drift")
    rows = [body(kind, np.random.default_rng(i), n, rate) for i in range(6) for kind in kinds]
    found = [one for one in measure(np.array(rows), rate) if one]
    measures = {}
    for figure in MEASURES:
        ends = np.quantile([one[figure] for one in found], [0, 0.01, 0.5, 0.99, 1]).tolist()
        measures[figure] = spec.Quantiles(
            least=ends[0], low=ends[1], middle=ends[2], high=ends[3], most=ends[4]
        )
    return spec.Expect(
        channel=name, samples=n, windows=len(found), people=people, measures=measures
    )


def make_features_bundle(path: Path, *, breathing: bool = False, **options: Any) -> Bundle:
    """Write a bundle with classic features and a wearer's baseline; graph and all by hand."""
    plain = make_bundle(path, **options)
    about, encoder = plain.manifest, 3
    names = classic.names(about.input.modality, about.input.names, breathing=breathing)
    count, own = encoder + len(names), len(names)
    features = spec.FeaturesSpec(
        encoder=encoder,
        classic=names,
        fill=tuple(0.5 + 0.25 * k for k in range(own)),
        baseline=spec.BaselineSpec(settle=4, memory=9, clip=4.0),
    )
    _, width, length = about.variant().input.shape
    rng = np.random.default_rng(5)
    encode = np.zeros((width * length, count))
    encode[:, :encoder] = rng.normal(size=(width * length, encoder)) / np.sqrt(width * length)
    # Parts of what goes beside a window are picked by matrices of 0 and 1.
    classic_of, means, inverses = np.zeros((3, features.beside, count))
    classic_of[:own, encoder:] = np.eye(own)
    means[own : own + count], inverses[own + count :] = np.eye(count), np.eye(count)
    weights = {
        "encode": encode, "classic_of": classic_of, "means": means, "inverses": inverses,
        "low": np.array(-4.0), "high": np.array(4.0), "head": rng.normal(size=(count, 2)),
    }  # fmt: skip
    labels = len(about.output.labels)
    graph = (
        wire._field(1, wire._node("Flatten", ["x"], "flat", axis=1))
        + wire._field(1, wire._node("MatMul", ["flat", "encode"], "encoded"))
        + wire._field(1, wire._node("MatMul", ["beside", "classic_of"], "described"))
        + wire._field(1, wire._node("Add", ["encoded", "described"], "features"))
        + wire._field(1, wire._node("MatMul", ["beside", "means"], "mean"))
        + wire._field(1, wire._node("MatMul", ["beside", "inverses"], "inverse"))
        + wire._field(1, wire._node("Sub", ["features", "mean"], "off"))
        + wire._field(1, wire._node("Mul", ["off", "inverse"], "scaled"))
        + wire._field(1, wire._node("Clip", ["scaled", "low", "high"], "clipped"))
        + wire._field(1, wire._node("MatMul", ["clipped", "head"], "logits"))
        + wire._field(1, wire._node("Softmax", ["logits"], "y", axis=1))
        + wire._field(2, "features")
        + b"".join(wire._field(5, wire._tensor(*one)) for one in weights.items())
        + wire._field(11, wire._value("x", (1, width, length)))
        + wire._field(11, wire._value("beside", (1, features.beside)))
        + wire._field(12, wire._value("y", (1, labels)))
        + wire._field(12, wire._value("features", (1, count)))
    )
    opset = wire._field(1, "") + wire._field(2, 18)
    head = wire._field(1, 10) + wire._field(2, "bioxedge-tests")
    model = head + wire._field(7, graph) + wire._field(8, opset)
    rows = golden_classic(plain.golden.raw, about.input, about.stream, about.window, features)
    scale = Scale(rng.normal(size=count).astype(np.float32), np.full(count, 0.1, np.float32))
    given = np.stack([beside(features, row, scale) for row in rows])
    flat = plain.golden.windows.reshape(len(given), -1)
    known = flat @ encode.astype(np.float32) + given @ classic_of.astype(np.float32)
    off = np.clip((known - scale.mean) * scale.inverse, -4, 4) @ weights["head"]
    odds = np.exp(off - off.max(axis=1, keepdims=True))
    golden = GoldenData(
        plain.golden.raw,
        plain.golden.windows,
        (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
        given,
    )
    bridge = msgspec.structs.replace(about.made_by.bridge, in_features=count)
    about = msgspec.structs.replace(
        about,
        features=features,
        made_by=msgspec.structs.replace(about.made_by, bridge=bridge),
    )
    files = {"model.onnx": model, "golden.npz": goldenfile.pack(golden)}
    return bundle.write(path, bundle.with_files(about, files), files)


class Made(dict[str, Bundle]):
    """Bundles by kind; said in a word where a test fails."""

    def __repr__(self) -> str:
        return "bundles"


@functools.cache
def bundles(folder: Path) -> Made:
    """Write one of each kind."""
    quality, fine = spec.QualitySpec(), ("muse_2/ancillary",)
    easy = spec.QualitySpec(flat_run=0.1, railed_edge=0.4)
    rules = manifest.Decision(smoothing=1.5, threshold=0.52, patience=2, refractory=3)
    cheb = spec.Filter(design="chebyshev1", cutoff=(0.5, 12.0), order=3)
    notch = spec.Filter(design="notch", cutoff=(20.0,), q=20.0)
    found = {
        "plain": make_bundle(folder / "plain", stages=(), then=(), max_gap=0),
        "filtered": make_bundle(folder / "filtered", quality=easy, decision=rules),
        "all": make_bundle(
            folder / "all",
            channels=("a", "b"),
            stages=(
                spec.Select(channels=("b", "a")), notch, spec.Resample(up=3, down=4),
                cheb, spec.Scale(gain=2.0, offset=-1.0),
            ),
            then=(spec.ZScore(), spec.Rank()),
            hop=48, length=96, quality=quality, sensors=fine, decision=rules,
            expect=tuple(expected(name, 64.0, 128, 20) for name in "ab"),
        ),
        "features": make_features_bundle(
            folder / "features", quality=quality, decision=rules, then=(), hop=48, length=192
        ),
        "breathing": make_features_bundle(
            folder / "breathing", breathing=True, channels=("a", "b"), quality=quality, then=(),
            hop=96, length=640,
        ),
        "tasks": make_tasks_bundle(
            folder / "tasks", quality=quality, decisions=(rules, manifest.Decision(patience=3),
            manifest.Decision(smoothing=4.0)),
        ),
        "slow": make_bundle(
            folder / "slow", modality="eda", channels=("eda",), rate=4.0, length=120, hop=40,
            stages=(spec.Filter(design="butterworth", kind="lowpass", cutoff=(1.0,), order=2),),
            quality=quality,
        ),
        "value": make_value_bundle(folder / "value", smoothing=2.0, spread=60.0),
    }  # fmt: skip
    return Made(found)


KINDS = ("plain", "filtered", "all", "features", "breathing", "tasks", "slow", "value")
