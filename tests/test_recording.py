"""Recordings on disk: the same bytes out again, and one error for any damage."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import recording
from bioxedge.errors import RecordingError, SignalError
from bioxedge.signals import Channel, Recording


def example(**changes: Any) -> Recording:
    samples = np.random.default_rng(0).standard_normal((2, 50))
    samples[0, 3], samples[1, 7], samples[1, 8] = np.nan, -0.0, np.inf
    fields = {
        "samples": samples,
        "rate": 62.5,
        "channels": (Channel("ppg_2", "a.u."), Channel("µ", "mV")),
        "modality": "ppg",
        "person": "p 1",
        "t0": 1_726_000_000.123456,
        "facts": {"wrist": "left", "age": 44, "notes": ["é", None, True]},
    }
    return Recording(**{**fields, **changes})


def save_format_1(given: Recording, folder: Path) -> Path:
    """Write a folder as bioxedge 0.1 did."""
    recording.save(given, folder)
    about = json.loads((folder / "recording.json").read_text())
    (folder / about.pop("samples")["file"]).rename(folder / "samples.npy")
    (folder / "recording.json").write_text(json.dumps({**about, "format": 1}, indent=2) + "\n")
    return folder


@pytest.fixture(params=[1, 2])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save = save_format_1 if request.param == 1 else recording.save
    return save(example(), tmp_path / "deep" / "er")


def file_in(folder: Path, what: str) -> Path:
    """Find ``json`` or ``samples``, whatever the latter are called."""
    (found,) = folder.glob("recording.json" if what == "json" else "samples*.npy")
    return found


def seal(folder: Path) -> None:
    """Let the description hold the hash of what is there: whatever is wrong lies deeper."""
    about = json.loads((folder / "recording.json").read_text())
    if about["format"] == 2:
        raw = file_in(folder, "samples").read_bytes()
        about["samples"]["sha256"] = hashlib.sha256(raw).hexdigest()
        (folder / "recording.json").write_text(json.dumps(about))


def test_the_same_bytes_come_out(folder: Path) -> None:
    before, after = example(), recording.load(folder)
    assert after.samples.tobytes() == before.samples.tobytes()
    assert after.samples.shape == before.samples.shape
    for field in ("rate", "channels", "modality", "person", "t0", "facts"):
        assert getattr(after, field) == getattr(before, field)


def test_every_pattern_of_bits_survives(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2**64, (1, 4096), dtype=np.uint64)
    given = example(samples=bits.view(np.float64), channels=(Channel("a"),))
    after = recording.load(recording.save(given, tmp_path))
    assert after.samples.tobytes() == bits.tobytes()


@pytest.mark.parametrize("shape", [(1, 0), (0, 0), (3, 1)])
def test_small_recordings_survive(tmp_path: Path, shape: tuple[int, int]) -> None:
    channels = tuple(Channel(str(n)) for n in range(shape[0]))
    given = example(samples=np.zeros(shape), channels=channels)
    assert recording.load(recording.save(given, tmp_path)).samples.shape == shape


def test_rows_in_any_layout_are_written_as_they_are_numbered(tmp_path: Path) -> None:
    samples = np.asfortranarray(np.arange(20.0).reshape(2, 10))[:, ::-1]
    after = recording.load(recording.save(example(samples=samples), tmp_path))
    assert after.samples.flags.c_contiguous
    assert np.array_equal(after.samples, samples)


def test_a_later_recording_replaces_an_earlier_one(folder: Path) -> None:
    recording.save(example(samples=np.ones((2, 3)), person="p 2"), folder)
    after = recording.load(folder)
    assert (after.person, after.samples.shape) == ("p 2", (2, 3))
    assert {p.name for p in folder.iterdir()} == {
        "recording.json",
        file_in(folder, "samples").name,
    }


def test_what_a_killed_save_left_goes_and_what_is_somebody_elses_stays(folder: Path) -> None:
    named = file_in(folder, "samples").name
    left = [f"{named}.partial", "recording.json.partial", "samples-0123456789abcdef.npy"]
    others = ["notes.txt", "samples-of-blood.npy", "samples.csv", "samples-0123.npy", "x.partial"]
    for name in (*left, *others):
        (folder / name).write_text("x")
    (folder / "samples-fedcba9876543210.npy").mkdir()  # no file of ours is a folder
    recording.save(example(), folder)
    kept = {p.name for p in folder.iterdir()}
    assert kept == {
        *others,
        "samples-fedcba9876543210.npy",
        "recording.json",
        json.loads((folder / "recording.json").read_text())["samples"]["file"],
    }
    assert recording.load(folder).person == "p 1"


def test_samples_that_are_not_those_that_were_written_are_refused(tmp_path: Path) -> None:
    folder = recording.save(example(), tmp_path)
    path = file_in(folder, "samples")
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1  # a value that is as good as another
    path.write_bytes(raw)
    with pytest.raises(RecordingError, match=rf"{path.name} does not match its sha256"):
        recording.load(folder)


@pytest.mark.parametrize("name", ["../samples.npy", "/etc/passwd", "samples-1.npy", "", 3, None])
def test_no_other_file_can_be_named(tmp_path: Path, name: Any) -> None:
    folder = recording.save(example(), tmp_path / "in")
    about = json.loads((folder / "recording.json").read_text())
    about["samples"]["file"] = name
    (folder / "recording.json").write_text(json.dumps(about))
    refused(folder)


@pytest.mark.parametrize(
    "changes", [{"t0": float("nan")}, {"facts": {"a": float("inf")}}, {"facts": {"a": object()}}]
)
def test_what_json_cannot_hold_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(RecordingError, match="p 1"):
        recording.save(example(**changes), tmp_path / "new")
    assert not (tmp_path / "new").exists()


# -- damage --------------------------------------------------------------------------------


def refused(folder: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        recording.load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("what", ["json", "samples"])
def test_a_missing_file_is_named(folder: Path, what: str) -> None:
    path = file_in(folder, what)
    path.unlink()
    with pytest.raises(RecordingError, match=path.name):
        recording.load(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere")


@pytest.mark.parametrize("what", ["json", "samples"])
@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"[" * 200_000, bytes(5000), b"PK\x03\x04"])
def test_other_content_is_refused(folder: Path, what: str, raw: bytes) -> None:
    file_in(folder, what).write_bytes(raw)
    if what == "samples":
        seal(folder)
    refused(folder)


@pytest.mark.parametrize("what", ["json", "samples"])
def test_a_directory_in_the_place_of_a_file_is_refused(folder: Path, what: str) -> None:
    path = file_in(folder, what)
    path.unlink()
    path.mkdir()
    refused(folder)


@pytest.mark.parametrize("what", ["json", "samples"])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.97])
def test_a_truncated_file_is_refused(folder: Path, what: str, left: float) -> None:
    path = file_in(folder, what)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(left * len(raw))])
    if what == "samples":
        seal(folder)
    refused(folder)


ABOUT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda a: [a],
    "another format": lambda a: {**a, "format": 3 - a["format"]},
    "a later format": lambda a: {**a, "format": 3},
    "a format of words": lambda a: {**a, "format": "1"},
    "a format that is true": lambda a: {**a, "format": True},
    "no format": lambda a: {k: v for k, v in a.items() if k != "format"},
    "an unknown key": lambda a: {**a, "sensor": "x"},
    "no person": lambda a: {k: v for k, v in a.items() if k != "person"},
    "a channel too few": lambda a: {**a, "channels": a["channels"][:1]},
    "a channel twice": lambda a: {**a, "channels": a["channels"][:1] * 2},
    "channels of text": lambda a: {**a, "channels": ["a", "b"]},
    "channels without units": lambda a: {**a, "channels": [{"name": "a"}, {"name": "b"}]},
    "no channels": lambda a: {**a, "channels": None},
    "no rate": lambda a: {**a, "rate": 0},
    "an endless rate": lambda a: {**a, "rate": float("inf")},
    "a rate beyond floats": lambda a: {**a, "rate": 10**400},
    "a rate of words": lambda a: {**a, "rate": "fast"},
    "a clock of words": lambda a: {**a, "t0": "noon"},
    "facts of text": lambda a: {**a, "facts": "many"},
    "facts of a number": lambda a: {**a, "facts": 3},
}


@pytest.mark.parametrize("kind", ABOUT)
def test_a_description_that_does_not_fit_is_refused(folder: Path, kind: str) -> None:
    about = json.loads((folder / "recording.json").read_text())
    (folder / "recording.json").write_text(json.dumps(ABOUT[kind](about)))
    refused(folder)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, 5), np.float32),
        np.zeros((2, 5), np.int64),
        np.zeros((2, 5), complex),
        np.zeros((2, 5), ">f8"),
        np.array([["1", "2"], ["3", "4"]]),
        np.zeros(10),
        np.zeros((2, 5, 1)),
        np.zeros((3, 5)),
        np.float64(1),
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}",
)
def test_samples_of_another_type_or_shape_are_refused(folder: Path, samples: Any) -> None:
    np.save(file_in(folder, "samples"), samples)
    seal(folder)
    refused(folder)


def test_several_arrays_are_refused(folder: Path) -> None:
    with file_in(folder, "samples").open("wb") as file:
        np.savez(file, a=np.zeros((2, 5)))
    seal(folder)
    refused(folder)


def test_a_claim_of_more_than_there_is_is_refused(folder: Path) -> None:
    for shape in ((2, 10**15), (2, 10**3)):
        with file_in(folder, "samples").open("wb") as file:
            about = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, about)
            file.write(bytes(64))
        seal(folder)
        refused(folder)


class Trap:
    """What betrays that it was unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def test_nothing_is_unpickled(folder: Path) -> None:
    path = file_in(folder, "samples")
    np.save(path, np.array([[Trap()]], dtype=object), allow_pickle=True)
    seal(folder)
    refused(folder)
    path.write_bytes(pickle.dumps(Trap()))
    seal(folder)
    refused(folder)
    assert not Trap.sprung


@pytest.fixture(scope="module", params=[1, 2])
def scratch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    save = save_format_1 if request.param == 1 else recording.save
    return save(example(), tmp_path_factory.mktemp("recording"))


@pytest.mark.parametrize("what", ["json", "samples"])
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_and_nothing_else(
    scratch: Path, what: str, place: int, byte: int
) -> None:
    path = file_in(scratch, what)
    right = path.read_bytes()
    raw = bytearray(right)
    raw[place % min(len(raw), 400)] = byte
    path.write_bytes(raw)
    try:
        assert isinstance(recording.load(scratch), Recording)
    except RecordingError:
        pass
    finally:
        path.write_bytes(right)


# -- what a recording is -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.zeros((3, 5))}, r"\[2, n\].*\[3, 5\]"),
        ({"samples": np.zeros(5)}, r"\[2, n\]"),
        ({"channels": (Channel("a"), Channel("a"))}, "distinct"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
    ],
)
def test_rows_channels_and_rate_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SignalError, match=message):
        example(**changes)


def test_a_channel_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SignalError, match=r"p 1.*no channel green.*ppg_2, µ"):
        example().rows(("µ", "green"))
    assert example().rows(("µ", "ppg_2")) == [1, 0]
