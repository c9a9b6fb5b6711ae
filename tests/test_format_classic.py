"""docs/classic.md and a wearer's baseline: a reader written from the pages computes the same."""

from __future__ import annotations

from typing import Any

import bundle_classic
import bundle_decisions
import bundle_windows
import msgspec
import numpy as np
import pytest
from fixtures_format import BODY, SEED, body, law
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import classic, spec
from bioxedge.wearer import Baseline, beside
from bioxedge.windows import Window

MODALITIES = [*bundle_classic.NAMES, "respiration"]


@law(80)
@given(
    seed=SEED,
    kind=st.sampled_from(BODY),
    modality=st.sampled_from(MODALITIES),
    rate=st.sampled_from([4.0, 32.5, 64.0, 250.0]),
    seconds=st.sampled_from([2, 10, 21]),
    breathing=st.booleans(),
)
def test_features(
    seed: int, kind: str, modality: str, rate: float, seconds: int, breathing: bool
) -> None:
    breathing = breathing and modality in classic.BREATHING
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    x = np.stack([body(kind, rng, n, rate), body("beats", rng, n, rate)])
    if modality == "ecg":
        x[1] = (x[1] % 1.0) ** 8  # with something fast in it
    ours = classic.of_window(x, rate, modality, breathing=breathing)
    known = classic.names(modality, ("a", "b"), breathing=breathing)
    about = {"input": {"modality": modality, "rate": rate}, "features": {"classic": known}}
    window = bundle_windows.Window(x, 0, n, 0, 0, 1)
    theirs = bundle_classic.of_window(about, x, window)
    assert bundle_classic.names(modality, ["a", "b"], breathing) == list(known)
    # One that hangs on how a rounding falls out (a row of nothing but rounding) is left out.
    size = np.maximum(np.abs(ours), 1e-9)
    # How often a row rises is counted sample by sample: where it is flat, rounding tells.
    counted = np.array([name.endswith("rise") for name in known])
    bound = np.where(counted, 0.05, 1e-6)
    off = np.abs(theirs - ours) / size
    same = np.isnan(ours) & np.isnan(theirs)
    assert (same | (off <= bound)).all(), (theirs, ours)


def test_the_stretch_of_a_window() -> None:
    x = np.arange(40.0)[None]
    x[0, [5, 6, 12]] = np.nan
    about = {"input": {"modality": "temperature", "rate": 4.0}, "features": {"classic": []}}
    start, end = (bundle_windows.Fraction(n, 3) for n in (14, 70))
    window = Window(x.astype(np.float32), start, end, 0)
    first, last = classic.stretch(start, end)
    ours = classic.of_window(x[:, first:last], 4.0, "temperature")
    theirs = bundle_classic.of_window(about, x, window)
    np.testing.assert_allclose(theirs, ours, rtol=1e-12)


@law(40)
@given(
    seed=SEED,
    memory=st.sampled_from([0, 1, 7]),
    settle=st.integers(1, 5),
    scale=st.sampled_from([1e-39, 1e-6, 1.0, 1e4]),
    still=st.sampled_from([1e-12, 1e-6, 1e-4, 1.0]),
    own=st.booleans(),
)
def test_a_baseline(
    seed: int, memory: int, settle: int, scale: float, still: float, own: bool
) -> None:
    """What goes beside a window, and when it has settled; features that are missing, or still."""
    rng = np.random.default_rng(seed)
    baseline = spec.BaselineSpec(settle=settle, memory=memory)
    features = spec.FeaturesSpec(
        encoder=3,
        classic=("a", "b"),
        fill=(0.5, -2.0),
        baseline=baseline if own else None,
    )
    ours = Baseline(baseline, features.count) if own else None
    theirs = bundle_decisions.Baseline(msgspec.to_builtins(features))
    for _ in range(12):
        row = scale * rng.normal(5, still, 2)
        row[1] = np.nan if rng.random() < 0.5 else row[1]
        found = beside(features, row, None if ours is None else ours.scale())
        np.testing.assert_allclose(theirs.beside(row), found, rtol=1e-6 if still > 1e-6 else 1e-3)
        assert theirs.settled == (ours is None or ours.settled)
        given_: Any = (scale * rng.normal(-3, 2, 5)).astype(np.float32)
        given_[0] = 7.0
        if ours is not None:
            ours.push(np.concatenate([given_[:3], row]))
        theirs.learn(given_, row)
    if ours is not None:
        known = ours.known()
        assert (theirs.seen, tuple(theirs.n)) == (known.windows, known.count)
        assert (list(theirs.m), list(theirs.v)) == (
            pytest.approx(list(known.mean)),
            pytest.approx(list(known.square), rel=1e-9 if still > 1e-6 else 1e-3),
        )
