"""A bundle: the directory that holds everything a device needs.

``manifest.json``, the model's ONNX files and ``golden.npz``. Opening one reads every file once,
through a descriptor that follows no link, and checks it against the manifest; what was checked
is what is used. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bioxedge import manifestfile, onnxfile
from bioxedge.atomic import aside, write_directory
from bioxedge.decide import Decider, ValueDecider
from bioxedge.errors import BundleError
from bioxedge.goldenfile import GoldenData, unpack
from bioxedge.manifest import Golden, Manifest, Output, Variant
from bioxedge.quality import Judge, memory_for
from bioxedge.regular import read_file, replaceable
from bioxedge.windows import WindowStream

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle:
    """An opened and checked bundle.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    golden : GoldenData
    """

    path: Path
    manifest: Manifest
    golden: GoldenData
    _models: dict[str, bytes]  # by file

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Read a bundle and check every file in it.

        Parameters
        ----------
        path : path
            The bundle's directory.

        Raises
        ------
        BundleError
            Anything missing, damaged, linked elsewhere, or not what the manifest says.
        """
        path = Path(path)
        try:
            if not path.is_dir() and aside(path).is_dir():
                path = aside(path)  # a crash between the two renames of put_in_place
            there = path.is_dir()
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be opened: {error}") from error
        if not there:
            raise BundleError(
                f"{path} is no bundle: there is no such directory; bioxedge build makes one"
            )
        manifest = manifestfile.decode(read_file(path, MANIFEST))
        models: dict[str, bytes] = {}
        for name, part in manifest.model.items():
            if part.file not in models:  # what shares it says the same of it
                models[part.file] = _checked(path, part)
                _check_model(name, part, models[part.file])
        golden = unpack(_checked(path, manifest.golden), manifest)
        return cls(path, manifest, golden, models)

    def model(self, variant: str | None = None) -> bytes:
        """Give the checked content of a variant's ONNX file (``fp32`` by default).

        Raises
        ------
        ManifestError
            A variant that the bundle does not hold.
        """
        part = self.manifest.variant(variant)
        raw = self._models.get(part.file)
        return _checked(self.path, part) if raw is None else raw

    def take(self, variant: str | None = None) -> bytes:
        """Give what :meth:`model` gives, and hold no model any longer.

        The weights are most of what a device has in memory: once a runtime has its own form of
        them, nobody needs the files. Asked again, they are read and checked again.

        Raises
        ------
        BundleError
            What :meth:`model` raises, or a file that is no longer what it was.
        """
        raw = self.model(variant)
        self._models.clear()
        return raw

    def windows(self) -> WindowStream:
        """Make a fresh stream that cuts windows as this bundle says."""
        return WindowStream(self.manifest.input, self.manifest.stream, self.manifest.window)

    def judge(self) -> Judge | None:
        """Make a fresh judge of raw signals, or None where the bundle states no thresholds."""
        about = self.manifest
        if about.quality is None:
            return None
        memory = memory_for(about.input, about.stream, about.window)
        return Judge(about.input, about.input.expect, about.quality, memory=memory)

    def decider(self, output: Output | None = None) -> Decider | ValueDecider:
        """Make what says a label or a value of each window as this bundle says, fresh.

        ``output`` is that of a further task, in place of the first one's.
        """
        output = self.manifest.output if output is None else output
        if output.value is not None:
            return ValueDecider(output.value, output.decision)
        return Decider(output.labels, output.decision)


def seal(raw: bytes) -> dict[str, Any]:
    """Give the ``sha256`` and ``bytes`` fields of a file's content."""
    return {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}


def write(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle so that a crash leaves the old one or the new one.

    Everything is written beside the place where it will stand, opened and checked there, and
    then put in place in one step.

    Parameters
    ----------
    path : path
        The bundle's directory; a bundle that is there is replaced.
    manifest : Manifest
        Complete but for its digest.
    files : mapping of str to bytes
        Every file that the manifest names.

    Raises
    ------
    BundleError
        Files that do not fit the manifest, or a directory that is there and no bundle.
    """
    path = Path(path).resolve()
    if path.exists() and not replaceable(path, MANIFEST, {"format", "golden", "model", "made_by"}):
        raise BundleError(f"{path} holds other things than a bundle: remove it or name another")
    named = {part.file for part in manifest.model.values()} | {manifest.golden.file}
    if set(files) != named:
        odd = ", ".join(sorted(set(files) ^ named))
        raise BundleError(f"files and manifest do not fit each other: {odd}")
    write_directory(path, {**files, MANIFEST: manifestfile.encode(manifest)}, Bundle.open)
    return Bundle.open(path)


def _checked(directory: Path, part: Variant | Golden) -> bytes:
    """Read a file that the manifest names and hold it to its size and hash."""
    raw = read_file(directory, part.file, part.bytes)
    if hashlib.sha256(raw).hexdigest() != part.sha256:
        raise BundleError(
            f"{directory / part.file} does not match its sha256: it was damaged or swapped; "
            "copy the bundle again"
        )
    return raw


def _check_model(name: str, part: Variant, raw: bytes) -> None:
    """Hold an ONNX file to what the manifest says of it."""
    facts = onnxfile.inspect(raw)
    for what in ("ir", "opset", "parameters"):
        found, said = getattr(facts, what), getattr(part, what)
        if found != said:
            raise BundleError(
                f"variant {name}: {part.file} has {what} {found}, the manifest says {said}"
            )


def with_files(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Fill in the sizes and hashes of the files, and what the ONNX files say of themselves."""
    variants = {
        name: msgspec.structs.replace(
            part, **seal(files[part.file]), **vars(onnxfile.inspect(files[part.file]))
        )
        for name, part in manifest.model.items()
    }
    golden = msgspec.structs.replace(manifest.golden, **seal(files[manifest.golden.file]))
    return msgspec.structs.replace(manifest, model=variants, golden=golden)
