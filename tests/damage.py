"""Bundles made wrong on purpose, with everything else made right again."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fixtures_bundle
import msgspec
import numpy as np

from bioxedge import spec
from bioxedge.bundle import Bundle

Tree = dict[str, Any]
Place = tuple[str | int, ...]


STAGES = (
    spec.Select(channels=("red",)),
    spec.Scale(gain=0.5),
    spec.Resample(up=1, down=2),
    spec.Filter(design="butterworth", cutoff=(0.5, 8.0)),
)


def make(path: Path, *, seed: int = 0) -> Bundle:
    """Write a small bundle in which every kind of stage occurs."""
    return fixtures_bundle.make_bundle(
        path,
        channels=("green", "red"),
        stages=STAGES,
        length=16,
        hop=8,
        then=(spec.ZScore(), spec.Rank()),
        seed=seed,
    )


def tree_of(folder: Path) -> Tree:
    """Give a bundle's manifest as plain builtins."""
    tree: Tree = json.loads((folder / "manifest.json").read_bytes())
    return tree


def sealed(tree: Tree) -> bytes:
    """Render a manifest with the digest that fits it, whatever it says."""
    tree = copy.deepcopy(tree)
    digest = tree.pop("digest", None)
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    if digest is not None:
        tree["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def put(folder: Path, tree: Tree) -> None:
    """Write a manifest that is right but for what was changed in it."""
    (folder / "manifest.json").write_bytes(sealed(tree))


def put_file(folder: Path, raw: bytes, *, part: str) -> None:
    """Write another model or golden file, with the size and the hash that fit it."""
    tree = tree_of(folder)
    entry = tree["golden"] if part == "golden" else tree["model"]["fp32"]
    (folder / entry["file"]).write_bytes(raw)
    entry["bytes"], entry["sha256"] = len(raw), hashlib.sha256(raw).hexdigest()
    put(folder, tree)


def places(value: Any, path: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value in a tree, with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def at(tree: Tree, path: Place) -> Any:
    """Give the value at a path."""
    value: Any = tree
    for key in path:
        value = value[key]
    return value


def changed(tree: Tree, path: Place, value: Any) -> Tree:
    """Give a copy of a tree with another value at a path."""
    tree = copy.deepcopy(tree)
    at(tree, path[:-1])[path[-1]] = value
    return tree


def npz(arrays: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Pack arrays; bytes are taken as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            if isinstance(array, bytes):
                content.write(array)
            else:
                np.save(content, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue())
    return file.getvalue()
