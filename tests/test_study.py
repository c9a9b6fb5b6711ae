"""A study: what it varies, that steps are shared and kept, that clocks lie as they are said to."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from matplotlib import image
from rich.console import Console

from bioxedge.building import learnt as learning
from bioxedge.building import started
from bioxedge.building.evaluation import evaluate
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.progress import Steps
from bioxedge.building.rows import all_rows, places
from bioxedge.building.scored import with_rows
from bioxedge.building.spending import spent
from bioxedge.building.store import Store
from bioxedge.building.study import study, truth_of
from bioxedge.building.study_axes import SHARES
from bioxedge.building.study_figures import Reached, Truth, figure
from bioxedge.building.study_found import Laid, Place, Studied, tables
from bioxedge.building.study_pictures import draw
from bioxedge.building.study_vary import apart, fewer_labelled, fewer_pairs, late
from bioxedge.datasets.alignment import Places
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.signals import Channel, Recording

pytestmark = pytest.mark.train

RECIPE = """\
name = "toy"

[data]
dataset = "simulated"
wearers = 9
minutes = 2.0
seed = 1

[task]
channel = "class"
rule = "classes"
labels = ["rest", "stress"]

[split]
folds = 3

[source]
length = 320
hop = 256
max_gap = 32
stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 8.0] }]
then = [{ stage = "zscore" }]

[source.sensor]
modality = "ppg"
column = "ppg_2"
channel = "ppg_2"
unit = "a.u."
rate = 64.0

[source.model]
name = "papagei"
config = { base_filters = 4, blocks = 2 }
epochs = 1

[target]
length = 625
stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 40.0] }]
then = [{ stage = "zscore" }]

[target.sensor]
modality = "ecg"
column = "II"
channel = "II"
unit = "mV"
rate = 125.0

[target.model]
name = "ecg_transformer"
config = { samples = 625, patch = 124, width = 8, blocks = 2, heads = 2 }
epochs = 1

[head]
epochs = 5
copies = 0

