"""Calibration: what it undoes, and that a bias is taken only where people held out are served."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch import Tensor

from bioxedge.bridging.calibrate import ALONE, BOTH, Calibration, calibrate, temperature

pytestmark = pytest.mark.train

quick = settings(max_examples=15, deadline=None, derandomize=True, database=None)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def people(count: int, windows: int = 200) -> np.ndarray:
    """Who each of ``count * windows`` pairs is of."""
    return np.repeat([f"person-{n}" for n in range(count)], windows)


def taught(count: int, classes: int = 2, seed: int = 0) -> Tensor:
    """A teacher's logits on the pairs of so many people."""
    return 2 * torch.randn(200 * count, classes, generator=rng(seed))


# -- the temperature -------------------------------------------------------------------------


@quick
@given(seed=st.integers(0, 2**32), size=st.floats(0.05, 20.0))
def test_a_temperature_undoes_a_scale_that_training_left_free(seed: int, size: float) -> None:
    teacher = 2 * torch.randn(200, 3, generator=rng(seed))
    assert temperature(size * teacher, teacher) == pytest.approx(size, rel=1e-3)


def test_a_temperature_is_bounded_where_nothing_is_known() -> None:
    teacher = torch.randn(50, 3, generator=rng())
    assert 0.009 < temperature(torch.zeros(50, 3), teacher) < 101
    assert temperature(-teacher, teacher) == pytest.approx(100)  # wrong: as unsure as can be


@pytest.mark.parametrize(
    ("size", "said"), [(-1.0, "say next to nothing"), (1e-4, "surer than"), (1.0, "")]
)
def test_a_temperature_at_its_bound_is_said(size: float, said: str) -> None:
    teacher = taught(2)
    line = calibrate(size * teacher, teacher, people(2)).line(("rest", "stress"))
    assert ("(its bound: " in line) == bool(said) and said in line


# -- the bias --------------------------------------------------------------------------------


@quick
@given(
    seed=st.integers(0, 2**32),
    size=st.floats(0.05, 20.0),
    lean=st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=4),
)
def test_scale_and_lean_that_training_left_free_are_undone(
    seed: int, size: float, lean: list[float]
) -> None:
    teacher = taught(4, len(lean), seed)
    offset = torch.tensor(lean) - np.mean(lean)
    found = calibrate(size * (teacher - offset), teacher, people(4))
    if found.taken == BOTH:
        assert found.temperature == pytest.approx(size, rel=1e-2)
        assert np.abs(np.array(found.bias) - offset.numpy()).max() < 0.02
    else:  # so small a lean turns no label round
        assert np.abs(lean - np.mean(lean)).max() < 0.1
    assert sum(found.bias) == pytest.approx(0, abs=1e-9)


def test_a_bias_that_is_taken_turns_answers_round_and_its_figures_are_better() -> None:
    teacher = taught(4)
    bridged = 3 * (teacher - torch.tensor([1.0, -1.0]))
    found = calibrate(bridged, teacher, people(4))
    alone, both = found.held_out[ALONE], found.held_out[BOTH]
    assert found.taken == BOTH
    assert both["cross_entropy"] < alone["cross_entropy"]
    assert both["agreement"] > 0.99 > alone["agreement"]
    agreed = (found.apply(bridged).argmax(1) == teacher.argmax(1)).float().mean()
    assert agreed > 0.99 > (bridged.argmax(1) == teacher.argmax(1)).float().mean()
    assert "and a bias for each label (rest +" in found.line(("rest", "stress"))


def test_a_lean_of_one_person_is_nothing_that_others_are_served_by() -> None:
    # Every person leans by as much, half of them the other way.
    teacher, who = taught(4), people(4)
    way = torch.from_numpy(np.where(np.isin(who, ["person-0", "person-1"]), 1.0, -1.0))[:, None]
    found = calibrate(teacher + way * torch.tensor([1.0, -1.0]), teacher, who)
    assert found.taken == ALONE and found.bias == (0.0, 0.0)
    assert found.held_out[BOTH]["cross_entropy"] > found.held_out[ALONE]["cross_entropy"]
    line = found.line(("rest", "stress"))
    assert line.startswith("Calibrated: temperature") and "a bias for" not in line
    assert f"{found.held_out[BOTH]['agreement']:.3f}" in line


def test_a_teacher_that_leans_to_the_majority_does_not_pull_the_bridge_after_it() -> None:
    # A weak bridge under a teacher that says one class for four windows in five: a bias meets
    # its probabilities better by hardly ever saying the other.
    generator = rng(3)
    truth = torch.randn(1200, generator=generator)
    teacher = torch.stack([1.5 + truth, -truth], 1)
    weak = 0.3 * truth + torch.randn(1200, generator=generator)
    found = calibrate(torch.stack([weak, -weak], 1), teacher, people(6))
    alone, both = found.held_out[ALONE], found.held_out[BOTH]
    assert both["cross_entropy"] < alone["cross_entropy"]
    assert both["agreement"] < alone["agreement"]
    assert found.taken == ALONE


@pytest.mark.parametrize("count", [1, 2])
def test_with_too_few_people_the_temperature_stands_alone(count: int) -> None:
    teacher = taught(count)
    bridged = 3 * (teacher - torch.tensor([1.0, -1.0]))
    found = calibrate(bridged, teacher, people(count))
    assert found == Calibration(temperature(bridged, teacher), (0.0, 0.0))
    assert "fewer than 3 pair people, so no bias" in found.line(("rest", "stress"))


def test_an_untrained_bridge_is_calibrated_without_a_fall() -> None:
    teacher = taught(4, 3)
    found = calibrate(torch.zeros_like(teacher), teacher, people(4))
    assert found.temperature == 1.0 and np.isfinite(found.bias).all()


def test_the_order_of_the_pairs_does_not_matter() -> None:
    teacher, who = taught(4, 3), people(4)
    bridged = 3 * teacher - torch.tensor([1.0, 0.0, -1.0])
    order = torch.randperm(len(teacher), generator=rng(5))
    one = calibrate(bridged, teacher, who)
    other = calibrate(bridged[order], teacher[order], who[order.numpy()])
    assert one.taken == other.taken == BOTH
    np.testing.assert_allclose(one.bias, other.bias, atol=1e-6)
    assert one.temperature == pytest.approx(other.temperature)


def test_nothing_that_is_given_is_changed() -> None:
    teacher, who = taught(4), people(4)
    bridged = 3 * teacher - 1.0
    before = bridged.clone(), teacher.clone()
    calibrate(bridged, teacher, who)
    assert torch.equal(bridged, before[0]) and torch.equal(teacher, before[1])
