"""Format 1 of the manifest, as bioxedge 0.1 wrote it: read for ever, written no more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bioxedge import manifest, spec
from bioxedge.manifest import DataPart, FileName, Licence, Manifest, ModelPart, Sha256, Tensor
from bioxedge.spec import (
    ChannelSpec,
    Count,
    Input,
    Positive,
    Rate,
    Resample,
    Scale,
    Select,
    StreamSpec,
    Struct,
    Text,
    WindowSpec,
)


class Input1(Struct, frozen=True):
    """What must come in; nothing of sensors or amplitudes."""

    modality: Text
    channels: Annotated[tuple[ChannelSpec, ...], Meta(min_length=1)]
    rate: Rate


class Filter1(Struct, frozen=True, tag_field="stage", tag="filter"):
    """A recursive filter; its sections are designed where it runs."""

    design: Literal["butterworth", "chebyshev1", "notch"]
    cutoff: Annotated[tuple[Rate, ...], Meta(min_length=1, max_length=2)]
    kind: Literal["lowpass", "highpass", "bandpass", "bandstop"] = "bandpass"
    order: Annotated[int, Meta(ge=1, le=12)] = 2
    ripple: Rate = 0.5
    q: Rate = 30.0
    warmup: Count | None = None


class StreamSpec1(Struct, frozen=True):
    """The causal stages in order."""

    stages: tuple[Select | Scale | Resample | Filter1, ...] = ()
    max_gap: Count = 0


class Variant1(Struct, frozen=True):
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


class Golden1(Struct, frozen=True):
    """Recorded input and the answers it must give; one tolerance for every variant."""

    file: FileName
    sha256: Sha256
    bytes: Positive
    windows: Positive
    tolerance: Annotated[float, Meta(gt=0, le=1e-2)] = 1e-4
    dsp_tolerance: Annotated[float, Meta(gt=0, le=1e-2)] = 1e-6


class Output1(Struct, frozen=True):
    """Labels in the order of the probabilities; the likeliest is said."""

    labels: Annotated[tuple[Text, ...], Meta(min_length=2)]
    decision: Literal["argmax"] = "argmax"


class BridgePart1(Struct, frozen=True):
    """The trained part, and what its logits are divided by."""

    in_features: Positive
    out_features: Positive
    tokens: Positive
    rank: Positive
    prototypes: Positive
    trained_parameters: Positive
    temperature: Rate = 1.0


class MadeBy1(Struct, frozen=True):
    """Provenance."""

    bioxedge: Text
    versions: dict[str, str]
    source: ModelPart
    target: ModelPart
    bridge: BridgePart1
    data: DataPart
    metrics: dict[str, dict[str, float]]
    licences: Annotated[tuple[Licence, ...], Meta(min_length=1)]
    non_commercial: bool


class Manifest1(Struct, frozen=True):
    """Everything that format 1 says."""

    format: Literal[1]
    name: Text
    input: Input1
    stream: StreamSpec1
    window: WindowSpec
    model: Annotated[dict[str, Variant1], Meta(min_length=1)]
    golden: Golden1
    output: Output1
    made_by: MadeBy1
    digest: str = ""

    def lifted(self) -> Manifest:
        """Say the same in today's terms; what it does not say is left empty.

        The digest stays that of the file.
        """
        own = self.model.items()
        labels, tolerance = self.output.labels, self.golden.tolerance
        bridge = self.made_by.bridge
        calibration = manifest.Calibration(
            temperature=bridge.temperature, bias=(0.0,) * len(labels)
        )
        return Manifest(
            format=1,
            name=self.name,
            input=Input(**_fields(self.input)),
            stream=StreamSpec(
                stages=tuple(
                    spec.Filter(**_fields(stage)) if isinstance(stage, Filter1) else stage
                    for stage in self.stream.stages
                ),
                max_gap=self.stream.max_gap,
            ),
            window=self.window,
            model={
                # No agreement was stated, so none is asked for.
                name: manifest.Variant(**_fields(part), tolerance=tolerance, agreement=0.0)
                for name, part in own
            },
            golden=manifest.Golden(**_fields(self.golden, but="tolerance")),
            output=manifest.Output(labels=labels, calibration=calibration),
            quality=None,
            made_by=manifest.MadeBy(
                **_fields(self.made_by, but="bridge"),
                bridge=manifest.BridgePart(**_fields(bridge, but="temperature")),
            ),
            digest=self.digest,
        )


def _fields(struct: msgspec.Struct, but: str = "") -> dict[str, Any]:
    """Give a struct's fields by name, all but one."""
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if name != but}
