"""Splits as published sets need them: by number, in shares, by time block, and the leaking one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_all import few
from fixtures_published import write_fog
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import recipes
from bioxedge.datasets import fog
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.choosing import choose
from bioxedge.datasets.cutting import cut_session
from bioxedge.datasets.parted import parted
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import RecipeError
from bioxedge.recipes import Recipe, Split
from bioxedge.recipes.data import Numbers
from bioxedge.signals import Channel, Recording

pytestmark = pytest.mark.train

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "export" / "recipes" / "fog_eeg_to_emg.toml"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fog")
    write_fog(folder / "fog", {"001": 1, "008/OFF_1": 1, "008/OFF_2": 1}, 32)
    return folder


def recipe_of(*changes: str) -> Recipe:
    return recipes.read(RECIPE, changes)


# -- by number ----------------------------------------------------------------------------------

torch = pytest.importorskip("torch", exc_type=ImportError)

from bioxedge.bridging.bynumber import by_number  # noqa: E402
from bioxedge.bridging.split import Able  # noqa: E402

WESAD = {"head": 5, "validation": 2, "pair": 5, "test": 3}
ANYBODY = Able(head=True, pair=True, test=True, labelled=True)


def test_wesad_by_its_numbers() -> None:
    able = {f"S{number}": ANYBODY for number in range(2, 18) if number != 12}
    found = by_number(able, WESAD, seed=0)
    assert {role: len(names) for role, names in found.items()} == {"head": 5, "pair": 5, "test": 3}
    everyone = [name for names in found.values() for name in names]
    assert len(set(everyone)) == 13  # the two of validation serve for nothing
    assert found == by_number(dict(reversed(able.items())), WESAD, seed=0)
    assert found != by_number(able, WESAD, seed=1)


@given(
    people=st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=30),
    wanted=st.fixed_dictionaries({role: st.integers(0, 9) for role in WESAD}),
    seed=st.integers(0, 5),
    shares=st.booleans(),
)
@settings(max_examples=few(500, 100), deadline=None)
def test_nobody_is_in_two_parts_or_in_one_that_they_cannot_serve_for(
    people: list[tuple[bool, bool, bool]], wanted: dict[str, int], seed: int, shares: bool
) -> None:
    able = {
        f"p{number}": Able(head=head, pair=pair, test=test, labelled=True)
        for number, (head, pair, test) in enumerate(people)
    }
    if shares and not sum(wanted.values()):
        return
    try:
        found = by_number(able, wanted, seed=seed, shares=shares)
    except RecipeError as error:
        assert "`$.split." in str(error) and "\n" not in str(error)
        return
    everyone = [name for names in found.values() for name in names]
    assert len(everyone) == len(set(everyone))
    assert all(getattr(able[name], role) for role, names in found.items() for name in names)
    if not shares:
        assert {role: len(names) for role, names in found.items()} == {
            role: wanted[role] for role in ("head", "pair", "test")
        }


def test_shares_come_out_of_any_number_of_people() -> None:
    able = {
        f"b{number}": Able(head=True, pair=True, test=True, labelled=True, value=number % 3 == 0)
        for number in range(34)
    }
    shares = {"head": 33, "validation": 11, "pair": 33, "test": 22}
    found = by_number(able, shares, shares=True)
    assert {role: len(names) for role, names in found.items()} == {
        "head": 11, "pair": 11, "test": 8,
    }  # fmt: skip
    for names in found.values():  # every part sees the same range
        assert 0.2 < np.mean([able[name].value for name in names]) < 0.5


SLIPS = {
    "both": ("split.numbers={head=1,pair=1,test=1}", "`$.split.shares`"),
    "nobody tested": ("split.shares={head=1,pair=1}", "test would have nobody"),
    "names, too": ('split.head=["008"]', "leave head, pair, test"),
    "a share of head, too": ("split.head_share=0.5", "leave head, pair, test"),
    "random blocks": ("split.as_published=true", "`$.split.block`"),
    "a part that is none": ("split.shares={head=1,pair=1,test=1,train=1}", "train"),
    "before the beginning": ("data.skip=-1", "`$.data.skip`"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_in_the_split_is_one_line(name: str) -> None:
    change, why = SLIPS[name]
    with pytest.raises(RecipeError) as error:
        recipe_of(change)
    assert why in str(error.value) and "\n" not in str(error.value)


def test_random_windows_need_shares(tmp_path: Path) -> None:
    text = RECIPE.read_text().replace("shares = {", "# shares = {")
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"say which - at `\$\.split\.shares`"):
        recipes.read(tmp_path / "recipe.toml", ("split.as_published=true", "split.block=0"))


# -- by time block ------------------------------------------------------------------------------


def test_blocks_share_no_sample_and_lose_none(walked: Path) -> None:
    whole = next(one for one in fog.sessions(walked / "fog") if one.person == "001")
    found = parted(whole, Split(block=10.0))
    assert len({one.person for one in found}) == len({one.name for one in found}) == 3
    for place, part in enumerate(whole.parts):
        pieces = [one.parts[place].read() for one in found]
        together = np.concatenate([piece.samples for piece in pieces], axis=1)
        assert np.array_equal(together, part.read().samples)
        assert [piece.t0 for piece in pieces] == [0.0, 10.0, 20.0]
        assert [piece.person for piece in pieces] == [one.person for one in found]
        assert [one.parts[place].seconds for one in found] == [10.0, 10.0, 12.0]


def clocked(rate: float, real: float, begin: float, seconds: float) -> Recording:
    """What was recorded of a sensor that runs at another rate than it says."""
    count = round(seconds * real)
    indices = np.arange(0, count, round(10 * real))
    anchors = [[int(at), begin + at / real, 500.0 + at / real] for at in indices]
    samples = (begin + np.arange(count) / real)[None]  # each holds its own moment
    facts = {"anchors": anchors, "real_rate": real}
    return Recording(samples, rate, (Channel("II", "mV"),), "ecg", "p", begin, facts)


@pytest.mark.parametrize("real", [99.0, 100.0, 101.0])
@pytest.mark.parametrize("stated", ["anchors", "real_rate"])
def test_blocks_of_a_recording_that_knows_its_own_clock_are_cut_by_it(
    real: float, stated: str
) -> None:
    whole = clocked(100.0, real, 1.7e9, 95.0)
    if stated == "real_rate":  # as of an import with stamps
        whole = replace(whole, facts={"real_rate": real})
    beside = Recording(np.zeros((1, 950)), 10.0, (Channel("p", "a.u."),), "ppg", "p", 1.7e9)
    session = Session("s", "p", (Part.of("ecg", whole), Part.of("ppg", beside)))
    found = [one.parts[0].read() for one in parted(session, Split(block=10.0))]
    assert np.array_equal(np.concatenate([one.samples for one in found], axis=1), whole.samples)
    for number, piece in enumerate(found):
        nominal = piece.t0 + np.arange(piece.samples.shape[1]) / piece.rate
        assert Places(piece).at(nominal) == pytest.approx(piece.samples[0], abs=2e-3)
        assert piece.samples[0, 0] == pytest.approx(1.7e9 + 10 * number, abs=0.02)
    # A sensor that began later, and one that the recipe does not mean, move no block apart.
    late = replace(beside, samples=np.zeros((1, 750)), t0=1.7e9 + 20)
    short = replace(beside, samples=np.zeros((1, 50)))
    parts = (Part.of("ecg", whole), Part.of("ppg", late), Part.of("temp", short))
    several = parted(Session("s", "p", parts), Split(block=10.0), timed={"ecg", "ppg"})
    assert len(several) == 7
    for number, one in enumerate(several[1:], 1):
        ecg, ppg = (part.read() for part in one.parts[:2])
        assert ecg.samples[0, 0] == pytest.approx(1.7e9 + 20 + 10 * number, abs=0.02)
        assert ppg.t0 == pytest.approx(1.7e9 + 20 + 10 * number, abs=0.06)
    # Skipped first, a block begins where the rest does.
    first = parted(session, Split(block=10.0), skip=25.0)[0].parts[0].read()
    assert first.samples[0, 0] == pytest.approx(1.7e9 + 25, abs=0.02)


def starts(recipe: Recipe, folder: Path) -> dict[str, list[float]]:
    """Where the windows of each session begin, seconds on its clock."""
    chosen, _ = choose(recipe, folder)
    found = {}
    for one in chosen:
        cut = cut_session(one, recipe, lambda _: 0, lambda _: 0)
        found[one.name] = [round(start, 6) for start in cut.start]
    return found


def test_windows_lie_within_their_block(walked: Path) -> None:
    found = starts(recipe_of("split.block=16"), walked)
    assert len(found) == 4 and {name.split("/")[0] for name in found} == {"008"}
    for name, begins in found.items():
        first, last = (float(edge) for edge in name.split(" ")[1].split("-"))
        assert begins and first <= begins[0] and begins[-1] + 3.0 <= last + 1e-6


# -- as published -------------------------------------------------------------------------------

LEAK = ("split.as_published=true", "split.block=0")


def test_random_windows_are_each_dealt_out_once(walked: Path) -> None:
    whole = starts(recipe_of("split.block=0"), walked)
    recipe = recipe_of(*LEAK)
    assert recipe.split.draws == 9  # 33, 11, 33, 22
    found = starts(recipe, walked)
    assert len(found) == 9 * len(whole)
    for name, begins in whole.items():
        dealt = [start for key, own in found.items() if key.startswith(f"{name} ") for start in own]
        assert sorted(dealt) == begins
    people = {one.person for one in choose(recipe, walked)[0]}
    assert len(people) == 9  # a draw of a person's visits is one
    first, other = (
        parted(fog.sessions(walked / "fog")[0], recipe_of(*LEAK, f"split.seed={seed}").split)[0]
        for seed in (0, 1)
    )
    moments = np.arange(100) / 10
    assert [*map(first.keeps, moments)] != [*map(other.keeps, moments)]


def test_what_is_no_split_by_person_is_said() -> None:
    assert recipe_of("split.block=0").where == "fog"
    assert "blocks of 60 s of the same people" in recipe_of().where
    assert "training and test share samples" in recipe_of(*LEAK).where


def test_draws_are_as_few_as_the_shares_allow() -> None:
    assert Split(shares=Numbers(head=2, pair=2, test=4)).draws == 4
    assert Split().draws == 1


def test_windows_meet_scored_epochs_where_a_beginning_is_left_out(tmp_path: Path) -> None:
    from fixtures_published import write_isruc

    write_isruc(tmp_path / "isruc", (1, 2, 3), epochs=8)
    few_people = ("split.numbers={head=1,pair=1,test=1}",)
    for name in ("isruc_ecg_to_eeg", "isruc_eeg_to_ecg"):
        recipe = recipes.read(ROOT / "export" / "recipes" / f"{name}.toml", few_people)
        for begins in starts(recipe, tmp_path).values():
            assert begins[:6] == [30.0 * epoch for epoch in range(1, 7)]
