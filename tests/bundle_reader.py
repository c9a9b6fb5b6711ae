"""Another program's reader of bundles: NumPy alone, written from docs/format.md.

It imports nothing of bioxedge and nothing of SciPy; names and order are the page's. Here are the
files. What an ONNX file answers is not computed: the caller hands that in.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import bundle_agreement
import bundle_schema
import bundle_windows
import numpy as np

Manifest = dict[str, Any]


class RefusedError(Exception):
    """A bundle that must not be run."""


def load(folder: Path) -> tuple[Manifest, dict[str, bytes], dict[str, np.ndarray]]:
    """Read manifest, files by name and golden arrays; refuse what the page says to refuse."""
    raw = _file(folder, "manifest.json", None)
    try:
        document = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_once)
    except ValueError as error:
        raise RefusedError(f"manifest.json: {error}") from error
    about: Manifest = bundle_schema.read(document, RefusedError)
    if about["digest"] != digest(document):
        raise RefusedError("digest")
    if not bundle_windows.settles(about):
        raise RefusedError("warmup")
    files = {}
    for part in (*about["model"].values(), about["golden"]):
        content = _file(folder, part["file"], part["bytes"])
        if hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise RefusedError(part["file"])
        files[part["file"]] = content
    return about, files, golden(about, files[about["golden"]["file"]])


def _once(pairs: list[tuple[str, Any]]) -> Manifest:
    if len({key for key, _ in pairs}) < len(pairs):
        raise RefusedError("manifest.json: a key stands twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise RefusedError(f"manifest.json: {name}")


def _file(folder: Path, name: str, size: int | None) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", name):
        raise RefusedError(name)
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RefusedError(name) from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        fits = facts.st_size <= 4 * 2**20 if size is None else facts.st_size == size
        if not (stat.S_ISREG(facts.st_mode) and fits):
            raise RefusedError(name)
        return file.read()


def digest(document: Manifest) -> str:
    """Hash the canonical JSON."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def golden(about: Manifest, content: bytes) -> dict[str, np.ndarray]:
    """Read raw, windows and answers."""
    numbers = sum(len(one["labels"]) or 1 for one in bundle_agreement.tasks(about))
    answers = "probabilities" if numbers > 1 else "values"
    count, (_, *window) = about["golden"]["windows"], variant(about)["input"]["shape"]
    shapes = {
        "raw": ("<f8", (None, len(about["input"]["channels"]), None)),
        "windows": ("<f4", (count, *window)),
        answers: ("<f4", (count, numbers)),
    }
    if given := beside(about):
        shapes["beside"] = ("<f4", (count, given))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = archive.infolist()
        if sorted(one.filename for one in held) != sorted(f"{name}.npy" for name in shapes):
            raise RefusedError("golden members")
        if any(one.compress_type != zipfile.ZIP_STORED for one in held):
            raise RefusedError("golden compression")
        found = {
            name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            for name in shapes
        }
    for name, (kind, shape) in shapes.items():
        fits = len(found[name].shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found[name].shape, strict=True)
        )
        if not fits or found[name].dtype != np.dtype(kind) or not np.isfinite(found[name]).all():
            raise RefusedError(f"golden {name}")
    return {**found, "answers": found[answers]}


def beside(about: Manifest) -> int:
    """Count what the graph takes beside a window."""
    features = about["features"]
    if features is None:
        return 0
    count = features["encoder"] + len(features["classic"])
    return len(features["classic"]) + (0 if features["baseline"] is None else 2 * count)


def variant(about: Manifest) -> Manifest:
    """Give fp32, or the first."""
    models: Manifest = about["model"]
    return models["fp32"] if "fp32" in models else next(iter(models.values()))
