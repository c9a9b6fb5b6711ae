"""Imported sessions on disk: whole or not there, not done twice, and nobody's work replaced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_disk import small_disk

from bioxedge import importing, recording
from bioxedge.datasets import folder as sessions_of
from bioxedge.errors import RecordingError
from bioxedge.importing import Columns, Outcome, Told, found_in, plan, read_table, write


def csv(path: Path, *, seconds: int = 2, value: float = 0.0) -> Path:
    """Write a table of a pulse at 50 Hz with its times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = 1_700_000_000 + np.arange(seconds * 50) / 50
    rows = "".join(f"{at:.2f},{np.sin(at) + value:.6f}\n" for at in times)
    path.write_text("timestamp,ppg [uV]\n" + rows)
    return path


def planned(*paths: Path, **told):
    return plan(found_in(paths, Told())[0], **told)


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.*")}


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for k in range(3):
        csv(tmp_path / "in" / f"p{k}.csv", value=k)
    return tmp_path / "in"


def test_what_stands_already_is_not_written_again(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = write(planned(three), out)
    before = stamps(out)
    second = write(planned(three), out)
    assert [len(first.written), len(second.written), len(second.there)] == [3, 0, 3]
    assert stamps(out) == before
    assert first.missing == second.missing == {f"p{k}": {"ppg": 0.0} for k in range(3)}


def test_what_changed_is_written_again_and_nothing_else(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(planned(three), out)
    csv(three / "p1.csv", value=9.0)
    done = write(planned(three), out)
    assert [path.name for path in done.written] == ["p1"]
    assert recording.load(out / "p1" / "ppg").samples.min() > 7
    (tmp_path / "labels.csv").write_text("file,label\np2,task\n")
    tables = [read_table(tmp_path / "labels.csv", Columns.of(""))]
    assert [path.name for path in write(planned(three, tables=tables), out).written] == ["p2"]
    assert (out / "p2" / "labels").is_dir()


def test_a_session_whose_samples_are_gone_is_written_again(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(planned(three), out)
    for path in (out / "p0" / "ppg").glob("samples-*.npy"):
        path.unlink()
    assert [path.name for path in write(planned(three), out).written] == ["p0"]
    recording.load(out / "p0" / "ppg")


def test_another_recording_of_the_same_name_is_refused(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(planned(three), out)
    before = stamps(out)
    with pytest.raises(RecordingError, match="holds another recording"):
        write(planned(csv(tmp_path / "else" / "p0.csv", value=5.0)), out)
    assert stamps(out) == before


def test_the_same_files_in_another_place_are_the_same(three: Path, tmp_path: Path) -> None:
    write(planned(three), tmp_path / "out")
    three.rename(tmp_path / "moved")
    assert len(write(planned(tmp_path / "moved"), tmp_path / "out").there) == 3


def test_a_folder_that_holds_anything_else_is_refused(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "p0").mkdir(parents=True)
    (out / "p0" / "thesis.txt").write_text("mine")
    with pytest.raises(RecordingError, match="was not imported"):
        write(planned(three), out)
    assert (out / "p0" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "marks.json"])
def test_what_was_added_by_hand_is_not_thrown_away(three: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    write(planned(three, labels=[("p*", "rest")]), out)
    (out / "p0" / name).write_text("mine")
    with pytest.raises(RecordingError, match=f"holds {name}, added or changed"):
        write(planned(three, labels=[("p*", "task")]), out)
    assert (out / "p0" / name).read_text() == "mine"


def test_an_import_that_is_interrupted_keeps_what_was_finished(three: Path, tmp_path: Path) -> None:
    out, outcome = tmp_path / "out", Outcome()

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(planned(three), out, outcome, stop)
    assert inside(out) == ["p0", "p1"]
    assert len(outcome.written) == 2
    done = write(planned(three), out)
    assert ([len(done.written), len(done.there)], len(sessions_of.sessions(out))) == ([1, 2], 3)


def test_a_file_that_breaks_half_way_leaves_no_half_session(three: Path, tmp_path: Path) -> None:
    wrist = three / "p1e4"
    wrist.mkdir()
    for name in ("BVP.csv", "EDA.csv"):
        (wrist / name).write_text("1700000000\n4\n" + "1\n" * 40)
    made = planned(three)
    (wrist / "EDA.csv").write_text("1700000000\n4\nx\n")
    with pytest.raises(RecordingError, match=r"EDA\.csv"):
        write(made, tmp_path / "out")
    assert inside(tmp_path / "out") == ["p0", "p1"]
    with pytest.raises(RecordingError):
        importing.missing(made)


def test_what_a_killed_import_left_is_no_session(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(planned(three), out)
    (out / ".unfinished").mkdir()
    (out / "p0").rename(out / ".unfinished" / "p0")
    assert [one.name for one in sessions_of.sessions(out)] == ["p1", "p2"]
    write(planned(three), out)
    assert inside(out) == ["p0", "p1", "p2"]


def test_a_full_disk_is_one_line_and_keeps_what_was_finished(tmp_path: Path) -> None:
    small = csv(tmp_path / "in" / "a.csv")
    large = csv(tmp_path / "in" / "b.csv", seconds=400)
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", kB=100) as disk:
        with pytest.raises(RecordingError, match=r"No space left.*1 of 2 sessions") as error:
            write(planned(small, large), disk)
        assert "\n" not in str(error.value)
        assert inside(disk) == ["a"]
        recording.load(disk / "a" / "ppg")


def test_nobodys_name_is_needed_to_say_what_was_imported(three: Path, tmp_path: Path) -> None:
    write(planned(three), tmp_path / "out")
    about = json.loads((tmp_path / "out" / "p0" / "import.json").read_text())
    assert list(about["files"]) == [str(three / "p0.csv")]
    assert about["kinds"] == [found_in([three], Told())[0][0].kind]


def test_a_folder_is_searched_once_and_without_tables_links_back_and_earlier_imports(
    three: Path, tmp_path: Path
) -> None:
    csv(three / "deep" / "p9.csv")
    (three / "deep" / "back").symlink_to(three)
    (three / "notes.pdf").write_bytes(b"%PDF-1.4\x00")
    (three / ".hidden.csv").write_text("x")
    (three / "labels.csv").write_text("person,label\np0,rest\n")
    write(planned(three / "p0.csv"), three / "sessions")
    found, left = found_in([three, three / "p1.csv"], Told(), [three / "labels.csv"])
    assert [one.path.name for one in found] == ["p9.csv", "p0.csv", "p1.csv", "p2.csv"]
    assert len(left) == 2
    assert any("notes.pdf" in line for line in left)
    assert any("was imported before" in line for line in left)


def test_a_damaged_file_in_a_folder_is_counted_and_one_that_was_named_is_an_error(
    three: Path,
) -> None:
    (three / "bad.edf").write_bytes(b"0       " + bytes(10))
    found, left = found_in([three], Told())
    assert len(found) == 3
    assert len(left) == 1
    with pytest.raises(RecordingError):
        found_in([three / "bad.edf", three], Told())


def test_missing_samples_are_found_by_reading(three: Path) -> None:
    lines = (three / "p0.csv").read_text().splitlines()
    (three / "p0.csv").write_text("\n".join([*lines[:41], *lines[51:]]) + "\n")
    shares = importing.missing(planned(three))
    assert shares["p0"]["ppg"] == pytest.approx(0.1)
    assert shares["p1"]["ppg"] == 0.0
