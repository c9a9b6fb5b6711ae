"""``manifest.json``: read strictly, held to its clauses, written in one way only.

Unknown keys and formats are errors that name the path.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from bioxedge import classic, dsp
from bioxedge.errors import ManifestError
from bioxedge.manifest import FORMAT, MadeBy, Manifest, Output, Variant, digest, document
from bioxedge.manifest1 import Manifest1
from bioxedge.spec import Filter, Resample, numbers

FINEST = 1e-6
"""A value's range is wider than this share of its size."""


def encode(manifest: Manifest) -> bytes:
    """Render a manifest as the readable JSON that a bundle holds, its digest filled in.

    What is written is always the newest format.

    Raises
    ------
    ManifestError
        A value out of bounds (with its path), or parts that contradict each other.
    """
    manifest = msgspec.structs.replace(manifest, format=FORMAT)
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
        written = _decode(raw, about)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"manifest.json cannot be read: {_placed(error)}") from error
    # The digest comes first: nothing is built from numbers that a flipped bit may have made. It
    # is that of the document, so that a field which came later changes no older one.
    if written.digest != digest(about):
        raise ManifestError(
            "manifest.json does not match its digest: it was changed or damaged after it was "
            "written; build the bundle again"
        )
    if _render(written) != raw:
        raise ManifestError(
            "manifest.json is not laid out as it was written: it was changed or damaged; "
            "build the bundle again"
        )
    manifest = written if isinstance(written, Manifest) else written.lifted()
    check(manifest)
    return manifest


def _decode(raw: bytes, about: Any) -> Manifest | Manifest1:
    """Decode the bytes as the format that they say they have."""
    found = about.get("format") if isinstance(about, dict) else type(about).__name__
    if type(found) is not int or found not in (1, FORMAT):
        raise ManifestError(
            f"manifest format {found!r} is unknown at `$.format`: this bioxedge reads formats 1 "
            f"and {FORMAT}; install the version that wrote the bundle, or a newer one"
        )
    if found == 1:
        return msgspec.json.decode(raw, type=Manifest1)
    return msgspec.json.decode(raw, type=Manifest)


def check(manifest: Manifest) -> None:
    """Hold the parts of a manifest against each other.

    Raises
    ------
    ManifestError
        Naming the path of the first contradiction.
    """
    names = manifest.input.names
    _require(len(set(names)) == len(names), "$.input.channels", f"names repeat: {names}")
    _check_sensor(manifest)
    for path, number in numbers(msgspec.to_builtins(manifest)):
        _require(math.isfinite(number), path, f"{number} is not finite")
    for index, stage in enumerate(manifest.stream.stages):
        if isinstance(stage, Resample | Filter):
            path = f"$.stream.stages[{index}].warmup"
            _require(stage.warmup is not None, path, "a stage declares its warm-up in samples")
    chain = dsp.Stages(manifest.stream.stages, manifest.input)
    _check_output(manifest.output)
    _check_others(manifest)
    _check_features(manifest)
    _check_model(manifest, len(chain.channels))
    _check_origin(manifest.made_by)


def _check_sensor(manifest: Manifest) -> None:
    """Hold what the sensor was seen to do against the channels that there are."""
    about = manifest.input
    sensors = about.sensors
    _require(len(set(sensors)) == len(sensors), "$.input.sensors", f"names repeat: {sensors}")
    seen = tuple(one.channel for one in about.expect)
    _require(
        seen in ((), about.names),
        "$.input.expect",
        f"{', '.join(seen)} are not the channels {', '.join(about.names)}, in their order",
    )


def _check_others(manifest: Manifest) -> None:
    """Hold each further task to what holds for the first one."""
    names = [other.name for other in manifest.others or ()]
    _require(len(set(names)) == len(names), "$.others", f"names repeat: {', '.join(names)}")
    for place, other in enumerate(manifest.others or ()):
        _check_output(other.output, f"$.others[{place}].output")


def _check_output(output: Output, at: str = "$.output") -> None:
    """Hold labels, or the value that is told in their place, against the calibration."""
    labels, value, bias = output.labels, output.value, output.calibration.bias
    _require(len(set(labels)) == len(labels), f"{at}.labels", f"labels repeat: {labels}")
    if value is None:
        _require(len(labels) > 1, f"{at}.labels", f"{len(labels)} of 2 labels or more")
    else:
        _require(not labels, f"{at}.labels", f"a value is told, and labels are: {labels}")
        # Of what float32 cannot tell apart, no share can be taken.
        least = FINEST * max(abs(value.low), abs(value.high))
        _require(
            least < value.range < math.inf,
            f"{at}.value.high",
            f"from {value.low} to {value.high} is no range of values",
        )
        for field, none in (("threshold", 0.0), ("patience", 1), ("refractory", 0)):
            found = getattr(output.decision, field)
            path, why = f"{at}.decision.{field}", f"{found} chooses labels: a value has none"
            _require(found == none, path, why)
    _require(
        len(bias) == output.answers,
        f"{at}.calibration.bias",
        f"{len(bias)} values do not fit {_answers(output)}",
    )


