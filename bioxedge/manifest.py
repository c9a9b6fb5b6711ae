"""What a bundle says of itself, as frozen structs.

The manifest is the only place where a number lives. Its clauses are numbered in the design
notes and in ``tests/test_manifest_clauses.py``. :mod:`bioxedge.manifestfile` reads and writes
it, :mod:`bioxedge.manifest1` knows the format before this one.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from bioxedge.errors import ManifestError
from bioxedge.spec import (
    Count,
    FeaturesSpec,
    Input,
    Positive,
    QualitySpec,
    Rate,
    StreamSpec,
    Struct,
    Text,
    WindowSpec,
)

FORMAT: Final = 2
"""What is written; format 1 is read, too."""
LATER = (("output", "value"), ("", "features"), ("", "others"))
"""What format 2 got after bundles of it were written: part and key, None where it is absent."""

BESIDE, FEATURES = "beside", "features"
"""The graph's second input and output, where a bundle says what its features are."""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
TaskName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}\Z")]
"""What a further task is called: it is part of file names, topics and streams."""
# One plain name: no separator, no leading dot, so no path can leave the directory.
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")]

# -- clauses 6 and 6b: files ------------------------------------------------------------


class Tensor(Struct, frozen=True):
    """A graph input or output: name and static shape."""

    name: Text
    shape: Annotated[tuple[Positive, ...], Meta(min_length=1, max_length=4)]


Precision = Literal["fp32", "fp16", "bf16", "int8"]


class Variant(Struct, frozen=True):
    """One ONNX file of the model, and how near it must come to the golden answers.

    ``precision`` is that of the file's weights, but for ``bf16``: that is the arithmetic, and the
    file is usually that of ``fp32``, the only one that two variants may share.
    ``tolerance`` bounds the difference of a probability, or of a value as a share of its range;
    ``agreement`` is the least share of golden windows that are given the same label.
    """

    file: FileName
    precision: Precision
    opset: Annotated[int, Meta(ge=13, le=18)]
    ir: Annotated[int, Meta(ge=7, le=10)]
    sha256: Sha256
    bytes: Positive
    parameters: Positive
    input: Tensor
    output: Tensor
    tolerance: Annotated[float, Meta(gt=0, le=0.5)] = 1e-4
    agreement: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Golden(Struct, frozen=True):
    """Recorded input and the answers it must give.

    ``dsp_tolerance`` bounds windows cut from the raw chunks (equal to the last bit on one
    machine and one version of SciPy).
    """

    file: FileName
    sha256: Sha256
    bytes: Positive
    windows: Positive
    dsp_tolerance: Annotated[float, Meta(gt=0, le=1e-2)] = 1e-6


# -- clause 7: the answer ---------------------------------------------------------------


class Calibration(Struct, frozen=True):
    """What the graph does to its logits: divide by the temperature, add each label's bias.

    A value is treated the same way, with one bias in its unit. Stated here, carried out in the
    graph.
    """

    temperature: Rate
    bias: Annotated[tuple[float, ...], Meta(min_length=1)]


class Decision(Struct, frozen=True):
    """How a label is chosen from probabilities, window after window; as it stands, the likeliest.

    ``smoothing`` is the time constant, in windows, of an exponential mean of the probabilities
    (0: none). Below ``threshold`` the likeliest label has not won and nothing is said.
    ``patience`` is how many windows in a row another label must win before it is said.
    ``refractory`` is for how many windows after a change there can be no other. A value is
    smoothed, and nothing else.
    """

    smoothing: Annotated[float, Meta(ge=0)] = 0.0
    threshold: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    patience: Positive = 1
    refractory: Count = 0


class Value(Struct, frozen=True):
    """A value that is told in place of a label, and the range in which it was learnt.

    ``low`` and ``high`` are the least and the greatest value of training, in the ``unit``.
    """

    name: Text
    unit: Text
    low: float
    high: float

    @property
    def range(self) -> float:
        """From ``low`` to ``high``: what differences are a share of."""
        return self.high - self.low

    @property
    def digits(self) -> int:
        """Decimals in which it is told: steps of half a percent of the range, or finer."""
        return min(max(0, math.ceil(-math.log10(max(self.range / 200, 1e-12)))), 12)

    def holds(self, number: float) -> bool:
        """Whether it is no further outside the range than the range is wide."""
        return self.low - self.range <= number <= self.high + self.range

    def text(self, number: float) -> str:
        """Give a number with its unit, for people."""
        return f"{number:.{self.digits}f} {self.unit}"


