"""What bioxedge wrote: one recording, a session of several, and what a device recorded."""

from __future__ import annotations

import numpy as np
import pytest

from bioxedge import marks, readers, recording
from bioxedge.errors import RecordingError
from bioxedge.marks import Mark
from bioxedge.recorded import About, End, Read, Writer
from bioxedge.signals import Channel, Chunk, Recording

T0 = 1_700_000_000.25


def saved(folder, modality="ecg", rate=125.0, person="anna", count=500, facts=None):
    samples = np.arange(2.0 * count).reshape(2, count)
    samples[:, 40:60] = np.nan
    channels = (Channel("a", "mV"), Channel("b", "mV"))
    whole = Recording(samples, rate, channels, modality, person, T0, facts or {})
    recording.save(whole, folder)
    return whole


def recorded(folder, person="anna"):
    """Record ten reads of 10 samples each, as a device does."""
    about = About((Channel("a", "uV"), Channel("b", "uV")), 100.0, "ppg", person, "cyton/default")
    writer = Writer(folder, about, keep_free=0)
    for number in range(10):
        values = np.tile(np.arange(number * 10.0, number * 10.0 + 10), (2, 1))
        chunk = Chunk(values, number * 10, 100.0, T0, 10**9 * (number + 1))
        writer.write([Read(chunk, 10**9 * (number + 1), T0, 0)])
    writer.end(End("enough", 5, 0))
    writer.close()


def test_a_saved_recording_is_given_as_it_is(tmp_path):
    whole = saved(tmp_path / "one", facts={"device": "H10"})
    found = readers.find(tmp_path / "one")
    (stream,) = found.streams
    assert (found.kind, found.person, stream.modality, stream.rate) == (
        "bioxedge",
        "anna",
        "ecg",
        125,
    )
    assert (stream.t0, stream.dated, stream.facts) == (T0, True, {"device": "H10"})
    assert stream.channels == whole.channels and stream.samples == 500
    np.testing.assert_array_equal(stream.read(), whole.samples)
    assert all(file.is_file() for file in found.files) and len(found.files) == 2


def test_a_session_has_streams_marks_and_labels_beside_them(tmp_path):
    saved(tmp_path / "s" / "H10 chest")
    saved(tmp_path / "s" / "wrist", "ppg", 64.0)
    saved(tmp_path / "s" / "labels", "reference", 1.0)
    marks.save([Mark(T0 + 2, "stress", 60.0)], tmp_path / "s")
    (tmp_path / "s" / "notes").mkdir()
    found = readers.find(tmp_path / "s")
    assert [(one.name, one.modality) for one in found.streams] == [
        ("h10-chest", "ecg"), ("labels", "reference"), ("wrist", "ppg"),
    ]  # fmt: skip
    assert found.marks == (Mark(T0 + 2, "stress", 60.0),)


def test_what_a_device_recorded_is_read_whether_one_stream_or_two(tmp_path):
    recorded(tmp_path / "s" / "wrist")
    (stream,) = readers.find(tmp_path / "s" / "wrist").streams
    assert (stream.name, stream.modality, stream.rate) == ("wrist", "ppg", 100)
    assert stream.read()[0].tolist() == list(range(100)) and stream.samples == 100
    recorded(tmp_path / "s" / "chest", "ben")
    found = readers.find(tmp_path / "s")
    assert [one.name for one in found.streams] == ["chest", "wrist"]
    assert (found.person, found.remarks) == ("", ("says it is of ben and anna",))


def test_a_recorded_and_a_saved_stream_may_lie_side_by_side(tmp_path):
    recorded(tmp_path / "s" / "wrist")
    saved(tmp_path / "s" / "chest")
    assert {one.rate for one in readers.find(tmp_path / "s").streams} == {100, 125}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda place: (place / "a" / "recording.json").write_text("{"), "cannot be read"),
        (lambda place: (place / "a" / "recording.json").write_text("[]"), "format None"),
        (lambda place: (place / "marks.json").write_text("\x00"), "cannot be read as marks"),
        (lambda place: next((place / "a").glob("*.npy")).unlink(), "holds no recording"),
        (lambda place: next((place / "a").glob("*.npy")).write_bytes(b"x" * 99), "sha256|cannot"),
    ],
)
def test_damage_is_said_in_one_short_line(tmp_path, harm, said):
    saved(tmp_path / "s" / "a")
    saved(tmp_path / "s" / "b")
    harm(tmp_path / "s")
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(tmp_path / "s")
    assert "\n" not in str(caught.value)


def test_samples_that_changed_since_are_an_error(tmp_path):
    saved(tmp_path / "a")
    (stream,) = readers.find(tmp_path / "a").streams
    path = next((tmp_path / "a").glob("*.npy"))
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    with pytest.raises(RecordingError, match="sha256"):
        stream.read()


def test_a_folder_of_other_things_is_no_session(tmp_path):
    (tmp_path / "a").mkdir()
    assert not readers.recognised(tmp_path)
    with pytest.raises(RecordingError, match="no format that is known"):
        readers.find(tmp_path)
    with pytest.raises(RecordingError, match="is not there"):
        readers.find(tmp_path / "b")
