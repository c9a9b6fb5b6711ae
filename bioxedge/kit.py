"""A kit: the parts of two models, each a small ONNX file, for a device that is to time them.

A device has no torch and cannot cut models, so the desktop cuts them and sends the parts: one
file for each distinct one, since layers of the same graph and shapes cost the same. A kit is
opened as a bundle is: regular files, each held to its hash, nothing kept outside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bioxedge import onnxfile
from bioxedge.atomic import aside, write_directory
from bioxedge.errors import BundleError
from bioxedge.manifest import FileName, digest
from bioxedge.regular import read_file, replaceable
from bioxedge.spec import Count, Positive, Struct, Text

MANIFEST = "kit.json"
CALL = "call"
"""The part that does next to nothing: what a call costs before anything is computed."""

Names = tuple[Text, ...]


class Sliced(Struct, frozen=True):
    """One of the two models, and how long its window is in samples."""

    model: Text
    config: dict[str, Any]
    channels: Positive
    samples: Positive


class Plan(Struct, frozen=True):
    """What was cut; two plans that are equal cost the same.

    ``straight`` says that a bridge to the last cut gives one token, as recipes with
    ``target_cut = "head"`` want it.
    """

    source: Sliced
    target: Sliced
    rank: Positive
    prototypes: Positive
    classes: Positive
    straight: bool = False


class Parts(Struct, frozen=True):
    """Which part stands where; several places may share one.

    ``pools`` has one for each source cut: the activation's token mean through the bridge's first
    factor. ``bridges`` has one for each target cut: from there to the tokens of the cut, and for
    the last cut on to the probabilities.

    A part alone pays at both its ends for what a whole model does once or not at all: layouts
    that kernels want, operators that are fused. So ``seams`` holds every two neighbours as one
    graph: stem and first block, then block and block; ``tail_seams`` those of the target.
    """

    stem: Text
    blocks: Names
    pools: Names
    bridges: Names
    tail: Names
    head: Text
    seams: Names
    tail_seams: Names

    def joined(self, i: int, j: int) -> list[tuple[str, str, str]]:
        """Name the seams of a place, each with the two parts that it joins."""
        before = (self.stem, *self.blocks[:i])
        after = self.tail[j:]
        return [
            *zip(self.seams[:i], before, before[1:], strict=False),
            *zip(self.tail_seams[j:], after, after[1:], strict=False),
        ]

    def of(self, i: int, j: int) -> Names:
        """Name the parts of ``source[:i] → bridge → target[j:] → head``, in their order."""
        before = (self.stem, *self.blocks[:i], self.pools[i], self.bridges[j])
        return before if j == len(self.tail) else (*before, *self.tail[j:], self.head)

    @property
    def names(self) -> set[str]:
        """All that are named."""
        several = (
            self.blocks, self.pools, self.bridges, self.tail, self.seams, self.tail_seams
        )  # fmt: skip
        return {self.stem, self.head, *(name for names in several for name in names)}

    @property
    def shape(self) -> tuple[int, int]:
        """Source cuts and target cuts."""
        return len(self.pools), len(self.bridges)

    def check(self, known: set[str]) -> None:
        """Hold the lists to each other and to the parts that there are.

        Raises
        ------
        BundleError
        """
        blocks, tail = len(self.blocks), len(self.tail)
        found = [len(self.pools), len(self.bridges), len(self.seams), len(self.tail_seams)]
        if found != [blocks + 1, tail + 1, blocks, max(0, tail - 1)]:
            raise BundleError(
                f"{blocks} and {tail} blocks do not fit {found[0]} and {found[1]} cuts, "
                f"{found[2]} and {found[3]} seams - at `$.parts`"
            )
        wanted = self.names | {CALL}
        if wanted != known:
            odd = ", ".join(sorted(wanted ^ known))
            raise BundleError(f"parts that are named and parts that are there differ: {odd}")


class Part(Struct, frozen=True):
    """One file: takes one float32 tensor of this shape."""

    file: FileName
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    bytes: Positive
    input: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=8)]
    parameters: Count


class KitManifest(Struct, frozen=True):
    """``kit.json``."""

    bioxedge: Text
    plan: Plan
    parts: Parts
    files: dict[Text, Part]
    format: Literal[1] = 1
    digest: str = ""


@dataclass(frozen=True)
class Kit:
    """An opened and checked kit; files are read, and checked again, when they are asked for.

    Attributes
    ----------
    path : Path
    manifest : KitManifest
    """

    path: Path
    manifest: KitManifest

    @classmethod
    def open(cls, path: str | Path) -> Kit:
        """Read a kit and check every file in it.

        Raises
        ------
        BundleError
            Anything missing, damaged, linked elsewhere, or not what ``kit.json`` says.
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
                f"{path} is no kit: there is no such directory; bioxedge positions RECIPE --kit "
                "makes one on the desktop"
            )
        manifest = _decode(path, read_file(path, MANIFEST, what="kit"))
        kit = cls(path, manifest)
        for name in manifest.files:
            kit.model(name)
        return kit

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        files = self.manifest.files
        return {
            "kit": str(self.path),
            "digest": self.manifest.digest,
            "parts": len(files),
            "bytes": sum(part.bytes for part in files.values()),
        }

    def model(self, name: str) -> bytes:
        """Give the checked content of a part's ONNX file.

        Raises
        ------
        BundleError
            It is not what ``kit.json`` says.
        """
        part = self.manifest.files[name]
        raw = read_file(self.path, part.file, part.bytes, "kit")
        if hashlib.sha256(raw).hexdigest() != part.sha256:
            raise BundleError(
                f"{self.path / part.file} does not match its sha256: it was damaged or swapped; "
                "copy the kit again"
            )
        found = onnxfile.inspect(raw).parameters
        if found != part.parameters:
            raise BundleError(
                f"{part.file} has {found} parameters, {MANIFEST} says {part.parameters}: "
                "make the kit again"
            )
        return raw


