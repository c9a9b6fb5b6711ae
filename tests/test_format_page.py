"""docs/format.md: what it says of files and keys is what bioxedge holds bundles to.

The reader is ``tests/bundle_reader.py`` and the files beside it: NumPy, nothing of ours.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, get_args

import bundle_reader
import bundle_schema
import bundle_windows
import msgspec
import numpy as np
import pytest
from bundle_reader import RefusedError
from fixtures_format import bundles, law
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import manifest, manifestfile, spec
from bioxedge.bundle import Bundle
from bioxedge.errors import BioxedgeError, BundleError
from bioxedge.quality import Judge

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/format.md").read_text()
READER = tuple(sorted(path.stem for path in (ROOT / "tests").glob("bundle_*.py")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    return bundles(tmp_path_factory.mktemp("bundles"))


def test_the_reader_needs_numpy_alone() -> None:
    allowed = {"__future__", "numpy", *READER}
    allowed |= {"hashlib", "io", "json", "os", "re", "stat", "zipfile", "pathlib", "typing"}
    allowed |= {"collections", "fractions", "itertools", "math"}
    for name in READER:
        text = (ROOT / f"tests/{name}.py").read_text()
        found = re.findall(r"^\s*(?:from|import)\s+([\w.]+)", text, flags=re.MULTILINE)
        assert {one.partition(".")[0] for one in found} <= allowed


# -- what is refused ----------------------------------------------------------------------


def refused(folder: Path) -> tuple[bool, bool]:
    """Say whether ours and the reader refuse a bundle."""
    found = []
    for opened, error in ((Bundle.open, BundleError), (bundle_reader.load, RefusedError)):
        try:
            opened(folder)
            found.append(False)
        except error:
            found.append(True)
    return found[0], found[1]


WRONG = (None, "x", "", -1, 0, 1, 2, 0.5, 1.0, 2.0, 1e9, [], {}, True, ["x"], "a" * 401, "absent")


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give every place in a document, of arrays the first two."""
    inner = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inner = enumerate(value[:2])
    return [path, *(one for key, item in inner for one in paths(item, (*path, key)))]


@pytest.mark.parametrize("kind", ["all", "features", "tasks", "value"])
@law(80)
@given(data=st.data())
def test_bounds(made: dict[str, Bundle], kind: str, data: st.DataObject) -> None:
    """A manifest with one value changed is refused by both or by neither."""
    document = json.loads((made[kind].path / "manifest.json").read_bytes())
    places = [path for path in paths(document) if path and path[0] != "digest"]
    (*above, key), value = data.draw(st.sampled_from(places)), data.draw(st.sampled_from(WRONG))
    parent = functools.reduce(lambda tree, step: tree[step], above, document)
    if value == "absent":
        del parent[key]
    else:
        parent[key] = value
    try:
        about = msgspec.json.decode(json.dumps(document), type=manifest.Manifest)
        manifestfile.check(about)
        if about.quality is not None:
            Judge(about.input, about.input.expect, about.quality, memory=1)
        # Filters whose sections are left open are for readers that can design them.
        fine = about.format == 2 and None not in [
            stage.sections for stage in about.stream.stages if isinstance(stage, spec.Filter)
        ]
    except (msgspec.MsgspecError, BioxedgeError):
        fine = False
    try:
        theirs = bundle_windows.settles(bundle_schema.read(document, RefusedError))
    except RefusedError:
        theirs = False
    assert theirs == fine


@law(30)
@given(data=st.data())
def test_damage(made: dict[str, Bundle], data: st.DataObject) -> None:
    """A bit that flips anywhere is found."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(shutil.copytree(made["filtered"].path, Path(folder) / "b"))
        name = data.draw(st.sampled_from(["manifest.json", "model.onnx", "golden.npz"]))
        raw = bytearray((copied / name).read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        (copied / name).write_bytes(raw)
        assert refused(copied) == (True, True)


def test_a_key_that_stands_twice(made: dict[str, Bundle], tmp_path: Path) -> None:
    copied = Path(shutil.copytree(made["plain"].path, tmp_path / "b"))
    text = (copied / "manifest.json").read_text()
    (copied / "manifest.json").write_text(text.replace('"hop": 64', '"hop": 64,\n    "hop": 64'))
    assert refused(copied) == (True, True)


def test_links_and_what_is_not_there(made: dict[str, Bundle], tmp_path: Path) -> None:
    copied = Path(shutil.copytree(made["plain"].path, tmp_path / "b"))
    (copied / "another.txt").write_text("of no concern")
    assert refused(copied) == (False, False)
    (copied / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    assert refused(copied) == (True, True)
    (copied / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert refused(copied) == (True, True)


@law(60)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_the_digest(document: Any) -> None:
    """Canonical JSON of whatever a manifest may hold, read from bytes as both do."""
    raw = msgspec.json.encode({"a": document, "digest": "of old"})
    assert bundle_reader.digest(json.loads(raw)) == manifest.digest(msgspec.json.decode(raw))


# -- the page says all of it --------------------------------------------------------------


def structs(kind: Any = manifest.Manifest) -> dict[str, Any]:
    """Find every struct that a manifest is made of."""
    found = {kind.__name__: kind}
    for field in msgspec.structs.fields(kind):
        for inner in inside(field.type):
            found |= structs(inner) if inner.__name__ not in found else {}
    return found


def inside(kind: Any) -> list[Any]:
    """Find the structs in a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [one for part in get_args(kind) for one in inside(part)]


@pytest.mark.parametrize("struct", structs().values(), ids=list(structs()))
def test_every_field_stands_on_the_page(struct: Any) -> None:
    """Each key in code's type, and the default that stands for it."""
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for field in msgspec.structs.fields(struct):
        name = f"`{field.encode_name}`"
        own = [row for row in rows if name in row]
        assert own, f"{struct.__name__}: {name} is in no table of docs/format.md"
        default = field.default
        if isinstance(default, int | float) and not isinstance(default, bool):
            told = np.format_float_positional(default, trim="0")
            told = str(default) if isinstance(default, int) else told
            assert any(f"| {told} |" in row for row in own), f"{struct.__name__}: {name}, {told}"


def test_every_word_stands_on_the_page() -> None:
    for kind in (spec.Fault, spec.Measure, manifest.Precision):
        assert all(f"`{word}`" in PAGE for word in get_args(kind))
