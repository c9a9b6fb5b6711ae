"""docs/format.md: a reader written from the page alone judges signals as bioxedge does."""

from __future__ import annotations

import math
from typing import Any

import bundle_judging
import msgspec
import numpy as np
import pytest
from fixtures_format import BODY, SEED, body, expected, law
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import spec
from bioxedge.quality.bounds import fault_of
from bioxedge.quality.judge import judged
from bioxedge.quality.measures import MEASURES


@law(60)
@given(
    seed=SEED,
    kinds=st.lists(st.sampled_from(BODY), min_size=2, max_size=2),
    rate=st.sampled_from([4.0, 64.0, 130.5, 250.0]),
    n=st.integers(8, 700),
    people=st.sampled_from([0, 2, 20]),
    contact=st.sampled_from([None, 0.5]),
    amplitude=st.booleans(),
    off=st.lists(st.sampled_from(["flat", "noise", "amplitude", "missing"]), max_size=1),
)
def test_verdicts(
    seed: int, kinds: list[str], rate: float, n: int, people: int, contact: float | None,
    amplitude: bool, off: list[Any],
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    x = np.stack([body(kind, rng, n, rate) for kind in kinds])
    source = spec.Input(
        modality="ppg", channels=tuple(spec.ChannelSpec(name=c, unit="mV") for c in "ab"), rate=rate
    )
    expect = tuple(expected(c, rate, 400, people) for c in "ab") if people else ()
    quality = spec.QualitySpec(contact_level=contact, amplitude=amplitude, off=tuple(off))
    about = msgspec.to_builtins({"input": source, "quality": quality})
    about["input"]["expect"] = msgspec.to_builtins(expect)
    ours = judged(x, source, expect, quality)
    assert bundle_judging.judge(about, x) == [one.fault for one in ours.channels]
    for row, one in zip(x, ours.channels, strict=True):
        figures = bundle_judging.measures(row[np.isfinite(row)], rate) or {}
        assert figures == pytest.approx(one.measures, rel=1e-9, abs=1e-12)


def quantiles(rng: np.random.Generator, scale: float) -> spec.Quantiles:
    """Draw how a measure spread in training."""
    ends = sorted((scale * rng.uniform(0.3, 1.7, 5)).tolist())
    return spec.Quantiles(least=ends[0], low=ends[1], middle=ends[2], high=ends[3], most=ends[4])


@law(40)
@given(
    seed=SEED,
    people=st.integers(1, 14),
    contact=st.sampled_from([None, 0.5]),
    amplitude=st.booleans(),
    rough=st.sampled_from([0.1, 0.5, 1.0]),
    off=st.sampled_from([(), ("flat",), ("noise", "railed"), ("amplitude", "missing")]),
)
def test_faults(
    seed: int, people: int, contact: float | None, amplitude: bool, rough: float, off: Any
) -> None:
    """Figures on both sides of every bound, however near."""
    rng = np.random.default_rng(seed)
    scales = {"roughness": rough, "crest": 3.0, "run": 0.1, "edge": 0.1, "mains": 0.3}
    measures = {name: quantiles(rng, scales.get(name, 1.0)) for name in MEASURES}
    expect = spec.Expect(channel="a", samples=9, windows=9, people=people, measures=measures)
    quality = spec.QualitySpec(contact_level=contact, amplitude=amplitude, off=off)
    plain, few = msgspec.to_builtins((expect, quality)), 1 + max(0, 12 - people) / 12
    usual = measures["roughness"].high
    noisy = math.sqrt(usual**2 + (2 - usual**2) * min(quality.noise * few, 1)) if usual < 1 else 1.0
    for _ in range(150):
        figures = {name: measures[name].middle for name in MEASURES}
        for name in rng.choice(MEASURES, 2).tolist():
            own = measures[name]
            margin = float(rng.choice([5.0, 1.75, 1.25])) ** few
            bounds = [own.low / margin, own.high * margin, own.low / 10, own.high * 2, own.high]
            bounds += [0.25, 0.1, 0.5, 1.75, noisy, 0.0]
            figures[name] = float(rng.choice(bounds)) * float(rng.choice([0.999, 1.001]))
        real = float(rng.choice([0.3, 0.5, 1.0]))
        for known, told in ((expect, plain[0]), (None, None)):
            wanted = fault_of(figures, real, known, quality)
            assert bundle_judging.fault(figures, real, told, plain[1]) == wanted
