"""What a bundle says of itself, before its files are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bioxedge import manifest
from bioxedge.building.learnt import Learnt
from bioxedge.building.provenance import Parts, made_by
from bioxedge.building.variants import MODEL, Made
from bioxedge.datasets.windowed import stream_of, window_of
from bioxedge.errors import ExportError
from bioxedge.exporting import opset as opsets
from bioxedge.exporting.parity import TOLERANCE
from bioxedge.quality.modality import quality_of
from bioxedge.recipes import quality_in

if TYPE_CHECKING:
    from bioxedge.building.shipping import Evidence

GOLDEN = "golden.npz"
_PENDING = "0" * 64  # hashes that are filled in when the files are there


def value_of(learnt: Learnt) -> manifest.Value | None:
    """Describe the value that is told, with the range in which the head learnt it.

    Where a ready head was brought, nobody knows its range: that of the teacher's answers on the
    pairs is the one in which the bridge learnt. None where labels are told.
    """
    task, prepared = learnt.recipe.task, learnt.prepared
    if task.rule != "value":
        return None
    taught = prepared.values[prepared.of("head")]
    taught = taught[np.isfinite(taught)]
    if not len(taught):
        taught = learnt.seen.teacher("pair")[:, 0].double().numpy()
    name, low, high = task.channels[0], float(taught.min()), float(taught.max())
    return manifest.Value(name=name, unit=task.unit, low=low, high=high)


def outputs_of(parts: Parts, evidence: Evidence) -> list[manifest.Output]:
    """Say what the graph answers, task by task, and how that is told."""
    return [
        output_of(parts, evidence),
        *(_output(own, evidence.values.get(name)) for name, own in parts.others.items()),
    ]


def output_of(parts: Parts, evidence: Evidence) -> manifest.Output:
    """Say what the graph answers for the first task."""
    return _output(parts, evidence.value)


def _output(parts: Parts, value: manifest.Value | None) -> manifest.Output:
    recipe, calibration = parts.recipe, parts.calibration
    if recipe.task.rule == "value" and value is None:
        raise ExportError(
            f"{recipe.task.said} is a value, and nothing here says in which range it was learnt: "
            "build the bundle from its data; nothing was written"
        )
    return manifest.Output(
        labels=recipe.task.labels,
        calibration=manifest.Calibration(
            temperature=calibration.temperature, bias=calibration.bias
        ),
        decision=recipe.decision,
        value=value,
    )


def manifest_of(
    parts: Parts,
    evidence: Evidence,
    outputs: list[manifest.Output],
    kept: dict[str, Made],
    tensors: tuple[manifest.Tensor, manifest.Tensor],
) -> manifest.Manifest:
    """Describe the bundle; what only its files can tell is filled in later."""
    recipe, side = parts.recipe, parts.recipe.source
    fp32 = manifest.Variant(
        file=MODEL,
        precision="fp32",
        opset=opsets.NEWEST,
        ir=10,
        sha256=_PENDING,
        bytes=1,
        parameters=1,
        input=tensors[0],
        output=tensors[1],
        tolerance=TOLERANCE,
    )
    others = tuple(
        manifest.Other(name=name, output=output)
        for name, output in zip(parts.others, outputs[1:], strict=True)
    )
    measured = {f"variant {name}": made.metrics for name, made in kept.items() if made.metrics}
    return manifest.Manifest(
        format=manifest.FORMAT,
        name=recipe.name,
        input=msgspec.structs.replace(side.sensor.input, expect=evidence.expect),
        stream=stream_of(side),
        window=window_of(side),
        model={"fp32": fp32, **{name: made.variant for name, made in kept.items()}},
        golden=manifest.Golden(
            file=GOLDEN, sha256=_PENDING, bytes=1, windows=len(evidence.golden[1])
        ),
        output=outputs[0],
        quality=quality_in(recipe, quality_of(side.sensor.input)),
        made_by=made_by(parts, evidence.data, {**evidence.metrics, **measured}),
        features=parts.features,
        others=others or None,
    )
