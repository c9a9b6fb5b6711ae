"""What a bundle says of itself: frozen structs, decoded strictly.

The manifest is the only place where a number lives. Its clauses are numbered in the design
notes and in ``tests/test_manifest_clauses.py``; unknown keys and formats are errors that
name the path. ``digest`` guards against damage and slips of an editor, not against malice.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bioxedge import dsp
from bioxedge.errors import ManifestError
from bioxedge.spec import (
    Count,
    Filter,
    Input,
    Positive,
    Rate,
    Resample,
    StreamSpec,
    Struct,
    Text,
    WindowSpec,
    numbers,
)

FORMAT = 1

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
# One plain name: no separator, no leading dot, so no path can leave the directory.
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")]

# -- clauses 6 and 6b: files ------------------------------------------------------------


class Tensor(Struct, frozen=True):
    """A graph input or output: name and static shape."""

    name: Text
    shape: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=4)]


class Variant(Struct, frozen=True):
    """One ONNX file of the model."""

    file: FileName
    precision: Literal["fp32", "fp16", "int8"]
    opset: Annotated[int, Meta(ge=13, le=18)]
    ir: Annotated[int, Meta(ge=7, le=10)]
    sha256: Sha256
    bytes: Positive
    parameters: Positive
    input: Tensor
    output: Tensor


class Golden(Struct, frozen=True):
    """Recorded input and the answers it must give.

    ``tolerance`` bounds probabilities; ``dsp_tolerance`` bounds windows cut from the raw
    chunks (equal to the last bit on one machine and one version of SciPy).
    """

    file: FileName
    sha256: Sha256
    bytes: Positive
    windows: Positive
    tolerance: Annotated[float, Meta(gt=0, le=1e-2)] = 1e-4
    dsp_tolerance: Annotated[float, Meta(gt=0, le=1e-2)] = 1e-6


# -- clause 7: the answer ---------------------------------------------------------------


class Output(Struct, frozen=True):
    """Labels in the order of the probabilities, and how one is chosen."""

    labels: Annotated[tuple[Text, ...], Meta(min_length=2)]
    decision: Literal["argmax"] = "argmax"


# -- clause 8: where it comes from ------------------------------------------------------


class ModelPart(Struct, frozen=True):
    """One foundation model and the cut through it."""

    model: Text
    cut: Count
    blocks: Positive
    checkpoint: Text
    checkpoint_sha256: Sha256
    parameters: Count


class BridgePart(Struct, frozen=True):
    """The trained part, and what its logits are divided by."""

    in_features: Positive
    out_features: Positive
    tokens: Positive
    rank: Positive
    prototypes: Positive
    trained_parameters: Positive
    temperature: Rate = 1.0


class DataPart(Struct, frozen=True):
    """What was learnt from, and who was in which part of it."""

    name: Text
    split: dict[str, tuple[str, ...]]
    seed: Count


class Licence(Struct, frozen=True):
    """The licence of one part, and whether it forbids commercial use."""

    part: Text
    licence: Text
    non_commercial: bool = False


class MadeBy(Struct, frozen=True):
    """Provenance: versions, models, data, metrics on held-out people, licences."""

    bioxedge: Text
    versions: dict[str, str]
    source: ModelPart
    target: ModelPart
    bridge: BridgePart
    data: DataPart
    metrics: dict[str, dict[str, float]]
    licences: Annotated[tuple[Licence, ...], Meta(min_length=1)]
    non_commercial: bool


class Manifest(Struct, frozen=True):
    """Everything a device has to know. See the clauses in the design notes."""

    format: Literal[1]
    name: Text
    input: Input
    stream: StreamSpec
    window: WindowSpec
    model: Annotated[dict[str, Variant], Meta(min_length=1)]
    golden: Golden
    output: Output
    made_by: MadeBy
    digest: str = ""

    def variant(self, name: str | None = None) -> Variant:
        """Return the named variant, or ``fp32`` (the first where there is none).

        Raises
        ------
        ManifestError
            A variant that the bundle does not hold.
        """
        if name is None:
            name = "fp32" if "fp32" in self.model else next(iter(self.model))
        if name not in self.model:
            raise ManifestError(
                f"the bundle has no variant {name!r}: it has {', '.join(sorted(self.model))}"
            )
        return self.model[name]


def digest(manifest: Manifest) -> str:
    """SHA-256 of the manifest's canonical JSON without its ``digest``."""
    fields = msgspec.to_builtins(manifest)
    fields.pop("digest")
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def encode(manifest: Manifest) -> bytes:
    """Render a manifest as the readable JSON that a bundle holds, its digest filled in.

    Raises
    ------
    ManifestError
        A value out of bounds (with its path), or parts that contradict each other.
    """
    try:
        # A struct made in Python was never held to its types, and writes 64 where 64.0 is read.
        manifest = msgspec.convert(msgspec.to_builtins(manifest), Manifest)
    except (msgspec.ValidationError, TypeError) as error:
        raise ManifestError(f"the manifest cannot be written: {_placed(error)}") from error
    check(manifest)
    return _render(msgspec.structs.replace(manifest, digest=digest(manifest)))


