"""Cuts under a latency budget: what is predicted, what no other beats, what is refused."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_models import SMALL
from test_building import RECIPE

from bioxedge import cli, models, profilefile
from bioxedge.bridging.positions import alignments, linear_cka
from bioxedge.building import budget
from bioxedge.exporting import blocks
from bioxedge.kit import CALL, Kit
from bioxedge.runtime.session import Session

pytestmark = pytest.mark.train

# Small enough that both cutting and looking take seconds.
TINY = RECIPE.replace("wearers = 8", "wearers = 6").replace(
    "filters = 4, blocks = 4", "filters = 4, blocks = 1"
)
OTHER = TINY.replace("base_filters = 4", "base_filters = 6")


def command(monkeypatch, capsys, *words: str | Path) -> tuple[int, str, str]:
    """Run the command in this process; give its exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code, out, err


@dataclass(frozen=True)
class Here:
    """A recipe, its kit, and what this machine measured of it."""

    recipe: Path
    out: Path
    kit: Kit
    profile: Path


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Here:
    folder = tmp_path_factory.mktemp("budget")
    recipe, out = folder / "tiny.toml", folder / "out"
    recipe.write_text(TINY)
    profile = folder / "pi.json"
    with pytest.MonkeyPatch.context() as patch:
        for words in (
            ("positions", recipe, "--out", out, "--kit"),
            ("profile", out / "kit", "--repeats", "3", "--out", profile),
        ):
            patch.setattr(sys, "argv", ["bioxedge", *map(str, words)])
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert end.value.code == 0
    return Here(recipe, out, Kit.open(out / "kit"), profile)


@pytest.fixture
def ask(here: Here, monkeypatch, capsys):
    """Ask for the positions of the recipe."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        return command(monkeypatch, capsys, "positions", here.recipe, "--out", here.out, *words)

    return run


def refusal(code: int, err: str) -> str:
    """The one line at the end of what was shown."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1 and err.endswith(lines[0] + "\n"), err
    return lines[0]


# -- the kit of a recipe ------------------------------------------------------------------------


def test_a_kit_needs_no_recordings_and_leaves_nothing_else(here: Here) -> None:
    assert here.kit.manifest.plan.source.model == "papagei"
    assert here.kit.manifest.plan.target.samples == 625
    assert here.kit.manifest.parts.shape == (2, 3)


def test_what_one_part_gives_the_next_one_takes(here: Here) -> None:
    about = here.kit.manifest
    takes = {name: part.input for name, part in about.files.items()}
    gives = {name: Session(here.kit.model(name)).outputs[0][1] for name in about.files}
    for i in range(2):
        for j in range(3):
            names = about.parts.of(i, j)
            assert takes[names[0]] == (1, 1, 320) and gives[names[-1]] == (1, 2)
            for one, following in pairwise(names):
                assert gives[one] == takes[following]


def test_blocks_of_one_graph_and_shape_are_measured_once(here: Here) -> None:
    tail, parts = here.kit.manifest.parts.tail, here.kit.manifest.parts
    assert tail == ("target-block-00",) * 2  # two layers of a transformer
    assert parts.pools == ("pool-00",) * 2 and parts.bridges[0] == parts.bridges[1]
    assert len(here.kit.manifest.files) == 10  # and two seams


@pytest.mark.parametrize("name", ["ecg_dualnet", "normwear", "papagei"])
def test_what_passes_between_blocks_comes_out_as_it_went_in(name: str) -> None:
    options, samples = SMALL[name]
    chain = models.create(name, **options).freeze()
    with torch.inference_mode():
        native = chain.layout.settle(chain.stem(torch.randn(1, chain.channels, samples)))
        packed = blocks._pack(native)
        back = blocks._Unpack(native)(packed)
        assert type(back) is type(native)
        assert torch.equal(blocks._pack(back), packed)
        whole = chain[:1](torch.zeros(1, chain.channels, samples))
        assert whole.shape[0] == 1


@pytest.mark.parametrize("name", [name for name in SMALL if name != "openecg"])
def test_a_blank_model_has_the_dimensions_and_none_of_the_weights(name: str) -> None:
    options, samples = SMALL[name]
    chain = models.create(name, **options)
    other = blocks.blank(chain)
    assert other.config == chain.config and other.frozen
    assert blocks._sliced(other, samples) == blocks._sliced(chain, samples)
    ours = {key: value.shape for key, value in chain.state_dict().items()}
    assert ours == {key: value.shape for key, value in other.state_dict().items()}


# -- what is predicted --------------------------------------------------------------------------


def test_a_place_takes_the_sum_of_its_parts_and_one_call(here: Here) -> None:
    found = profilefile.read(here.profile)
    times = found.runs[0].times
    predicted = budget.milliseconds(found, found.runs[0])
    held = budget.memory(found)
    for i in range(2):
        for j in range(3):
            names, call = found.parts.of(i, j), times[CALL].median
            takes = call + sum(max(0, times[name].median - call) for name in names)
            for seam, one, other in found.parts.joined(i, j):
                takes += times[seam].median - times[one].median - times[other].median + call
            assert predicted[i, j] == pytest.approx(max(call, takes))
            assert held[i, j] >= found.memory.process + sum(
                found.memory.weights[name] for name in names
            )


