"""From trained parts to a bundle: fuse, export, prove, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bioxedge import goldenfile, manifest, spec
from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.split import People, numbers
from bioxedge.bridging.values import ValueScore
from bioxedge.building import unshippable
from bioxedge.building.describing import GOLDEN, manifest_of, outputs_of, value_of
from bioxedge.building.expect import expected
from bioxedge.building.golden import Cuts, golden_beside, golden_signal, stand_in, usual_scale
from bioxedge.building.learnt import Learnt
from bioxedge.building.provenance import Parts
from bioxedge.building.variants import MODEL, Beside, Made, make_variants
from bioxedge.bundle import Bundle, with_files, write
from bioxedge.datasets.choosing import Chosen
from bioxedge.datasets.picking import read_worn
from bioxedge.exporting import opset as opsets
from bioxedge.exporting.onnx import ANSWERS, INPUT, OUTPUT, VALUE, to_onnx
from bioxedge.exporting.parity import answers, prove
from bioxedge.exporting.sizes import Size, sizes
from bioxedge.exporting.splice import BridgedModel, Tasked
from bioxedge.goldenfile import GoldenData
from bioxedge.recipes import Recipe
from bioxedge.runtime import Report, verify

CALIBRATION = 128
"""At most so many windows tell static variants the range of activations."""
AnyScore = Score | ValueScore


@dataclass(frozen=True)
class Evidence:
    """What is known beside the parts, and goes into the manifest or proves the variants.

    Attributes
    ----------
    golden : Cuts
        Raw pieces and their windows.
    data : manifest.DataPart
    metrics : dict
        Of held-out people; empty where nothing was measured.
    expect : tuple of spec.Expect
        What the source sensor gave; empty where no recording is at hand.
    calibration : ndarray of float32, shape [m, channels, samples]
        Real windows, as far as there are any.
    held_out : tuple of ndarray, optional
        Windows and classes of people who trained nothing.
    beside : Beside
        What the graph takes beside golden, calibration's and held-out windows, if anything.
    value : manifest.Value, optional
        What is told, where it is a value: its range of training is known by the data alone.
    values : dict of str to manifest.Value
        Those of further tasks, by name.
    """

    golden: Cuts
    data: manifest.DataPart
    metrics: dict[str, dict[str, float]]
    expect: tuple[spec.Expect, ...]
    calibration: npt.NDArray[np.float32]
    held_out: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None = None
    value: manifest.Value | None = None
    values: dict[str, manifest.Value] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)


@dataclass(frozen=True)
class Shipped:
    """A bundle and what was found on the way to it.

    Attributes
    ----------
    bundle : Bundle
    proofs : dict of str to Report
        The device's own code on the golden windows, for every variant.
    refused : dict of str to str
        Variants that were asked for and are not in the bundle, and why.
    sizes : dict of str to Size
        Of the fp32 file, by part.
    """

    bundle: Bundle
    proofs: dict[str, Report]
    refused: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)

    @property
    def proof(self) -> Report:
        """That of fp32."""
        return self.proofs["fp32"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        about = self.bundle.manifest
        return {
            "bundle": str(self.bundle.path),
            "bytes": {name: part.bytes for name, part in about.model.items()},
            "opset": about.variant().opset,
            "parts": {name: vars(size) for name, size in self.sizes.items()},
            "proofs": {name: proof.to_dict() for name, proof in self.proofs.items()},
            "refused": self.refused,
        }

    def lines(self) -> list[str]:
        """Say it in lines of text."""
        total = self.bundle.manifest.model["fp32"].bytes
        found = [*self.proof.lines()[:-1]]
        for name, proof in self.proofs.items():
            if name != "fp32":
                found += [line for line in proof.lines() if line.startswith("  model")]
        found += [f"  refused {name}: {why}" for name, why in self.refused.items()]
        found += [
            f"  {part:<7} {size.parameters:>12,} parameters {size.bytes / 1e6:>9.3f} MB "
            f"{size.bytes / total:>6.1%}"
            for part, size in self.sizes.items()
        ]
        return [*found, "PASS"]


Further = Mapping[str, Sequence[AnyScore]]
"""Scores of further tasks, by name."""


def ship(
    learnt: Learnt, scores: Sequence[AnyScore], out: Path, others: Further | None = None
) -> Shipped:
    """Write a bundle of what was learnt and prove it with the device's own code.

    Parameters
    ----------
    learnt : Learnt
    scores : sequence of Score or ValueScore
        Goes into the manifest.
    out : Path
        The bundle's directory.
    others : mapping, optional
        Those of further tasks, by name.

    Raises
    ------
    ExportError
        The graph does not answer as the trained model does; nothing was written.
    """
    return finish(learnt, evidence_of(learnt, scores, others), out)


def evidence_of(
    learnt: Learnt, scores: Sequence[AnyScore], others: Further | None = None
) -> Evidence:
    """Take what proves a bundle: nothing of test people but what variants are held to."""
    prepared, recipe = learnt.prepared, learnt.recipe
    windows, side = prepared.windows, recipe.source
    known = torch.from_numpy(prepared.rows("source", "pair"))
    tested = prepared.of("test")
    measured = np.flatnonzero(
        np.isin(windows.person, [*prepared.people.head, *prepared.people.pair])
        & (windows.source_row >= 0)
    )
    by_label = recipe.task.rule != "value" and not prepared.agreeing
    rows = torch.from_numpy(windows.source_row[tested])
    golden = golden_of(recipe, windows.sessions, prepared.people.pair)
    chosen = spread(np.arange(len(known)), CALIBRATION)
    beside = Beside()
    if learnt.features is not None:
        given = learnt.seen.adapted["source"].at(learnt.source_cut).beside
        pairs = given[prepared.of("pair")]
        beside = Beside(
            golden_beside(golden, side, learnt.features, usual_scale(learnt.features, pairs)),
            pairs[chosen],
            given[tested] if by_label else None,
        )
    return Evidence(
        golden=golden,
        data=manifest.DataPart(
            name=recipe.where,
            split=numbered_split(prepared.people, windows.sessions),
            seed=recipe.seed,
        ),
        metrics=metrics_of(learnt, scores, others),
        expect=expected(
            windows.measures[measured],
            windows.person[measured],
            round(float(windows.seconds[measured].max()) * side.sensor.rate),
            side.sensor.channels,
        ),
        calibration=windows.source[known[chosen]].numpy(),
        held_out=(windows.source[rows].numpy(), prepared.labels[tested]) if by_label else None,
        value=value_of(learnt),
        values={
            name: value
            for name, own in learnt.others.items()
            if (value := value_of(own)) is not None
        },
        beside=beside,
    )


def numbered_split(people: People, sessions: Sequence[Chosen]) -> dict[str, tuple[str, ...]]:
    """Say who was in which part by numbers: no name leaves the building."""
    number = numbers([one.person for one in sessions])
    return {
        role: tuple(number[name] for name in getattr(people, role))
        for role in ("head", "pair", "test")
    }


def finish(parts: Parts, evidence: Evidence, out: Path, *, opset: int = opsets.NEWEST) -> Shipped:
    """Fuse, export, prove and write; parameters and errors as for `ship`.

    ``opset`` is the version of the operators, 13 to 18.
    """
    unshippable.refuse(parts.recipe)
    model = bridged(parts)
    raw, windows = evidence.golden
    beside = evidence.beside.golden
    wanted, outputs = answers(model, windows, beside), outputs_of(parts, evidence)
    name = OUTPUT if outputs[0].value is None else VALUE
    if len(outputs) > 1:
        name = ANSWERS
    made = to_onnx(model, windows.shape[1], windows.shape[2], name, parts.features)
    graph = opsets.lowered(made, opset)
    prove(graph, wanted, windows, beside=beside, scale=_scales(outputs))
    tensors = (
        manifest.Tensor(name=INPUT, shape=(1, *windows.shape[1:])),
        manifest.Tensor(name=name, shape=(1, wanted.shape[1])),
    )
    sizes_of = [output.answers for output in outputs]
    kept, refused = _variants(parts, graph, evidence, wanted, sizes_of, tensors)
    files = {MODEL: graph, GOLDEN: goldenfile.pack(GoldenData(raw, windows, wanted, beside))}
    files |= {made.variant.file: made.raw for made in kept.values()}
    about = manifest_of(parts, evidence, outputs, kept, tensors)
    bundle = write(out, with_files(about, files), files)
    proofs = {name: verify(bundle, variant=name) for name in about.model}
    return Shipped(bundle, proofs, refused, sizes(graph))


def bridged(parts: Parts) -> BridgedModel:
    """Splice what the device needs, and nothing else."""
    return BridgedModel(
        parts.source[: parts.source_cut],
        parts.bridge,
        parts.tail,
        parts.head,
        temperature=parts.calibration.temperature,
        bias=parts.calibration.bias,
        features=parts.features,
        others=[
            Tasked(own.head, own.calibration.temperature, own.calibration.bias)
            for own in parts.others.values()
        ],
    )


def _scales(outputs: Sequence[manifest.Output]) -> npt.NDArray[np.float64]:
    """Say what the difference of each answer is a share of."""
    return np.array([output.scale for output in outputs for _ in range(output.answers)])


def golden_of(recipe: Recipe, sessions: Sequence[Chosen], people: Sequence[str]) -> Cuts:
    """Take golden windows: simulated, or where people agreed to it, of their recordings."""
    side = recipe.source
    if recipe.golden == "simulated" and not simulated_alone(recipe):
        made, words = stand_in(side, recipe.seed)
        return golden_signal(side, made, words)
    worn = (
        read_worn(one.source, side.sensor, one.data.source)
        for one in sessions
        if one.source is not None and one.person in people
    )
    return golden_signal(side, worn, ", ".join(people))


def simulated_alone(recipe: Recipe) -> bool:
    """Whether nobody was recorded: then every recording may be given away."""
    return all(data.dataset == "simulated" for data in recipe.used)


def metrics_of(
    learnt: Learnt, scores: Sequence[AnyScore], others: Further | None = None
) -> dict[str, dict[str, float]]:
    """Scores on test people, and what the calibration was chosen by on held-out pair people.

    Those of a further task have its name in front.
    """
    found = {score.method: score.metrics() for score in scores}
    for name, figures in learnt.calibration.held_out.items():
        found[f"held-out pairs, {name}"] = figures
    for task, own in (others or {}).items():
        further = metrics_of(learnt.others[task], own)
        found |= {f"{task}: {name}": figures for name, figures in further.items()}
    return found


def spread(rows: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """Take at most so many, evenly."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def _variants(
    parts: Parts,
    graph: bytes,
    evidence: Evidence,
    wanted: npt.NDArray[np.float32],
    sizes_of: Sequence[int],
    tensors: tuple[manifest.Tensor, manifest.Tensor],
) -> tuple[dict[str, Made], dict[str, str]]:
    """Make the variants that the recipe asks for."""
    if not parts.recipe.variants.make:
        return {}, {}
    return make_variants(
        graph,
        parts.recipe.variants,
        golden=evidence.golden[1],
        answers=wanted,
        calibration=evidence.calibration,
        held_out=evidence.held_out,
        beside=evidence.beside,
        sizes=sizes_of,
        input=tensors[0],
        output=tensors[1],
    )
