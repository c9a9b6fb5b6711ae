"""Damage of every kind is one error: a bundle either opens as it was written or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import manifestfile, onnxfile
from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError

FILES = ("manifest.json", "model.onnx", "golden.npz")
KEYS = ("raw", "windows", "probabilities")
each_file = pytest.mark.parametrize("name", FILES)
thorough = settings(max_examples=120, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return damage.make(tmp_path_factory.mktemp("damage") / "b")


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle, of another seed."""
    return damage.make(tmp_path_factory.mktemp("spare") / "b", seed=5).path


@pytest.fixture
def folder(pristine: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(pristine.path, tmp_path / "b")
    return tmp_path / "b"


@pytest.fixture(scope="module")
def scratch(pristine: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that many examples damage; each sets right what it has changed."""
    place = tmp_path_factory.mktemp("scratch") / "b"
    shutil.copytree(pristine.path, place)
    return place


def refused(folder: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    assert str(caught.value)
    assert "\n" not in str(caught.value).strip()


def refused_with(folder: Path, name: str, raw: bytes) -> None:
    """Write a file, see the bundle refused, and set it right again."""
    right = (folder / name).read_bytes()
    assert raw != right
    (folder / name).write_bytes(raw)
    try:
        refused(folder)
    finally:
        (folder / name).write_bytes(right)


def test_a_bundle_that_was_copied_opens(folder: Path, pristine: Bundle) -> None:
    copied = Bundle.open(folder)
    assert copied.manifest == pristine.manifest
    assert copied.model() == pristine.model()
    for key in KEYS:
        assert getattr(copied.golden, key).tobytes() == getattr(pristine.golden, key).tobytes()


# -- bytes ---------------------------------------------------------------------------------


@each_file
def test_a_flipped_byte_is_refused_all_over_a_file(scratch: Path, name: str) -> None:
    raw = (scratch / name).read_bytes()
    for place in np.linspace(0, len(raw) - 1, 64).astype(int):
        refused_with(scratch, name, raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :])


def test_every_flipped_bit_of_a_manifest_is_refused(pristine: Bundle) -> None:
    raw = (pristine.path / "manifest.json").read_bytes()
    for place in range(len(raw)):
        bit = 1 << (place % 8)
        wrong = raw[:place] + bytes([raw[place] ^ bit]) + raw[place + 1 :]
        with pytest.raises(BundleError):
            manifestfile.decode(wrong)


@each_file
@thorough
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_anywhere(
    scratch: Path, name: str, where: float, bit: int
) -> None:
    raw = bytearray((scratch / name).read_bytes())
    raw[int(where * len(raw))] ^= 1 << bit
    refused_with(scratch, name, bytes(raw))


@each_file
@pytest.mark.parametrize("left", [0.0, 0.01, 0.3, 0.7, 0.99, -1])
def test_a_truncated_file_is_refused(scratch: Path, name: str, left: float) -> None:
    raw = (scratch / name).read_bytes()
    refused_with(scratch, name, raw[: -1 if left < 0 else int(left * len(raw))])


@each_file
@pytest.mark.parametrize("more", [b"\n", b"\0", b"\0" * 5000])
def test_an_extended_file_is_refused(scratch: Path, name: str, more: bytes) -> None:
    refused_with(scratch, name, (scratch / name).read_bytes() + more)


@each_file
def test_a_file_of_zeros_is_refused(scratch: Path, name: str) -> None:
    # What a card shows after the power went before the data were written.
    refused_with(scratch, name, bytes((scratch / name).stat().st_size))


def test_a_huge_manifest_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(2**40)  # sparse
    refused(folder)


# -- files ---------------------------------------------------------------------------------


@each_file
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        Bundle.open(folder)


@each_file
def test_a_file_of_another_bundle_is_refused(scratch: Path, spare: Path, name: str) -> None:
    refused_with(scratch, name, (spare / name).read_bytes())


@pytest.mark.parametrize("one", FILES)
@pytest.mark.parametrize("other", FILES)
def test_files_swapped_within_a_bundle_are_refused(folder: Path, one: str, other: str) -> None:
    if one == other:
        return
    (folder / one).rename(folder / "third")
    (folder / other).rename(folder / one)
    (folder / "third").rename(folder / other)
    refused(folder)


@each_file
def test_a_link_is_refused(folder: Path, pristine: Bundle, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(pristine.path / name)
    refused(folder)


@pytest.mark.parametrize(
    "path", ["nowhere", "b/model.onnx", "b/model.onnx/deeper", "x" * 5000, "a\0b", "", "loop/b"]
)
def test_a_path_that_is_no_directory_is_refused(folder: Path, path: str) -> None:
    (folder.parent / "loop").symlink_to(folder.parent / "loop")
    refused(folder.parent / path)


def test_other_files_beside_do_no_harm(folder: Path) -> None:
    (folder / "notes.txt").write_text("worn on the left wrist")
    Bundle.open(folder)


@pytest.mark.parametrize("file", ["../b/golden.npz", "/etc/hostname", "./golden.npz"])
def test_a_path_in_a_manifest_with_the_right_digest_is_refused(folder: Path, file: str) -> None:
    tree = damage.tree_of(folder)
    tree["golden"]["file"] = file
    damage.put(folder, tree)
    refused(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@each_file
def test_a_file_that_may_not_be_read_is_refused(folder: Path, name: str) -> None:
    (folder / name).chmod(0)
    refused(folder)


# -- manifests that are no manifests -------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@thorough
@given(raw=st.binary(max_size=400))
def test_random_bytes_are_no_manifest(raw: bytes) -> None:
    with pytest.raises(BundleError):
        manifestfile.decode(raw)


@thorough
@given(value=values)
def test_random_json_is_no_manifest(value: Any) -> None:
    for found in (value, {"format": 1, "name": value}):
        with pytest.raises(BundleError):
            manifestfile.decode(json.dumps(found).encode())


@thorough
@given(value=values, turn=st.integers(0, 10**6))
def test_random_values_in_a_sealed_manifest_are_refused_or_read_as_they_are(
    pristine: Bundle, value: Any, turn: int
) -> None:
    tree = damage.tree_of(pristine.path)
    inner = [place for place, _ in damage.places(tree) if place]
    place = inner[turn % len(inner)]
    text = json.dumps(damage.changed(tree, place, value))
    if "NaN" in text or "Infinity" in text:
        return
    raw = damage.sealed(json.loads(text))
    try:
        found = manifestfile.decode(raw)
    except BundleError:
        return
    assert manifestfile.encode(found) == raw


@pytest.mark.parametrize(
    "raw",
    [b"[" * 200_000, b'{"a":' * 100_000, b'"' + b"a" * 10**6, b"9" * 5000, b'{"format": 1e400}'],
)
def test_json_that_is_made_to_hurt_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError):
        manifestfile.decode(raw)


# -- golden arrays with the right hash -----------------------------------------------------


def header(descr: str, shape: str, *, fortran: bool = False) -> bytes:
    """An array file that is all claim and no content."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


Arrays = dict[str, Any]
GOLDEN: dict[str, Callable[[Arrays], Arrays | bytes]] = {
    "not a zip": lambda a: b"not a zip",
    "a plain array": lambda a: plain(a["raw"]),
    "an empty zip": lambda a: {},
    "one too few": lambda a: {key: a[key] for key in KEYS[:2]},
    "one too many": lambda a: {**a, "extra": a["raw"]},
    "one twice": lambda a: twice(a),
    "raw of float32": lambda a: {**a, "raw": a["raw"].astype(np.float32)},
    "windows of float64": lambda a: {**a, "windows": a["windows"].astype(np.float64)},
    "windows of int32": lambda a: {**a, "windows": a["windows"].astype(np.int32)},
    "windows in the other byte order": lambda a: {**a, "windows": a["windows"].astype(">f4")},
    "answers in columns": lambda a: {**a, "probabilities": np.asfortranarray(a["probabilities"])},
    "windows too few": lambda a: {**a, "windows": a["windows"][1:]},
    "windows too short": lambda a: {**a, "windows": a["windows"][:, :, 1:]},
    "windows turned": lambda a: {**a, "windows": a["windows"].transpose(0, 2, 1).copy()},
    "raw flat": lambda a: {**a, "raw": a["raw"][0]},
    "raw without a channel": lambda a: {**a, "raw": a["raw"][:, 1:]},
    "answers of one label": lambda a: {**a, "probabilities": a["probabilities"][:, :1]},
    "a number": lambda a: {**a, "probabilities": np.float32(1)},
    "text": lambda a: {**a, "raw": np.array(["1.0"])},
    "a structure": lambda a: {**a, "raw": np.zeros(2, dtype=[("a", "f8")])},
    "NaN in raw": lambda a: {**a, "raw": spoilt(a["raw"], np.nan)},
    "NaN in windows": lambda a: {**a, "windows": spoilt(a["windows"], np.nan)},
    "infinity in answers": lambda a: {**a, "probabilities": spoilt(a["probabilities"], np.inf)},
    "no header": lambda a: {**a, "raw": b""},
    "half a header": lambda a: {**a, "raw": header("'<f8'", "(1, 2, 3)")[:20]},
    "a header that never ends": lambda a: {**a, "raw": header("'<f8'", "(((" + "(" * 3000)},
    "a header with code": lambda a: {**a, "raw": header("'<f8'", "(exit(), 2, 3)")},
    "an odd type": lambda a: {**a, "raw": header("('<f8',)", "(1, 2, 3)")},
    "an unknown version": lambda a: {**a, "raw": b"\x93NUMPY\x09\x00" + plain(a["raw"])[8:]},
    "a negative shape": lambda a: {**a, "raw": header("'<f8'", "(-1, 2, -1)") + bytes(16)},
    "a shape of booleans": lambda a: {**a, "raw": header("'<f8'", "(True, 2.0, 1)") + bytes(16)},
    "content cut short": lambda a: {**a, "raw": plain(a["raw"])[:-1]},
    "content too long": lambda a: {**a, "raw": plain(a["raw"]) + b"\0"},
    "nothing of a terabyte": lambda a: {**a, "raw": header("'<f8'", "(65536, 2, 1048576)")},
    "nothing of 4 GB": lambda a: {**a, "raw": header("'<f8'", "(1, 2, 268435456)")},
    "compressed": lambda a: damage.npz(a, zipfile.ZIP_DEFLATED),
}


def plain(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def spoilt(array: Any, value: float) -> Any:
    array = array.copy()
    array.flat[-1] = value
    return array


def twice(arrays: Arrays) -> bytes:
    file = io.BytesIO(damage.npz(arrays))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo("raw.npx"), plain(arrays["raw"]))
    return file.getvalue().replace(b"raw.npx", b"raw.npy")


@pytest.mark.parametrize("kind", GOLDEN)
def test_golden_arrays_that_do_not_fit_are_refused(
    folder: Path, pristine: Bundle, kind: str
) -> None:
    made = GOLDEN[kind](dict(vars(pristine.golden)))
    damage.put_file(folder, made if isinstance(made, bytes) else damage.npz(made), part="golden")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        Bundle.open(folder)


def test_golden_arrays_in_a_bomb_cost_no_memory(folder: Path, pristine: Bundle) -> None:
    # A gigabyte of zeros in one megabyte: refused before anything is unpacked.
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in KEYS[1:]:
            archive.writestr(f"{key}.npy", plain(getattr(pristine.golden, key)))
        with archive.open("raw.npy", "w") as member:
            member.write(header("'<f8'", f"(1, 2, {2**23})"))
            for _ in range(2**27 // 2**22):
                member.write(bytes(2**22))
    damage.put_file(folder, file.getvalue(), part="golden")
    with pytest.raises(BundleError, match="compressed"):
        Bundle.open(folder)


@thorough
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), tail=st.booleans())
def test_a_flipped_bit_in_sealed_golden_arrays_never_escapes_as_another_error(
    scratch: Path, pristine: Bundle, where: float, bit: int, tail: bool
) -> None:
    raw = bytearray(damage.npz(dict(vars(pristine.golden))))
    # The directory at the end of a zip is where most of its structure lies.
    start = len(raw) - 300 if tail else 0
    raw[start + int(where * (len(raw) - start))] ^= 1 << bit
    damage.put_file(scratch, bytes(raw), part="golden")
    try:
        opened = Bundle.open(scratch)
    except BundleError:
        pass
    else:  # a flip that zip does not care about (a date, say) changes no value
        for key in KEYS:
            assert getattr(opened.golden, key).tobytes() == getattr(pristine.golden, key).tobytes()
    finally:
        for name in FILES:
            (scratch / name).write_bytes((pristine.path / name).read_bytes())


# -- models with the right hash ------------------------------------------------------------


@thorough
@given(raw=st.binary(max_size=300))
def test_random_bytes_are_no_model(raw: bytes) -> None:
    with pytest.raises(BundleError):
        onnxfile.inspect(raw + b"\xff")


@thorough
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_changed_model_is_read_or_refused_and_nothing_else(
    pristine: Bundle, where: float, byte: int, cut: bool
) -> None:
    raw = bytearray(pristine.model())
    place = int(where * min(len(raw), 200))
    raw[place] = byte
    try:
        facts = onnxfile.inspect(bytes(raw[:place] if cut else raw))
    except BundleError:
        return
    assert facts.ir > 0
    assert facts.opset > 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x08",
        b"\x08\x0a",
        b"\x80" * 50,
        b"\x0b" * 1000,
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x3a\xff\xff\xff\xff\x0f" + bytes(10**6),
        b"<html>",
        b"\x00" * 10**6,
    ],
)
def test_bytes_that_are_made_to_hurt_are_no_model(raw: bytes) -> None:
    with pytest.raises(BundleError):
        onnxfile.inspect(raw)


def nested(number: int, inner: bytes) -> bytes:
    """A length-delimited field."""
    size, length = bytearray(), len(inner)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    key = number << 3 | 2
    prefix = bytes([key & 0x7F | 0x80, key >> 7]) if key > 0x7F else bytes([key])
    return prefix + bytes([*size, length]) + inner


def test_subgraphs_without_end_are_refused() -> None:
    inner = b""
    for _ in range(3000):
        inner = nested(1, nested(5, nested(6, inner)))
    with pytest.raises(BundleError, match="nested"):
        onnxfile.inspect(nested(7, inner))


def test_a_tensor_of_a_million_dimensions_is_refused_at_once() -> None:
    dims = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 10**6
    start = time.monotonic()
    for tensor in (nested(1, dims), b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 10**5):
        with pytest.raises(BundleError, match="dimensions"):
            onnxfile.inspect(nested(7, nested(5, tensor + b"\x10\x01")))
    assert time.monotonic() - start < 5
