"""Pretraining on slow sensors: what is asked of windows is what their rate holds."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch import Tensor

from bioxedge import models
from bioxedge.bridging.augment import standardise
from bioxedge.bridging.pretrain import SLOW, Span, _rhythm, pretrain, span_of
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train

quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def responses(count: int, samples: int, rate: float) -> Tensor:
    """Skin conductance: drops of sweat every 3 to 10 s, on a level that drifts."""
    rng = torch.Generator().manual_seed(0)
    period = 3 + 7 * torch.rand(count, 1, 1, generator=rng)
    moment = torch.arange(samples) / rate + 10 * torch.rand(count, 1, 1, generator=rng)
    wave = torch.exp(-((moment % period) - 1.0).square())
    drift = torch.randn(count, 1, 1, generator=rng) * torch.linspace(0, 1, samples)
    return standardise(wave + drift + 0.05 * torch.randn(wave.shape, generator=rng))


def encoder(filters: int = 8, blocks: int = 6):
    torch.manual_seed(0)
    return models.create("papagei", base_filters=filters, blocks=blocks)


def test_a_slow_sensor_teaches_something():
    windows = responses(192, 120, 4.0)
    history = pretrain(encoder(16, 10), windows, rate=4.0, epochs=12, batch=32, seed=0)
    assert all(map(math.isfinite, history))
    assert history[-1] < 0.9 < history[0]  # 1 is what a constant answer gets


@pytest.mark.parametrize(("rate", "samples"), [(1.0, 60), (4.0, 16), (8.0, 240), (12.0, 16)])
def test_every_slow_rate_gives_a_finite_loss(rate, samples):
    windows = responses(24, samples, rate)
    history = pretrain(encoder(), windows, rate=rate, epochs=1, batch=8, seed=0)
    assert math.isfinite(history[0])


@quick
@given(st.floats(SLOW, 1000, exclude_min=True), st.floats(4.01, 60))
def test_above_12_hz_the_pulse_is_asked_for_as_ever(rate, seconds):
    assert span_of(math.ceil(rate * seconds), rate) == Span(0.5, 5.3, 0.25, 1.75, 0.016)


@quick
@given(st.floats(0.5, SLOW), st.integers(16, 4000))
def test_a_slow_span_lies_within_the_rate_and_the_window(rate, samples):
    span = span_of(samples, rate)
    assert 2 / (samples / rate) <= span.lowest < span.highest < rate / 2
    assert 0 < span.shortest < span.longest <= samples / rate / 2
    assert span.step > 0


@quick
@given(st.floats(SLOW, 1000, exclude_min=True), st.floats(0.05, 0.49))
def test_a_lower_end_asks_for_slower_rhythms_and_the_pulse_all_the_same(rate, lowest):
    span = span_of(math.ceil(rate * 2 / lowest) + 1, rate, lowest)
    assert span == Span(lowest, 5.3, 0.25, 1.75, 0.016, 1 / lowest)


def test_breaths_are_heard_from_the_lower_end_on():
    """Windows that differ in how fast their level moves, and in nothing else."""
    rate, seconds = 32.0, 30.0
    time = torch.arange(round(rate * seconds)) / rate
    breaths = 0.15 + 0.3 * torch.rand(64, 1, 1)
    pulse = torch.sin(2 * math.pi * 1.2 * time + 6 * torch.rand(64, 1, 1))
    windows = pulse + 1.5 * torch.sin(2 * math.pi * breaths * time + 6 * torch.rand(64, 1, 1))
    given = _rhythm(len(time), rate, span_of(len(time), rate, 0.1))(windows)
    without = _rhythm(len(time), rate, span_of(len(time), rate))(windows)
    assert given.shape[1] > without.shape[1]
    lags = torch.arange(round(1.75 * rate), round(10.0 * rate), round(0.1 * rate)) / rate
    peak = lags[given[:, -len(lags) :].argmax(1)]
    period = 1 / breaths[:, 0, 0]
    # The first peak after half a period is a period, or several of them.
    share = (peak / period - (peak / period).round()).abs()
    assert (share < 0.12).float().mean() > 0.8


def test_windows_that_hold_no_rhythm_are_refused():
    with pytest.raises(ModelError, match="16 or more are needed, 4 s at 4 Hz"):
        pretrain(encoder(), torch.zeros(8, 1, 15), rate=4.0, epochs=1, seed=0)
    with pytest.raises(ModelError, match=r"0.1 Hz and needs 20 s"):
        pretrain(encoder(), torch.zeros(8, 1, 640), rate=64.0, epochs=1, lowest=0.1, seed=0)
    with pytest.raises(ModelError, match=r"not below 5.3 Hz"):
        pretrain(encoder(), torch.zeros(8, 1, 640), rate=64.0, epochs=1, lowest=6.0, seed=0)
    with pytest.raises(ModelError, match=r"needs 4 s"):
        pretrain(encoder(), torch.zeros(8, 1, 192), rate=64.0, epochs=1, seed=0)