def write(
    path: str | Path,
    plan: Plan,
    parts: Parts,
    graphs: Mapping[str, tuple[tuple[int, ...], bytes]],
    version: str,
) -> Kit:
    """Write a kit so that a crash leaves the old one or the new one.

    Parameters
    ----------
    path : path
        The kit's directory; a kit that is there is replaced.
    plan : Plan
    parts : Parts
    graphs : mapping of str to (shape, bytes)
        For every part the shape of its input, and its ONNX file.
    version : str
        Of bioxedge.

    Raises
    ------
    BundleError
        Parts that do not fit each other, or a directory that is there and no kit.
    """
    path = Path(path).resolve()
    if path.exists() and not replaceable(path, MANIFEST, {"format", "plan", "parts", "files"}):
        raise BundleError(f"{path} holds other things than a kit: remove it or name another")
    files = {
        name: Part(
            file=f"{name}.onnx",
            sha256=hashlib.sha256(raw).hexdigest(),
            bytes=len(raw),
            input=shape,
            parameters=onnxfile.inspect(raw).parameters,
        )
        for name, (shape, raw) in graphs.items()
    }
    manifest = KitManifest(bioxedge=version, plan=plan, parts=parts, files=files)
    manifest = msgspec.structs.replace(manifest, digest=digest(manifest))
    written = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    raws = {files[name].file: raw for name, (_, raw) in graphs.items()}
    write_directory(path, {**raws, MANIFEST: written}, Kit.open)
    return Kit.open(path)


def _decode(path: Path, raw: bytes) -> KitManifest:
    """Read ``kit.json`` strictly."""
    try:
        manifest = msgspec.json.decode(raw, type=KitManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path / MANIFEST} cannot be read: {error}; copy the kit again"
        ) from error
    if manifest.digest != digest(manifest):
        raise BundleError(
            f"{path / MANIFEST} does not match its digest: it was changed or damaged; copy the "
            "kit again"
        )
    manifest.parts.check(set(manifest.files))
    return manifest
