"""Cards: what a model is fed, as published and on a device; they need no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from bioxedge import dsp, models, spec
from bioxedge.errors import ModelError, SignalError
from bioxedge.models.cards import CARDS, card
from bioxedge.models.reference import (
    ForwardBackwardChebyshev,
    ForwardBackwardFIR,
    Fourier,
    Linear,
    Ranks,
    Standardise,
    prepare,
)
from bioxedge.windows import finish

every = pytest.mark.parametrize("name", CARDS)


def sensor(rate: float) -> spec.Input:
    channels = (spec.ChannelSpec(name="one", unit="any"),)
    return spec.Input(modality="any", channels=channels, rate=rate)


def test_there_is_a_card_for_every_name() -> None:
    assert models.names() == tuple(CARDS) == tuple(sorted(CARDS))
    with pytest.raises(ModelError, match=r"'resnet': choose one of cbramod, "):
        card("resnet")


@every
def test_a_card_says_it_all(name: str) -> None:
    found = card(name)
    assert found.title and found.paper and found.origin and found.licence
    assert found.sizes and all(size.blocks and size.millions > 0 for size in found.sizes)
    assert found.contract.windows and found.contract.unit in ("1", "uV")
    assert json.loads(json.dumps(found.to_dict()))["input"]["rate"] == found.contract.rate
    # What is standardised has no unit left, and the other way round.
    assert bool(found.contract.then) == (found.contract.unit == "1")


def test_what_may_not_be_sold_is_marked() -> None:
    marked = {name for name, each in CARDS.items() if each.non_commercial}
    assert marked == {name for name, each in CARDS.items() if "NC" in each.licence}
    assert marked == {"hubert_ecg"}


def test_only_ecg_dualnet_cannot_be_bridged_to() -> None:
    assert [name for name, each in CARDS.items() if not each.target] == ["ecg_dualnet"]


@every
@pytest.mark.parametrize("rate", [64.0, 125.0, 130.0, 200.0, 250.0, 256.0, 500.0, 512.0, 1000.0])
def test_any_sensor_is_brought_to_the_models_rate_causally(name: str, rate: float) -> None:
    contract = card(name).contract
    stages, then = contract.streaming(rate)
    built = dsp.Stages(dsp.settle(stages, sensor(rate)), sensor(rate))
    assert built.rate == pytest.approx(contract.rate)
    seconds = 60.0
    x = np.random.default_rng(0).normal(size=(1, round(seconds * rate))) + 5
    out = built.push(x)
    assert 0 < out.shape[1] <= seconds * contract.rate
    window = finish(out, then)
    if contract.unit == "1":
        assert abs(window.mean()) < 1e-3 and np.abs(window).max() < 10


def test_an_edge_that_a_sensor_cannot_hold_is_left_out() -> None:
    contract = card("labram").contract
    (_, fast), _ = contract.streaming(250.0)
    (_, slow), _ = contract.streaming(125.0)
    assert fast.cutoff == (0.1, 75.0) and fast.kind == "bandpass"
    assert slow.cutoff == (0.1,) and slow.kind == "highpass"
    with pytest.raises(ModelError, match=r"holds nothing of a band from 0\.5 Hz"):
        card("papagei").contract.streaming(1.0)


def test_a_rate_that_is_no_ratio_is_refused() -> None:
    with pytest.raises(ModelError, match=r"64\.0123 Hz cannot be brought to 125 Hz"):
        card("papagei").contract.streaming(64.0123)


def test_cards_are_there_where_torch_is_not() -> None:
    program = """
        import sys

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "transformers"):
                    raise ModuleNotFoundError(f"{name} is refused", name=name)

        sys.meta_path.insert(0, Refuse())
        from bioxedge import cli
        sys.argv = ["bioxedge", "models"]
        cli.main()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in CARDS)


# -- published preprocessing --------------------------------------------------------------------

NOISE = np.random.default_rng(1).normal(size=(2, 2000))
STEPS = {
    "linear": (Linear(100.0), 100.0, 800),
    "fourier": (Fourier(125.0), 125.0, 1000),
    "fir": (ForwardBackwardFIR(0.5, 40.0, taps=51, pad=153), 250.0, 2000),
    "chebyshev": (ForwardBackwardChebyshev(0.5, 12.0, order=2, ripple=0.5, pad=27), 250.0, 2000),
    "standardise": (Standardise(), 250.0, 2000),
    "ranks": (Ranks(), 250.0, 2000),
}


@pytest.mark.parametrize("key", STEPS)
def test_a_step_gives_the_rate_and_count_it_says_and_keeps_its_input(key: str) -> None:
    step, rate, count = STEPS[key]
    before = NOISE.copy()
    found, at = prepare([step], NOISE, 250.0)
    assert at == rate and found.shape == (2, count) and found.flags.c_contiguous
    assert np.array_equal(NOISE, before) and not np.shares_memory(found, NOISE)
    one, _ = prepare([step], NOISE[1], 250.0)  # channels know nothing of each other
    assert np.allclose(one[0], found[1], atol=1e-12)


def test_filters_of_published_preprocessing_have_no_phase() -> None:
    pulse = np.zeros((1, 20_001))
    pulse[0, 10_000] = 1.0
    for key in ("fir", "chebyshev"):
        found, _ = prepare([STEPS[key][0]], pulse, 250.0)
        assert np.allclose(found, found[:, ::-1], atol=1e-6 * np.abs(found).max())


def test_a_count_at_another_rate_is_rounded_down() -> None:
    assert prepare([Linear(130.0)], np.ones((1, 1500)), 500.0)[0].shape == (1, 390)
    assert prepare([Fourier(125.0)], np.ones((1, 63)), 64.0)[0].shape == (1, 123)
    assert prepare([Linear(500.0)], np.ones((1, 42_000)), 700.0)[0].shape == (1, 30_000)


def test_gaps_and_scraps_are_refused() -> None:
    broken = NOISE.copy()
    broken[0, 3] = np.nan
    with pytest.raises(SignalError, match="no rule for gaps"):
        prepare([Standardise()], broken, 250.0)
    with pytest.raises(SignalError, match=r"20 samples are too few: .* by 27 samples"):
        prepare([STEPS["chebyshev"][0]], NOISE[:, :20], 250.0)


@every
def test_published_preprocessing_ends_at_the_models_rate(name: str) -> None:
    steps = card(name).contract.reference
    found, rate = prepare(steps, NOISE, card(name).contract.rate)
    assert rate == card(name).contract.rate and np.isfinite(found).all()
