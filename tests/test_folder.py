"""Your own recordings as a data set: what is saved comes back as sessions, read when needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bioxedge import marks
from bioxedge.datasets import Pair, folder
from bioxedge.errors import DatasetError, RecordingError
from bioxedge.marks import Mark
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
    (found,) = folder.sessions(tmp_path)
    assert (found.name, found.person) == ("monday", "anna")
    parts = {part.name: part for part in found.parts}
    assert list(parts) == ["reference", "source", "target"]
    for name, recording in (("source", source), ("target", target), ("reference", reference)):
        assert same(parts[name].read(), recording)
        assert parts[name].seconds == recording.seconds
        assert {file.parent.name for file in parts[name].files} == {name}


def test_no_sample_is_read_before_it_is_needed(tmp_path: Path) -> None:
    session(tmp_path, "monday", source=recorded("ppg"))
    (samples,) = (tmp_path / "monday" / "source").glob("samples-*.npy")
    samples.write_bytes(samples.read_bytes()[:-8])
    (found,) = folder.sessions(tmp_path)
    with pytest.raises(RecordingError):
        found.parts[0].read()


def test_names_of_folders_are_free_and_marks_lie_beside_them(tmp_path: Path) -> None:
    session(tmp_path, "monday", wrist=recorded("ppg"), chest=recorded("ecg"))
    made = [Mark(12.0, "rest", 60.0), Mark(3.5, "start")]
    marks.save(made, tmp_path / "monday")
    (found,) = folder.sessions(tmp_path)
    assert [part.name for part in found.parts] == ["chest", "wrist"]
    assert found.marks() == sorted(made, key=lambda mark: mark.start)
    assert found.files == (tmp_path / "monday" / "marks.json",)


def test_sessions_are_sorted_and_other_things_are_no_sessions(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        session(tmp_path, name, source=recorded("ppg"), target=recorded("ecg"))
    (tmp_path / "notes.txt").write_text("two sessions a week")
    (tmp_path / "drafts").mkdir()
    assert [found.name for found in folder.sessions(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize("odd", ["target", "reference"])
def test_a_session_of_two_people_is_refused(tmp_path: Path, odd: str) -> None:
    parts = {part: recorded("ppg") for part in ("source", "target", "reference")}
    session(tmp_path, "monday", **{**parts, odd: recorded("ecg", person="bert")})
    with pytest.raises(DatasetError, match="monday pairs recordings of two people: "):
        folder.sessions(tmp_path)


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a folder for each sensor, written by bioxedge import"):
        folder.sessions(tmp_path)


def test_recordings_that_do_not_overlap_name_the_offset(tmp_path: Path) -> None:
    half_a_day = 12 * 3600.0
    with pytest.raises(DatasetError, match=r"12\.00 hours later: a clock that was set") as error:
        Pair("monday", recorded("ppg"), recorded("ecg", t0=half_a_day))
    assert "\n" not in str(error.value)
    with pytest.raises(DatasetError, match=r"20\.0 s later\)"):
        Pair("monday", recorded("ppg"), recorded("ecg", t0=20.0))
