"""Several tasks in one bundle: one pass, and what is said of each by its own rule."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_tasks import BREATH, make_tasks_bundle
from fixtures_value import HEART
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import manifestfile
from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, ManifestError
from bioxedge.manifest import Decision, Manifest
from bioxedge.runtime.stream import Stream
from bioxedge.runtime.verify import verify
from bioxedge.signals import Chunk


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tasks_bundle(tmp_path_factory.mktemp("tasks") / "bundle")


def played(bundle: Bundle, seconds: float = 12.0) -> list:
    """Give what a stream says of a pulse, taken in one chunk."""
    samples = pulse(1, round(seconds * 64), 64.0)
    return Stream(bundle).push(Chunk(samples, 0, 64.0))


# -- the manifest -------------------------------------------------------------------------


def test_one_task_reads_and_writes_as_ever(tmp_path: Path) -> None:
    one = make_bundle(tmp_path / "one")
    raw = (one.path / "manifest.json").read_bytes()
    assert b"others" not in raw
    assert [name for name, _, _ in one.manifest.tasks] == [""]
    assert one.manifest.answers == 2 and one.manifest.scales == (1.0, 1.0)


def test_columns_are_parted_in_order(three: Bundle) -> None:
    names = [(name, columns) for name, _, columns in three.manifest.tasks]
    assert names == [("", slice(0, 2)), ("breath", slice(2, 5)), ("heart", slice(5, 6))]
    assert three.manifest.scales == (1.0,) * 5 + (HEART.range,)
    written = json.loads((three.path / "manifest.json").read_text())
    assert [other["name"] for other in written["others"]] == ["breath", "heart"]
    assert "value" not in written["others"][0]["output"]
    assert written["others"][1]["output"]["value"]["unit"] == "bpm"


def broken(about: Manifest, change: str) -> Manifest:
    """Break one clause of the further tasks."""
    breath, heart = about.others or ()
    replace = msgspec.structs.replace
    if change == "twice":
        return replace(about, others=(breath, replace(heart, name="breath")))
    if change == "bias":
        short = replace(breath.output.calibration, bias=(0.0,))
        breath = replace(breath, output=replace(breath.output, calibration=short))
    elif change == "labels":
        breath = replace(breath, output=replace(breath.output, labels=("slow", "slow", "fast")))
    elif change == "patience":
        held = replace(heart.output, decision=Decision(patience=2))
        heart = replace(heart, output=held)
    elif change == "name":
        breath = replace(breath, name="../breath")
    elif change == "shape":
        return replace(about, others=(breath,))
    elif change == "none":
        return replace(about, others=())
    return replace(about, others=(breath, heart))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("twice", "$.others"),
        ("bias", "$.others[0].output.calibration.bias"),
        ("labels", "$.others[0].output.labels"),
        ("patience", "$.others[1].output.decision.patience"),
        ("name", "$.others[0].name"),
        ("shape", "$.model.fp32.output.shape"),
        ("none", "$.others"),
    ],
)
def test_further_tasks_hold_to_their_clauses(three: Bundle, change: str, where: str) -> None:
    with pytest.raises(ManifestError, match="at `") as caught:
        manifestfile.encode(broken(three.manifest, change))
    assert f"`{where}`" in str(caught.value)


# -- live ---------------------------------------------------------------------------------


def test_one_pass_tells_all_tasks(three: Bundle) -> None:
    said = played(three)
    assert len(said) > 3
    for one in said:
        answers = np.array(
            [
                *one.probabilities.values(),
                *one.others["breath"].probabilities.values(),
                one.others["heart"].answer,
            ]
        )
        assert answers.shape == (6,)
        assert one.label == max(one.probabilities, key=one.probabilities.get)
        breath, heart = one.others["breath"], one.others["heart"]
        assert tuple(breath.probabilities) == BREATH
        assert sum(breath.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert breath.label == max(breath.probabilities, key=breath.probabilities.get)
        assert heart.value == heart.answer and heart.said.endswith(" bpm")
        json.dumps(one.to_dict(), allow_nan=False)
        assert one.to_dict()["others"]["heart"]["unit"] == "bpm"


def test_each_task_decides_by_its_own_rule(tmp_path: Path) -> None:
    rules = (Decision(), Decision(threshold=0.99), Decision(smoothing=4.0))
    said = played(make_tasks_bundle(tmp_path / "b", decisions=rules))
    assert all(one.reason is None and one.label for one in said)
    assert all(one.others["breath"].label is None for one in said)
    assert all("unsure" in one.others["breath"].reason for one in said)
    values = [one.others["heart"] for one in said]
    assert values[0].value == values[0].answer and values[1].value != values[1].answer


def test_nothing_is_asked_of_any_task_where_too_little_is_real(tmp_path: Path) -> None:
    from bioxedge.quality.modality import quality_of

    plain = make_tasks_bundle(tmp_path / "a")
    judged = make_tasks_bundle(tmp_path / "b", quality=quality_of(plain.manifest.input))
    samples = pulse(1, 64 * 12, 64.0)
    samples[:] = samples[:, :1]
    for one in Stream(judged).push(Chunk(samples, 0, 64.0)):
        assert one.label is None and not one.asked
        for other in one.others.values():
            assert other.said is None and other.answer is None and other.reason == one.reason


@settings(deadline=None, max_examples=50)
@given(cuts=st.lists(st.integers(1, 767), max_size=6))
def test_any_chunks_tell_the_same(three: Bundle, cuts: list[int]) -> None:
    samples, edges = pulse(1, 768, 64.0), sorted({0, 768, *cuts})
    stream = Stream(three)
    found = [
        one
        for a, b in itertools.pairwise(edges)
        for one in stream.push(Chunk(samples[:, a:b], a, 64.0))
    ]
    whole = played(three)
    assert [one.others for one in found] == [one.others for one in whole]
    stream.reset()
    again = stream.push(Chunk(samples, 0, 64.0))
    assert [one.others for one in again] == [one.others for one in whole]


# -- proof --------------------------------------------------------------------------------


def test_verify_holds_every_part(three: Bundle, tmp_path: Path) -> None:
    assert verify(three).agreement == 1.0
    for column, who in ((0, "fp32: prob"), (3, "fp32, breath: prob"), (5, "fp32, heart: values")):
        wrong = make_tasks_bundle(tmp_path / str(column), wrong=column)
        with pytest.raises(BundleError, match=who):
            verify(wrong)