def decode(raw: bytes) -> Manifest:
    """Read a manifest strictly.

    Parameters
    ----------
    raw : bytes
        The content of ``manifest.json``.

    Raises
    ------
    ManifestError
        An unknown format or key, a value out of bounds (with its path), parts that
        contradict each other, or a content that is not as it was written.
    """
    try:
        about = msgspec.json.decode(raw)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            found = about.get("format") if isinstance(about, dict) else type(about).__name__
            raise ManifestError(
                f"manifest format {found!r} is unknown at `$.format`: this bioxedge reads "
                f"format {FORMAT}; install the version that wrote the bundle, or a newer one"
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"manifest.json cannot be read: {_placed(error)}") from error
    # The digest comes first: nothing is built from numbers that a flipped bit may have made.
    if manifest.digest != digest(manifest):
        raise ManifestError(
            "manifest.json does not match its digest: it was changed or damaged after it was "
            "written; build the bundle again"
        )
    if _render(manifest) != raw:
        raise ManifestError(
            "manifest.json is not laid out as it was written: it was changed or damaged; "
            "build the bundle again"
        )
    check(manifest)
    return manifest


def check(manifest: Manifest) -> None:
    """Hold the parts of a manifest against each other.

    Raises
    ------
    ManifestError
        Naming the path of the first contradiction.
    """
    names = manifest.input.names
    _require(len(set(names)) == len(names), "$.input.channels", f"names repeat: {names}")
    for path, number in numbers(msgspec.to_builtins(manifest)):
        _require(math.isfinite(number), path, f"{number} is not finite")
    for index, stage in enumerate(manifest.stream.stages):
        if isinstance(stage, Resample | Filter):
            path = f"$.stream.stages[{index}].warmup"
            _require(stage.warmup is not None, path, "a stage declares its warm-up in samples")
    chain = dsp.Stages(manifest.stream.stages, manifest.input)
    channels, length = len(chain.channels), manifest.window.length
    labels = manifest.output.labels
    _require(len(set(labels)) == len(labels), "$.output.labels", f"labels repeat: {labels}")
    files = [variant.file for variant in manifest.model.values()] + [manifest.golden.file]
    _require(len(set(files)) == len(files), "$.model", f"files repeat: {', '.join(files)}")
    _require("manifest.json" not in files, "$.model", "manifest.json cannot name itself")
    for name, variant in manifest.model.items():
        _require(
            variant.input.shape == (1, channels, length),
            f"$.model.{name}.input.shape",
            f"{list(variant.input.shape)} does not fit a window of [1, {channels}, {length}]",
        )
        _require(
            variant.output.shape == (1, len(labels)),
            f"$.model.{name}.output.shape",
            f"{list(variant.output.shape)} does not fit {len(labels)} labels",
        )
    made_by = manifest.made_by
    for side, part in (("source", made_by.source), ("target", made_by.target)):
        _require(
            part.cut <= part.blocks,
            f"$.made_by.{side}.cut",
            f"cut {part.cut} lies beyond {part.blocks} blocks",
        )
    forbidden = any(licence.non_commercial for licence in made_by.licences)
    _require(
        made_by.non_commercial == forbidden,
        "$.made_by.non_commercial",
        f"must be {forbidden}, as the licences of the parts say",
    )


def _render(manifest: Manifest) -> bytes:
    """Give the bytes of ``manifest.json``."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _placed(error: Exception) -> str:
    """Give msgspec's message with its path, which it leaves out at the root."""
    message = str(error)
    at_root = isinstance(error, msgspec.ValidationError) and " - at `" not in message
    return f"{message} - at `$`" if at_root else message


def _require(holds: bool, path: str, why: str) -> None:
    """Raise a ManifestError that names the path unless the clause holds."""
    if not holds:
        raise ManifestError(f"manifest.json breaks its own rules: {why} - at `{path}`")
