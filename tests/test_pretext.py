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
from bioxedge.bridging.pretrain import SLOW, Span, pretrain, span_of
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


def test_windows_that_hold_no_rhythm_are_refused():
    with pytest.raises(ModelError, match="16 or more are needed, 4 s at 4 Hz"):
        pretrain(encoder(), torch.zeros(8, 1, 15), rate=4.0, epochs=1, seed=0)
    with pytest.raises(ModelError, match=r"needs 4 s"):
        pretrain(encoder(), torch.zeros(8, 1, 192), rate=64.0, epochs=1, seed=0)