def _check_features(manifest: Manifest) -> None:
    """Hold what goes into the bridge against the channels that it is computed from."""
    about = manifest.features
    if about is None:
        return
    if about.classic:
        modality = manifest.input.modality
        more = classic.breathes(about.classic) and modality in classic.BREATHING
        known = classic.names(modality, manifest.input.names, breathing=more)
        _require(
            about.classic == known,
            "$.features.classic",
            "these are not the features that this bioxedge computes of "
            f"{modality}, whose names and order are {', '.join(known)}",
        )
        _require(
            manifest.quality is not None,
            "$.quality",
            "classic features are computed of raw samples, which are kept to be judged: state it",
        )
    _require(
        len(about.fill) == len(about.classic),
        "$.features.fill",
        f"{len(about.fill)} values do not fill {len(about.classic)} classic features",
    )
    _require(
        bool(about.classic) or about.baseline is not None,
        "$.features",
        "neither classic features nor a baseline: leave it out",
    )
    _require(
        about.count == manifest.made_by.bridge.in_features,
        "$.features.encoder",
        f"{about.count} features in all do not fit a bridge from "
        f"{manifest.made_by.bridge.in_features}",
    )


def _answers(output: Output) -> str:
    """Say what a window is answered with."""
    return "one value" if output.value else f"{len(output.labels)} labels"


def _check_model(manifest: Manifest, channels: int) -> None:
    """Hold files and shapes against the rest."""
    length = manifest.window.length
    told = " and ".join(_answers(output) for _, output, _ in manifest.tasks)
    _check_shared(manifest)
    own = {variant.file: None for variant in manifest.model.values()}
    files = [*own, manifest.golden.file]
    _require(len(set(files)) == len(files), "$.model", f"files repeat: {', '.join(files)}")
    _require("manifest.json" not in files, "$.model", "manifest.json cannot name itself")
    for name, variant in manifest.model.items():
        _require(
            variant.input.shape == (1, channels, length),
            f"$.model.{name}.input.shape",
            f"{list(variant.input.shape)} does not fit a window of [1, {channels}, {length}]",
        )
        _require(
            variant.output.shape == (1, manifest.answers),
            f"$.model.{name}.output.shape",
            f"{list(variant.output.shape)} does not fit {told}",
        )


def _check_shared(manifest: Manifest) -> None:
    """Let one file be run in two arithmetics, fp32 and bf16, and in no other way twice."""
    first: dict[str, tuple[str, Variant]] = {}
    for name, variant in manifest.model.items():
        other, shared = first.setdefault(variant.file, (name, variant))
        if other == name:
            continue
        _require(
            {shared.precision, variant.precision} == {"fp32", "bf16"},
            f"$.model.{name}.file",
            f"files repeat: {other} ({shared.precision}) and {name} ({variant.precision}) both "
            f"name {variant.file}, which only fp32 and bf16 may",
        )
        for field in ("opset", "ir", "sha256", "bytes", "parameters", "input", "output"):
            _require(
                getattr(shared, field) == getattr(variant, field),
                f"$.model.{name}.{field}",
                f"it is not what {other} says of the same file {variant.file}",
            )


def _check_origin(made_by: MadeBy) -> None:
    """Hold cuts and licences against each other."""
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


def _render(manifest: Manifest | Manifest1) -> bytes:
    """Give the bytes of ``manifest.json``."""
    return msgspec.json.format(msgspec.json.encode(document(manifest)), indent=2) + b"\n"


def _placed(error: Exception) -> str:
    """Give msgspec's message with its path, which it leaves out at the root."""
    message = str(error)
    at_root = isinstance(error, msgspec.ValidationError) and " - at `" not in message
    return f"{message} - at `$`" if at_root else message


def _require(holds: bool, path: str, why: str) -> None:
    """Raise a ManifestError that names the path unless the clause holds."""
    if not holds:
        raise ManifestError(f"manifest.json breaks its own rules: {why} - at `{path}`")
