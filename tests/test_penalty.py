"""How much a head is held back: what people who were left out say."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch.nn import functional

from bioxedge.bridging.head import train_head, train_value_head
from bioxedge.bridging.penalty import PENALTIES, RANGE, choose, sureness

pytestmark = pytest.mark.train


def some(people: int, features: int, telling: float, seed: int = 0):
    """Windows of people who each have a habit of their own; one feature tells the class."""
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{number}" for number in range(people)], 20)
    labels = np.tile([0, 1], len(who) // 2)
    own = 0.3 * rng.normal(size=(people, features))
    found = rng.normal(size=(len(who), features))
    # A habit that goes with the class, in this person alone.
    found += np.repeat(own, 20, axis=0) * (2 * labels - 1)[:, None]
    found[:, 0] += telling * (2 * labels - 1)
    return torch.from_numpy(found).float(), torch.from_numpy(labels), who


def chosen(pooled, labels, who):
    weights = torch.ones(2)

    def train(rows, penalty):
        return train_head(pooled[rows], labels[rows], weights, penalty=penalty, epochs=80, seed=0)

    return choose(train, lambda said: sureness(said, labels, weights), pooled, who), train


def test_many_features_of_few_people_are_held_back_and_strangers_gain() -> None:
    found, train = chosen(*some(6, 150, 1.0))
    assert found.penalty > 0
    assert set(found.losses) == set(PENALTIES)
    assert found.losses[found.penalty] == min(found.losses.values())
    strangers, labels, _ = some(40, 150, 1.0, seed=1)
    everyone = torch.arange(120)
    right = [
        float((train(everyone, one).of_pooled(strangers).argmax(1) == labels).float().mean())
        for one in (0.0, found.penalty)
    ]
    assert right[1] > right[0]


def test_where_nothing_is_to_be_held_back_nothing_is_lost() -> None:
    found, train = chosen(*some(30, 2, 1.5))
    strangers, labels, _ = some(40, 2, 1.5, seed=1)
    right = [
        float(
            (train(torch.arange(600), one).of_pooled(strangers).argmax(1) == labels).mean(
                dtype=float
            )
        )
        for one in (0.0, found.penalty)
    ]
    assert right[1] > right[0] - 0.01 > 0.8


def test_with_one_person_nobody_is_left_out() -> None:
    pooled, labels, who = some(1, 3, 1.0)
    found, _ = chosen(pooled, labels, who)
    assert (found.penalty, found.temperature, found.losses) == (0.0, 1.0, {})


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_answers_are_as_sure_as_they_may_be(factor: float) -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(4000, 2)))
    first = torch.from_numpy(rng.random(4000)) < logits.softmax(1)[:, 0]
    loss, temperature = sureness(factor * logits, 1 - first.long(), torch.ones(2).double())
    assert temperature == pytest.approx(factor, rel=0.15)
    plain = functional.cross_entropy(logits, 1 - first.long())
    assert loss == pytest.approx(float(plain), abs=0.01)


def test_answers_that_say_nothing_are_held_at_a_bound() -> None:
    rng = np.random.default_rng(0)
    logits, labels = torch.from_numpy(rng.normal(size=(4000, 2))), torch.arange(4000) % 2
    loss, temperature = sureness(20 * logits, labels, torch.ones(2).double())
    assert temperature == pytest.approx(RANGE, rel=0.01) and loss >= np.log(2)


@pytest.mark.parametrize("train", ["classes", "value"])
def test_a_penalty_makes_weights_smaller_and_leaves_the_bias(train: str) -> None:
    pooled, labels, _ = some(5, 20, 2.0)
    sizes, middles = [], []
    for penalty in (0.0, 0.1, 10.0):
        if train == "value":
            head = train_value_head(pooled, labels * 5.0 + 70, penalty=penalty, seed=0, epochs=80)
        else:
            head = train_head(pooled, labels, torch.ones(2), penalty=penalty, seed=0)
        sizes.append(float(head.linear.weight.norm()))
        middles.append(float(head.of_pooled(pooled).mean(0)[0].detach()))
    assert sizes[0] > sizes[1] > sizes[2]
    if train == "value":
        assert middles[2] == pytest.approx(72.5, abs=0.5)