def test_alignments_are_those_of_each_pair_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    source = [rng.normal(size=(30, d)).astype(np.float32) for d in (3, 5)]
    target = [*(rng.normal(size=(30, d)).astype(np.float32) for d in (4, 2)), np.ones((30, 3))]
    found = alignments(source, target)
    assert found.tolist() == [[linear_cka(x, y) for y in target] for x in source]


small = st.integers(0, 3).map(float)
maps = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape[0], elements=small),
        arrays(np.float64, shape, elements=small),
        arrays(np.float64, shape, elements=small),
    )
)


@given(maps)
def test_nothing_on_the_front_is_beaten_and_everything_off_it_is(given_maps) -> None:
    f1, cka, times = given_maps
    kept = budget.front(f1, cka, times)
    everything = [(i, j) for i in range(times.shape[0]) for j in range(times.shape[1])]

    def beaten(pair) -> bool:
        worth = f1[pair[0]], cka[pair]
        return any(
            (f1[other[0]], cka[other]) >= worth
            and times[other] <= times[pair]
            and ((f1[other[0]], cka[other]) > worth or times[other] < times[pair])
            for other in everything
        )

    assert {pair for pair in everything if not beaten(pair)} == set(kept)
    assert len(kept) == len(set(kept))
    assert [times[pair] for pair in kept] == sorted(times[pair] for pair in kept)


@given(maps, st.one_of(st.none(), st.floats(0, 4)))
def test_the_best_is_what_the_rule_chooses_of_what_fits(given_maps, limit) -> None:
    f1, cka, times = given_maps
    weighed = budget.Weighed(None, None, times, times.astype(np.int64), f1, cka, limit)  # type: ignore[arg-type]
    fitting = [
        (f1[i], cka[i, j], -times[i, j])
        for i in range(times.shape[0])
        for j in range(times.shape[1])
        if limit is None or times[i, j] <= limit
    ]
    best = weighed.best
    if not fitting:
        assert best is None
    else:
        assert best is not None
        assert (f1[best[0]], cka[best], -times[best]) == max(fitting)


# -- the verb -----------------------------------------------------------------------------------


def test_a_survey_on_a_device_is_there_to_read_and_to_look_at(here: Here, ask) -> None:
    code, said, err = ask("--profile", here.profile, "--budget-ms", "1000", "--json")
    assert code == 0, err
    facts = json.loads(said)
    written = json.loads((here.out / "report" / "positions.json").read_text())
    assert facts == written
    device = facts["on_device"]
    assert np.array(device["milliseconds"]).shape == np.array(device["cka"]).shape == (2, 3)
    assert np.array(device["memory_bytes"]).min() > 0
    assert device["best"] == device["front"][-1] and device["budget_ms"] == 1000
    source, target = facts["source"], facts["target"]
    assert device["cka"][source["cut"]] == target["cka"]
    assert source["macro_f1"][device["best"][0]] == max(source["macro_f1"])
    assert (here.out / "report" / "front.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    for text in ("cpu, 1 thread", "MMAC", "within 1000 ms the best"):
        assert text in err


def test_a_budget_that_nothing_meets_names_the_nearest(here: Here, ask) -> None:
    (here.out / "report" / "positions.json").unlink(missing_ok=True)
    code, _, err = ask("--profile", here.profile, "--budget-ms", "0.000001")
    line = refusal(code, err)
    facts = json.loads((here.out / "report" / "positions.json").read_text())["on_device"]
    nearest = np.unravel_index(np.argmin(facts["milliseconds"]), (2, 3))
    assert f"the nearest is source cut {nearest[0]} with target cut {nearest[1]}" in line
    assert facts["best"] is None and "nothing meets 1e-06 ms" in " ".join(err.split())


def test_a_profile_of_another_model_is_refused_before_anything_is_computed(
    here: Here, monkeypatch, capsys, tmp_path: Path
) -> None:
    recipe = tmp_path / "other.toml"
    recipe.write_text(OTHER)
    words = ("positions", recipe, "--out", tmp_path / "out", "--profile", here.profile)
    code, _, err = command(monkeypatch, capsys, *words)
    line = refusal(code, err)
    assert "4 at `$.source.config.base_filters` where the recipe has 6" in line
    assert "--kit" in line
    assert list((tmp_path / "out" / "steps").iterdir()) == []


def test_a_profile_of_another_engine_is_refused_unless_the_device_runs_it(
    here: Here, ask, tmp_path: Path
) -> None:
    found = profilefile.read(here.profile)
    other = tmp_path / "pi.json"
    profilefile.write(other, msgspec.structs.replace(found, onnxruntime="1.17.0"))
    line = refusal(*ask("--profile", other)[::2])
    assert "measured with ONNX Runtime 1.17.0" in line and "--engine 1.17.0" in line
    assert ask("--profile", other, "--engine", "1.17.0")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget-ms", "5"), "--budget-ms needs --profile"),
        (("--threads", "2"), "--threads needs --profile"),
        (("--kit", "--profile", "pi.json"), "--kit comes before --profile"),
        (("--profile", "no.json"), "no.json is not there"),
        (("--profile", "pi.json", "--budget-ms", "0"), "0.0 is not in the range"),
        (("--profile", "pi.json", "--threads", "7"), "holds nothing for 7 threads"),
        (("--profile", "tiny.toml"), "is no profile"),
    ],
)
def test_what_cannot_be_asked_is_one_line(here: Here, ask, monkeypatch, words, message) -> None:
    monkeypatch.chdir(here.recipe.parent)
    assert message in refusal(*ask(*words)[::2])
