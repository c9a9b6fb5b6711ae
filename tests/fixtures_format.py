"""Signals and bundles for the tests of docs/format.md."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from fixtures_all import few
from fixtures_bundle import make_bundle
from fixtures_value import make_value_bundle
from hypothesis import Phase, settings
from hypothesis import strategies as st

from bioxedge import manifest, spec
from bioxedge.bundle import Bundle
from bioxedge.quality.measures import MEASURES, measure
from bioxedge.signals import Chunk

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


@functools.cache
def bundles(folder: Path) -> dict[str, Bundle]:
    """Write one of each kind."""
    quality, fine = spec.QualitySpec(), ("muse_2/ancillary",)
    easy = spec.QualitySpec(flat_run=0.1, railed_edge=0.4)
    rules = manifest.Decision(smoothing=1.5, threshold=0.52, patience=2, refractory=3)
    cheb = spec.Filter(design="chebyshev1", cutoff=(0.5, 12.0), order=3)
    notch = spec.Filter(design="notch", cutoff=(20.0,), q=20.0)
    return {
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
        "value": make_value_bundle(folder / "value", smoothing=2.0, spread=60.0),
    }  # fmt: skip


KINDS = ("plain", "filtered", "all", "value")
