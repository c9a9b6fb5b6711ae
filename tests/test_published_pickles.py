"""Pickles of numbers are read, those of Python 2, too; whatever else they ask for is refused."""

from __future__ import annotations

import os
import pickle
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_all import few
from fixtures_published import python2
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.errors import RecordingError
from bioxedge.readers.pickles import Packed, read

ARRAYS = {
    "column": np.linspace(-1, 1, 301)[:, None],
    "whole": np.arange(50, dtype="<i4"),
    "swapped": np.arange(9, dtype=">f8").reshape(3, 3),
    "bytes": np.arange(256, dtype="u1"),
    "empty": np.empty((0, 3)),
    "truth": np.array([True, False]),
}
HELD = {"signal": {"chest": ARRAYS}, "subject": "S2", "rest": [1, -2.5, None, True, (3, "é")]}


def plain(found: Any) -> Any:
    """Lay arrays out."""
    if isinstance(found, Packed):
        return found.array()
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return type(found)(map(plain, found)) if isinstance(found, list | tuple) else found


def refused(tmp_path: Path, raw: bytes) -> str:
    """Say why a file is refused, in one line."""
    path = tmp_path / "x.pkl"
    path.write_bytes(raw)
    with pytest.raises(RecordingError) as error:
        plain(read(path))
    said = str(error.value)
    assert "\n" not in said and str(path) in said
    return said


def test_python_2_wrote_it_and_it_is_what_python_reads(tmp_path: Path) -> None:
    raw = python2(HELD)
    np.testing.assert_equal(pickle.loads(raw, encoding="latin1"), HELD)  # the test's own file
    (tmp_path / "x.pkl").write_bytes(raw)
    np.testing.assert_equal(plain(read(tmp_path / "x.pkl")), HELD)


@pytest.mark.parametrize("protocol", range(5))
def test_every_protocol_of_python_3(tmp_path: Path, protocol: int) -> None:
    held = HELD | {
        "order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "one": np.float32(2.5),
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(held, protocol=protocol))
    found = plain(read(tmp_path / "x.pkl"))
    np.testing.assert_equal(found, held)
    assert found["signal"]["chest"]["swapped"].dtype == ">f8"


class Shell:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, Any]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(6))
def test_no_command_is_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    said = refused(tmp_path, pickle.dumps({"label": Shell(mark)}, protocol=protocol))
    assert "posix.system" in said and not mark.exists()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.array([1, "a"], object), "no type of numbers"),
        (np.array(["a"]), "no type of numbers"),
        (np.zeros(2, complex), "no type of numbers"),
        (np.zeros(2, "i4,f8"), "no type of numbers"),
        (np.zeros(2, "M8[s]"), "no type of numbers"),
        ({1, 2}, "set"),
        ({1: 2}, "a key of int"),
        (10**200, "a whole number"),
        (Path("x"), "pathlib"),
        (np.random.default_rng(0), "not admitted"),
        (print, "print"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_is_no_number_is_refused_by_its_name(
    tmp_path: Path, value: Any, why: str, protocol: int
) -> None:
    said = refused(tmp_path, pickle.dumps({"x": value}, protocol=protocol)).lower()
    assert why in said or ("set" in why and "set" in said)


def test_buffers_of_protocol_5_are_refused(tmp_path: Path) -> None:
    buffers: list[Any] = []
    raw = pickle.dumps(np.arange(9.0), protocol=5, buffer_callback=buffers.append)
    assert buffers and "_frombuffer" in refused(tmp_path, raw)
    assert "_frombuffer" in refused(tmp_path, pickle.dumps(np.arange(9.0), protocol=5))
    assert "BYTEARRAY8" in refused(tmp_path, pickle.dumps(bytearray(9), protocol=5))


BIG = 1 << 40
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
BOMBS = {
    "an array by its shape": ARRAY + b"\x8a\x06" + BIG.to_bytes(6, "little") + b"\x85U\x01b\x87R"
    b"(K\x01\x8a\x06" + BIG.to_bytes(6, "little") + b"\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"
    b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x00tb.",
    "text by its length": b"\x8d" + struct.pack("<Q", BIG) + b"x.",
    "bytes by their length": b"\x8e" + struct.pack("<Q", BIG) + b"x.",
    "a place in the memo": b"Nr" + struct.pack("<I", (1 << 32) - 1) + b".",
    "a bytearray": b"\x96" + struct.pack("<Q", BIG) + b".",
    "a whole number": b"\x8b" + struct.pack("<i", (1 << 31) - 1) + b".",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", BIG) + b"N.",
    "the same bytes made again": b"U\xff" + b"x" * 255 + b"q\x000"
    + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 400 + b".",
    "lists without end": b"]" * 1_200_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_short_file_cannot_ask_for_much_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assert plain(read(path)) is None  # a frame is a hint, a high place in the memo is a place
    except RecordingError as error:
        assert "\n" not in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_lists_of_the_same_lists_are_not_told_apart_one_by_one(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(60):
        deep = [deep, deep]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"deep": deep}, protocol=2))
    assert isinstance(read(tmp_path / "x.pkl")["deep"], list)  # two to the sixty would never end


WHOLE = [python2(HELD), *(pickle.dumps(HELD, protocol=protocol) for protocol in (0, 2, 4))]


@given(data=st.data())
@settings(max_examples=few(600, 150), deadline=None)
def test_a_torn_file_is_one_line(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    raw = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "torn.pkl"
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        plain(read(path))
    except RecordingError as error:
        assert "\n" not in str(error)


def test_an_escape_that_is_none_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"S'a\\q\\x41'\n.")
    assert read(tmp_path / "x.pkl") == "a\\qA"


def test_a_file_that_is_not_there_and_one_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(tmp_path / "none.pkl")
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(9 * 2**30)  # sparse
    with pytest.raises(RecordingError, match="at most"):
        read(tmp_path / "large.pkl")
