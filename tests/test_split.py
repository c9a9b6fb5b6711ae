"""Who is in which part: everybody once, nobody twice, the same range in every part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.bridging.split import People, split_people
from bioxedge.errors import RecipeError

quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)
folds = st.integers(2, 6)
seeds = st.integers(0, 2**32)
shares = st.floats(0.2, 0.8)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[dict[str, float], int]:
    """Give people with a value each, ties included, and a number of folds that fits them."""
    count = draw(folds)
    size = draw(st.integers(6 * count, 60))
    values = draw(st.lists(st.integers(0, 40), min_size=size, max_size=size))
    return {f"p{number}": float(value) for number, value in enumerate(values)}, count


def parts(split: People) -> list[set[str]]:
    return [set(split.head), set(split.pair), set(split.test)]


@quick
@given(crowd=crowds(), share=shares, seed=seeds)
def test_everybody_is_in_one_part(
    crowd: tuple[dict[str, float], int], share: float, seed: int
) -> None:
    people, count = crowd
    split = split_people(people, folds=count, fold=seed % count, head_share=share, seed=seed)
    assert all(parts(split))
    assert set.union(*parts(split)) == set(people)
    assert sum(map(len, (split.head, split.pair, split.test))) == len(people)


@quick
@given(crowd=crowds(), share=shares, seed=seeds)
def test_everybody_is_tested_once_over_the_folds(
    crowd: tuple[dict[str, float], int], share: float, seed: int
) -> None:
    people, count = crowd
    tested = [
        name
        for fold in range(count)
        for name in split_people(people, folds=count, fold=fold, head_share=share, seed=seed).test
    ]
    assert sorted(tested) == sorted(people)


@quick
@given(crowd=crowds(), seed=seeds)
def test_a_split_is_fixed_by_its_seed_and_not_by_the_order_of_names(
    crowd: tuple[dict[str, float], int], seed: int
) -> None:
    people, count = crowd
    split = split_people(people, folds=count, fold=0, seed=seed)
    turned = dict(reversed(people.items()))
    assert split_people(turned, folds=count, fold=0, seed=seed) == split


@quick
@given(count=folds, blocks=st.integers(6, 12), share=shares, seed=seeds)
def test_parts_see_the_same_range(count: int, blocks: int, share: float, seed: int) -> None:
    size = count * blocks
    order = np.random.default_rng(seed).permutation(size)
    rank = {f"p{number}": int(place) for number, place in enumerate(order)}
    values = {name: float(np.exp(place)) for name, place in rank.items()}  # only ranks may matter
    split = split_people(values, folds=count, fold=seed % count, head_share=share, seed=seed)
    ranks = sorted(rank[name] for name in split.test)
    assert [place // count for place in ranks] == list(range(blocks))
    # Along the sorted values, head people keep to their share of those before them.
    rest = sorted(split.head + split.pair, key=rank.__getitem__)
    heads = np.cumsum([name in split.head for name in rest])
    assert np.abs(heads - share * np.arange(1, len(rest) + 1)).max() <= 1 + 1e-9


def test_another_seed_deals_otherwise() -> None:
    people = {f"p{number}": float(number) for number in range(30)}
    assert len({split_people(people, folds=5, fold=0, seed=seed) for seed in range(5)}) == 5


def test_equal_values_are_not_dealt_by_name() -> None:
    people = {f"p{number:02d}": 0.0 for number in range(40)}
    tested = split_people(people, folds=4, fold=0, seed=0).test
    blocks = [int(name[1:]) // 4 for name in tested]
    assert len(set(blocks)) < len(blocks)


@pytest.mark.parametrize(
    ("count", "options"),
    [(0, {}), (1, {}), (2, {}), (3, {"folds": 5, "fold": 4}), (9, {"fold": 2, "head_share": 0.01})],
)
def test_too_few_people_is_one_line(count: int, options: dict[str, float]) -> None:
    people = {f"p{number}": 0.0 for number in range(count)}
    with pytest.raises(RecipeError, match=f"{count} people cannot be split") as error:
        for seed in range(20):
            split_people(people, **{"folds": 2, "fold": 0, "seed": seed, **options})
    assert "record more people or use fewer folds" in str(error.value)
    assert "\n" not in str(error.value)
