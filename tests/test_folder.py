"""Your own recordings as a data set: what is saved comes back as pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bioxedge.datasets import folder
from bioxedge.errors import DatasetError, RecordingError
from bioxedge.recording import save
from bioxedge.signals import Channel, Recording


def recorded(modality: str, *, person: str = "anna", rate: float = 64.0, t0: float = 0.0):
    rng = np.random.default_rng(len(modality))
    samples = rng.normal(size=(1, round(20 * rate)))
    samples[0, 3:5] = np.nan
    return Recording(samples, rate, (Channel(modality, "mV"),), modality, person, t0, {"x": 1})


def session(root: Path, name: str, **parts: Recording) -> Path:
    for part, recording in parts.items():
        save(recording, root / name / part)
    return root


def same(one: Recording, other: Recording) -> bool:
    return one.samples.tobytes() == other.samples.tobytes() and all(
        getattr(one, field) == getattr(other, field)
        for field in ("rate", "channels", "modality", "person", "t0", "facts")
    )


def test_sessions_come_back_as_they_were_saved(tmp_path: Path) -> None:
    source, target = recorded("ppg"), recorded("ecg", rate=250.0, t0=3.5)
    reference = recorded("class", rate=1.0)
    session(tmp_path, "monday", source=source, target=target, reference=reference)
    (pair,) = folder.load(tmp_path)
    assert (pair.name, pair.person) == ("monday", "anna")
    assert pair.reference is not None
    assert same(pair.source, source) and same(pair.target, target)
    assert same(pair.reference, reference)


def test_a_session_may_lack_a_reference(tmp_path: Path) -> None:
    session(tmp_path, "monday", source=recorded("ppg"), target=recorded("ecg"))
    assert folder.load(tmp_path)[0].reference is None


def test_sessions_are_sorted_and_other_things_are_no_sessions(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        session(tmp_path, name, source=recorded("ppg"), target=recorded("ecg"))
    (tmp_path / "notes.txt").write_text("two sessions a week")
    (tmp_path / "drafts").mkdir()
    assert [pair.name for pair in folder.load(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize("odd", ["target", "reference"])
def test_a_session_of_two_people_is_refused(tmp_path: Path, odd: str) -> None:
    parts = {part: recorded("ppg") for part in ("source", "target", "reference")}
    session(tmp_path, "monday", **{**parts, odd: recorded("ecg", person="bert")})
    with pytest.raises(DatasetError, match="monday pairs recordings of two people: anna and bert"):
        folder.load(tmp_path)


def test_recordings_that_do_not_overlap_are_refused(tmp_path: Path) -> None:
    session(tmp_path, "monday", source=recorded("ppg"), target=recorded("ecg", t0=20.0))
    with pytest.raises(DatasetError, match="do not overlap"):
        folder.load(tmp_path)


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="source/ and target/"):
        folder.load(tmp_path)


def test_half_a_session_names_what_is_missing(tmp_path: Path) -> None:
    session(tmp_path, "monday", source=recorded("ppg"))
    with pytest.raises(RecordingError, match="target holds no recording"):
        folder.load(tmp_path)