class Output(Struct, frozen=True):
    """Labels in the order of the probabilities, and how one is chosen; or a value."""

    labels: tuple[Text, ...]
    calibration: Calibration
    decision: Decision = Decision()
    value: Value | None = None

    @property
    def answers(self) -> int:
        """How many numbers the graph gives for a window."""
        return len(self.labels) if self.value is None else 1

    @property
    def scale(self) -> float:
        """What differences between answers are a share of: 1 for probabilities."""
        return 1.0 if self.value is None else self.value.range


class Other(Struct, frozen=True):
    """A further task that the same pass answers: its name, and what is told of it."""

    name: TaskName
    output: Output


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
    """The trained part."""

    in_features: Positive
    out_features: Positive
    tokens: Positive
    rank: Positive
    prototypes: Positive
    trained_parameters: Positive


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

    format: Literal[1, 2]
    name: Text
    input: Input
    stream: StreamSpec
    window: WindowSpec
    model: Annotated[dict[str, Variant], Meta(min_length=1)]
    golden: Golden
    output: Output
    quality: QualitySpec | None
    made_by: MadeBy
    features: FeaturesSpec | None = None
    others: Annotated[tuple[Other, ...], Meta(min_length=1)] | None = None
    digest: str = ""

    @property
    def tasks(self) -> list[tuple[str, Output, slice]]:
        """Part the graph's answers: each task's name, what is told of it, and its columns.

        The first one is ``output``, and has no name.
        """
        found, first = [], 0
        for name, output in (("", self.output), *((o.name, o.output) for o in self.others or ())):
            found.append((name, output, slice(first, first + output.answers)))
            first += output.answers
        return found

    @property
    def answers(self) -> int:
        """How many numbers the graph gives for a window, for all tasks."""
        return sum(output.answers for _, output, _ in self.tasks)

    @property
    def scales(self) -> tuple[float, ...]:
        """What the difference of each of those numbers is a share of."""
        return tuple(o.scale for _, o, _ in self.tasks for _ in range(o.answers))

    @property
    def absent(self) -> dict[str, str]:
        """Checks that this bundle does not allow, and why; empty where all are on."""
        old = "bundles of format 1 do not say it: build the bundle again"
        missing = {
            "sensor": (not self.input.sensors, "the bundle names no sensor that it was made for"),
            "amplitude": (not self.input.expect, "the bundle does not say what training saw"),
            "signal": (self.quality is None, "the bundle states no thresholds"),
        }
        return {
            name: old if self.format == 1 else why
            for name, (lacks, why) in missing.items()
            if lacks
        }

    def inputs(self, part: Variant) -> list[tuple[str, tuple[int, ...]]]:
        """Name what a variant's file takes, with shapes: a window, and what stands beside it."""
        found = [(part.input.name, part.input.shape)]
        if self.features is not None and self.features.beside:
            found.append((BESIDE, (1, self.features.beside)))
        return found

    def outputs(self, part: Variant) -> list[tuple[str, tuple[int, ...]]]:
        """Name what a variant's file gives, with shapes: the answer, and a window's features."""
        found = [(part.output.name, part.output.shape)]
        if self.features is not None:
            found.append((FEATURES, (1, self.features.count)))
        return found

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


def document(manifest: Struct) -> dict[str, Any]:
    """Give a manifest as the plain values that are written.

    What :data:`LATER` names is left out where it says nothing, so that bundles from before it
    was there, and those that have no use for it, read the same as ever.
    """
    tree: dict[str, Any] = msgspec.to_builtins(manifest)
    for part, key in LATER:
        place = tree.get(part, {}) if part else tree
        if key in place and place[key] is None:
            del place[key]
    for other in tree.get("others", ()):
        if other["output"]["value"] is None:
            del other["output"]["value"]
    return tree


def digest(manifest: Struct | dict[str, Any]) -> str:
    """SHA-256 of a manifest's canonical JSON, as it is written, without its ``digest``.

    It guards against damage and slips of an editor, not against malice.
    """
    fields = dict(manifest) if isinstance(manifest, dict) else document(manifest)
    fields.pop("digest", None)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
