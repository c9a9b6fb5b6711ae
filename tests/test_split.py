"""Who is in which part: everybody once, nobody twice, the same range in every part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.bridging.split import Able, People, deal, numbers, split_people
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
    [(0, {}), (1, {}), (2, {}), (9, {"fold": 2, "folds": 5, "head_share": 0.01})],
)
def test_too_few_people_is_one_line(count: int, options: dict[str, float]) -> None:
    people = {f"p{number}": 0.0 for number in range(count)}
    with pytest.raises(RecipeError, match=f"nobody is left for .*: of {count} people") as error:
        for seed in range(20):
            split_people(people, **{"folds": 2, "fold": 0, "seed": seed, **options})
    assert "Record or label more people" in str(error.value)
    assert "block = 60.0 and shares = { head = 40, pair = 40, test = 20 }" in str(error.value)
    assert "\n" not in str(error.value)


# -- by what their recordings could serve for ---------------------------------------------------

ALL = Able(head=True, pair=True, test=True, labelled=True)
BOTH_WITHOUT_LABELS = Able(head=False, pair=True, test=True, labelled=False)
TARGET_ALONE = Able(head=True, pair=False, test=False, labelled=True)
SOURCE_ALONE = Able(head=False, pair=False, test=True, labelled=True)
NOTHING = Able(head=False, pair=False, test=False, labelled=False)

anybody = st.sampled_from([ALL, BOTH_WITHOUT_LABELS, TARGET_ALONE, SOURCE_ALONE, NOTHING])


@quick
@given(
    kinds=st.lists(anybody, min_size=1, max_size=25),
    folds=folds,
    share=st.none() | shares,
    seed=seeds,
    ready=st.booleans(),
)
def test_nobody_is_in_two_parts_or_in_one_that_they_cannot_serve(
    kinds: list[Able], folds: int, share: float | None, seed: int, ready: bool
) -> None:
    able = {f"p{number:02d}": kind for number, kind in enumerate(kinds)}
    try:
        split = deal(able, folds=folds, fold=0, head_share=share, seed=seed, ready=ready)
    except RecipeError as error:
        assert "\n" not in str(error)
        return
    named = [*split.head, *split.pair, *split.test]
    assert len(set(named)) == len(named)
    for role in ("head", "pair", "test"):
        assert all(getattr(able[name], role) for name in getattr(split, role))
    assert split.pair and split.test and bool(split.head) is not ready


@quick
@given(labelled=st.integers(2, 12), seed=seeds, fold=st.integers(0, 1))
def test_those_with_labels_teach_and_are_tested_and_everybody_else_pairs(
    labelled: int, seed: int, fold: int
) -> None:
    able = {f"p{n:02d}": ALL if n < labelled else BOTH_WITHOUT_LABELS for n in range(14)}
    split = deal(able, folds=5, fold=fold, seed=seed)
    assert set(split.head) | set(split.test) == {f"p{n:02d}" for n in range(labelled)}
    assert set(split.pair) == {f"p{n:02d}" for n in range(labelled, 14)}
    assert split.head and split.test


def test_two_of_twelve_with_labels_are_enough_whatever_the_seed() -> None:
    able = {f"p{n:02d}": ALL if n < 2 else BOTH_WITHOUT_LABELS for n in range(12)}
    for seed in range(50):
        split = deal(able, folds=5, fold=0, seed=seed)
        assert (len(split.head), len(split.pair), len(split.test)) == (1, 10, 1)


def test_a_published_split_stands_and_the_others_are_dealt_out() -> None:
    able = {f"p{n}": ALL for n in range(6)}
    split = deal(able, folds=2, fold=0, named={"test": ["p0", "p3"], "head": ["p1"]})
    assert split.test == ("p0", "p3") and split.head == ("p1",)
    assert split.pair == ("p2", "p4", "p5")
    with pytest.raises(RecipeError, match=r"nobody is called p9: .* at `\$\.split\.head`"):
        deal(able, folds=2, fold=0, named={"head": ["p9"]})
    able["p1"] = BOTH_WITHOUT_LABELS
    with pytest.raises(RecipeError, match="p1 has no labelled window of the target"):
        deal(able, folds=2, fold=0, named={"head": ["p1"]})


def test_with_a_ready_head_nobody_teaches_and_a_fold_is_tested_on_agreement() -> None:
    able = {f"p{n}": BOTH_WITHOUT_LABELS for n in range(6)}
    split = deal(able, folds=3, fold=1, ready=True)
    assert split.head == () and len(split.test) == 2 and len(split.pair) == 4


def test_people_are_numbered_whoever_they_are() -> None:
    assert numbers(["eve", "adam", "eve"]) == {"adam": "p01", "eve": "p02"}
    assert numbers(f"x{k:04d}" for k in range(200))["x0199"] == "p200"