[bridge]
source_cut = "auto"
target_cut = 1
rank = 2
prototypes = 4
epochs = 2
"""


@dataclass
class Toy:
    """A recipe that was learnt, and where its steps are."""

    recipe: Path
    out: Path
    learnt: Learnt
    store: Store
    said: io.StringIO


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("study")
    recipe, said = folder / "toy.toml", io.StringIO()
    recipe.write_text(RECIPE)
    with started(recipe, folder / "out", None, None, Console(file=said), None) as work:
        learnt = learn(work.recipe, work.prepare(), work.store, work.base, work.models)
        return Toy(recipe, folder / "out", learnt, work.store, said)


# -- a whole study --------------------------------------------------------------------------


def test_a_study_is_figures_and_pictures_that_go_on_where_they_were_stopped(
    toy: Toy, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("study", toy.recipe, "--out", toy.out, "--seeds", 1, "--axis", "pairs",
                 "--axis", "labelled")  # fmt: skip
    trained: list[int] = []
    train = learning.train_bridge

    def stopping(*given, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(1)
        return train(*given, **options)

    monkeypatch.setattr(learning, "train_bridge", stopping)
    code, out, _ = call(*arguments)
    assert code == 130 and "the same command goes on" in out
    kept = json.loads((toy.out / "study" / "study.json").read_text())
    assert [len(axis["places"]) for axis in kept["axes"]] == [3]  # 100, 50 and 20 %, not 5

    monkeypatch.setattr(
        learning, "train_bridge", lambda *a, **o: trained.append(2) or train(*a, **o)
    )
    code, out, _ = call(*arguments, "--json")
    assert code == 0
    found = json.loads(out)
    assert found == json.loads((toy.out / "study" / "study.json").read_text())
    assert found["axes"][0]["places"][1] == kept["axes"][0]["places"][1]
    assert trained[:2] == [1, 1] and 2 <= len(trained[2:]) <= 4  # none of the first two again
    pairs, labelled = found["axes"]
    assert [one["at"]["share"] for one in pairs["places"]] == list(SHARES)
    assert [one["at"]["people"] for one in labelled["places"]] == [1, 2, 3]
    for one in (*pairs["places"], *labelled["places"]):
        low, high = one["figure"]["interval"]
        assert 0 <= low <= one["figure"]["value"] <= high <= 1
    # The recipe as it is stands at one end of each.
    for whole in (pairs["places"][0], labelled["places"][-1]):
        assert whole["figure"]["value"] == found["bridge"]["value"]
        assert whole["figure"]["ahead_interval"] == [0, 0]
    assert [Path(path).name for path in found["pictures"]] == [
        "pairs.png", "labelled.png", "overview.png",
    ]  # fmt: skip
    for path in found["pictures"]:
        assert image.imread(path).std() > 0


def test_an_axis_that_there_is_not_is_one_line(toy: Toy, call) -> None:
    code, _, err = call("study", toy.recipe, "--out", toy.out, "--axis", "colour")
    assert code == 2 and "'colour'" in err and err.count("\n") == 1
    with pytest.raises(RecipeError, match="no axis is called 'colour': choose among rank"):
        study(toy.recipe, toy.out, axes=("colour",))
    with pytest.raises(RecipeError, match="0 seeds: a study takes at least 1"):
        study(toy.recipe, toy.out, axes=("rank",), seeds=0)


# -- circumstances --------------------------------------------------------------------------


def test_fewer_pairs_are_one_stretch_of_every_person(toy: Toy) -> None:
    seen = toy.learnt.seen
    whole, person = seen.prepared.of("pair"), seen.prepared.windows.person
    for share in SHARES[1:]:
        fewer = fewer_pairs(seen, share, 0)
        kept = fewer.prepared.of("pair")
        assert set(kept) <= set(whole) and fewer.key != seen.key
        for name in np.unique(person[whole]):
            own, mine = (rows[person[rows] == name] for rows in (whole, kept))
            assert len(mine) == max(round(share * len(own)), 2)
            first = own.tolist().index(mine[0])
            assert mine.tolist() == own[first : first + len(mine)].tolist()
        for group in ("head", "test"):
            assert np.array_equal(fewer.prepared.of(group), seen.prepared.of(group))
    assert fewer_pairs(seen, 0.5, 0).key != fewer_pairs(seen, 0.5, 1).key


def test_fewer_labelled_people_change_the_head_alone(toy: Toy) -> None:
    seen = toy.learnt.seen
    fewer = fewer_labelled(seen, 1, 0, toy.store)
    person = seen.prepared.windows.person
    assert len(np.unique(person[fewer.prepared.of("head")])) == 1
    assert not torch.equal(fewer.head.linear.weight, seen.head.linear.weight)
    assert fewer.encoders == seen.encoders
    assert np.array_equal(fewer.prepared.labels, seen.prepared.labels)
    unlabelled = replace(seen.prepared, labels=np.where(person == person[0], 1, 0))
    lone = replace(seen, prepared=unlabelled)
    with pytest.raises(DatasetError, match="no 1 of the 3 labelled people show every class"):
        fewer_labelled(replace(lone, prepared=_one_class_each(seen)), 1, 0, toy.store)


def _one_class_each(seen):
    """Let each labelled person show one class."""
    prepared = seen.prepared
    head = prepared.of("head")
    person = prepared.windows.person
    first = person == person[head[0]]
    return replace(prepared, labels=np.where(first, 0, 1))


def recording(anchored: bool = False, real: float | None = None, seconds: float = 600.0):
    """A minute counter of one sample a second, in one of the ways in which clocks are told."""
    samples = np.arange(seconds)[None]
    facts: dict = {} if real is None else {"real_rate": real}
    if anchored:
        facts["anchors"] = [[k, 100.0 + k, 5.0 + k] for k in range(0, int(seconds), 10)]
    return Recording(samples, 1.0, (Channel("II", "mV"),), "ecg", "p", 100.0, facts)


@settings(max_examples=30, deadline=None)
@given(
    lag=st.floats(-20, 20), ppm=st.floats(-1000, 1000), anchored=st.booleans(),
    at=st.floats(0, 500),
)  # fmt: skip
def test_a_late_clock_shows_a_moment_where_it_says(lag, ppm, anchored, at) -> None:
    """What is looked for at a moment is found at what was there earlier, by lag and drift."""
    source, target = recording(), recording(anchored)
    lying = late(target, lag, ppm)
    place = Places(source).on(lying, np.array([100.0 + at])) - lying.t0
    wanted = (at - lag) / (1 + ppm * 1e-6)
    assert place[0] == pytest.approx(wanted, abs=0.02)
    assert np.array_equal(lying.samples, target.samples)
    assert target.t0 == 100.0 and target.facts == recording(anchored).facts


def test_a_lag_moves_the_pairs_target_windows_and_nothing_else(toy: Toy) -> None:
    seen = toy.learnt.seen
    prepared = seen.prepared
    same, late_by_hop = (apart(seen, lag, 0.0, toy.store) for lag in (0.0, 4.0))
    pairs = same.prepared.of("pair")
    assert np.array_equal(pairs, prepared.of("pair"))
    for cut, mine in enumerate(same.encoders["target"].features.pooled):
        wanted = seen.encoders["target"].features.pooled[cut]
        rows = (
            torch.from_numpy(one.windows.target_row[pairs]) for one in (same.prepared, prepared)
        )
        there, here = rows
        assert torch.allclose(mine[there], wanted[here], atol=1e-5)
    # A hop later the target shows what it showed at the window before.
    moved, kept = late_by_hop.prepared, prepared
    windows, compared = kept.windows, 0
    for before, after in pairwise(pairs):
        follows = windows.session[before] == windows.session[after]
        if not (follows and np.isclose(windows.start[after] - windows.start[before], 4.0)):
            continue
        row = moved.windows.target_row[after]
        if row < 0:
            continue
        found = moved.windows.target[row]
        assert torch.allclose(found, windows.target[windows.target_row[before]], atol=1e-3)
        compared += 1
    assert compared > 10
    for group in ("head", "test"):
        assert np.array_equal(moved.of(group), kept.of(group))
    assert torch.equal(late_by_hop.head.linear.weight, seen.head.linear.weight)
    with pytest.raises(DatasetError, match="do not overlap in time"):
        apart(seen, 500.0, 0.0, toy.store)


# -- figures --------------------------------------------------------------------------------


def test_what_is_kept_is_a_share_of_the_teachers_margin(toy: Toy) -> None:
    truth = truth_of(toy.learnt)
    people = np.repeat([f"p{k}" for k in range(8)], 40)
    known = np.tile([0, 1], 160)
    wrong = (np.arange(320) // 2) % 10
    teacher, bridge = (np.where(wrong < count, 1 - known, known) for count in (1, 3))
    truth = replace(truth, known=known, people=people, teacher=teacher, bridge=bridge,
                    constant=np.zeros(320, int))  # fmt: skip
    found = figure([truth, truth], [Reached([bridge]), Reached([bridge, teacher])])
    assert found.by_seed == pytest.approx([0.7, 0.8])
    assert found.value == pytest.approx(0.75) and found.spread == pytest.approx((0.7, 0.9))
    assert found.kept == pytest.approx(0.25 / 0.4)
    low, high = found.kept_interval
    assert low <= found.kept <= high
    assert found.ahead == pytest.approx(0.05) and found.ahead_interval[0] > 0
    whole = figure([truth], [Reached([teacher])])
    assert whole.kept == pytest.approx(1)


def test_two_people_are_drawn_without_an_interval(tmp_path: Path) -> None:
    known, people = np.tile([0, 1], 20), np.repeat(["a", "b"], 20)
    answers = [known, np.where(np.arange(40) % 8, known, 1 - known), np.zeros(40, int)]
    truth = Truth(known, people, *answers, by_value=False)
    teacher, bridge, constant = (figure([truth], [Reached([each])]) for each in answers)
    assert bridge.interval is None and bridge.ahead_interval is None
    found = Studied("x", "balanced accuracy", False, [0], 2, 40, bridge, teacher, constant)
    found.axes.append(Laid("start", "starts", "", [Place({"start": "real"}, "real", bridge)]))
    assert [path.name for path in draw(found, tmp_path)] == ["start.png", "overview.png"]
    assert tables(found)[0].row_count == 1
    json.dumps(found.to_dict(), allow_nan=False)


# -- rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "wanted"), [(10, [2, 5, 8]), (4, [1, 2, 3]), (1, [0, 1])])
def test_fixed_places_are_quarters(last: int, wanted: list[int]) -> None:
    assert places(last) == wanted


def test_rows_that_are_trained_stand_beside_with_what_they_took(toy: Toy) -> None:
    rows = all_rows(toy.learnt, toy.store)
    assert [row.method for row in rows] == [
        "distillation", "contrastive distillation", "bridge at fixed positions",
        "classic features, bridged",
    ]  # fmt: skip
    assert [len(row.answers) for row in rows] == [1, 1, len(places(2)) ** 2, 1]
    plain = evaluate(toy.learnt)
    found = spent(toy.learnt, with_rows(toy.learnt, plain, rows), toy.store, {"bridge": 0.5})
    scores = {one.method: one for one in found.scores}
    encoder = sum(p.numel() for p in toy.learnt.source.parameters())
    for name in ("distillation", "contrastive distillation"):
        assert scores[name].parameters > encoder
        assert scores[name].spent.seconds > 0 and scores[name].spent.window is None
    fixed = scores["bridge at fixed positions"]
    assert fixed.spread[0] <= fixed.balanced_accuracy <= fixed.spread[1]
    assert fixed.interval[0] <= fixed.balanced_accuracy <= fixed.interval[1]
    both = encoder + sum(p.numel() for p in toy.learnt.target.parameters())
    assert scores["bridge"].spent.pretrained == both and scores["bridge"].spent.window == 0.5
    assert scores["majority"].spent.pretrained == 0
    alone, target = scores["classic features, bridged"], toy.learnt.target
    assert alone.spent.pretrained == sum(p.numel() for p in target.parameters())
    assert alone.spent.window is None and alone.parameters != scores["bridge"].parameters
    assert {one.other for one in found.ahead} == {*scores} - {"bridge"}
    # A second time all of it is found.
    before = {path.name for path in (toy.out / "steps").iterdir()}
    again = all_rows(toy.learnt, Store(toy.out / "steps", Steps(Console(file=io.StringIO()))))
    for one, other in zip(rows, again, strict=True):
        assert all(map(np.array_equal, one.answers, other.answers))
    assert {path.name for path in (toy.out / "steps").iterdir()} == before
