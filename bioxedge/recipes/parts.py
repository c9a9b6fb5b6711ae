"""Sensors, models and what is trained between them, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bioxedge import classic
from bioxedge.recipes.fields import Hash, Names, Share, names_of
from bioxedge.spec import (
    ChannelSpec,
    Count,
    Input,
    Positive,
    Rate,
    Stage,
    Struct,
    Text,
    WindowStage,
)

Schedule = Literal["cosine", "constant"]


class Sensor(Struct, frozen=True):
    """The sensor the bundle is for. Recordings made at another rate are resampled to it first.

    ``column`` is the data set's name of the channel, ``channel`` the live sensor's; lists for
    several, in the same order, and ``unit`` one for all of them or one for each. ``stream`` names
    the folder of a session that holds it, where several could be meant. ``board`` and ``preset``
    name the live sensor, ``same_as`` others that count as the same (``muse_2_bled/ancillary``); a
    device refuses the rest.
    """

    modality: Text
    column: Text | Names
    channel: Text | Names
    unit: Text | Names
    rate: Rate
    stream: str = ""
    board: str = ""
    preset: Literal["default", "auxiliary", "ancillary"] = "default"
    same_as: tuple[Text, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The data set's names, in order."""
        return names_of(self.column)

    @property
    def channels(self) -> tuple[str, ...]:
        """The live sensor's names, in order."""
        return names_of(self.channel)

    @property
    def units(self) -> tuple[str, ...]:
        """One for each channel."""
        given = names_of(self.unit)
        return given * len(self.channels) if len(given) == 1 else given

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors that count as this one; empty where the recipe names none."""
        own = (f"{self.board}/{self.preset}",) if self.board else ()
        return (*own, *self.same_as)

    @property
    def input(self) -> Input:
        """The sensor as a manifest describes it."""
        channels = tuple(
            ChannelSpec(name=name, unit=unit)
            for name, unit in zip(self.channels, self.units, strict=True)
        )
        return Input(
            modality=self.modality, channels=channels, rate=self.rate, sensors=self.sensors
        )


class Model(Struct, frozen=True):
    """A foundation model (``bioxedge models`` lists them), or one of your own.

    ``name`` is one of the list, or ``package.module:function`` (:mod:`bioxedge.models`).
    ``checkpoint`` is ``pretrain`` (self-supervised, on unlabelled windows of the head and pair
    people), ``pip:openecg``, or a path relative to the recipe; a path wants its ``sha256`` and
    the ``licence`` of the weights. ``config`` holds the model's dimensions; the number of
    channels, or their names where a model goes by them, come from the sensor unless they stand
    there. ``epochs``, ``batch`` and ``learning_rate`` belong to ``pretrain``, and so does
    ``lowest``: the slowest rhythm in Hz that it asks for, 0.1 where breathing is to be heard (and
    windows and filters let it through).
    """

    name: Text
    checkpoint: Text = "pretrain"
    sha256: Hash = ""
    licence: str = ""
    non_commercial: bool = False
    config: dict[str, int | float | bool | str | list[int | str]] = msgspec.field(
        default_factory=dict
    )
    epochs: Positive = 8
    batch: Positive = 64
    learning_rate: Rate = 2e-3
    lowest: Rate = 0.5


class Head(Struct, frozen=True):
    """How the teacher's head is trained.

    Where the task is a ``rate``, ``copies`` of the labelled windows are played faster and
    slower, their labels with them. ``weights`` are those of each class in the loss: ``balanced``
    (as rare as it is), ``none``, or numbers in the order of the labels. ``standardise`` scales
    each feature while training. ``penalty`` is what the head's squared weights cost (ridge);
    ``auto`` chooses it by head people who are left out in turn, where few people meet many
    features.
    """

    copies: Count = 3
    epochs: Positive = 60
    batch: Positive = 64
    learning_rate: Rate = 3e-3
    schedule: Schedule = "cosine"
    standardise: bool = True
    penalty: Annotated[float, Meta(ge=0)] | Literal["auto"] = 0.0
    weights: Literal["balanced", "none"] | tuple[Rate, ...] = "balanced"


class Baseline(Struct, frozen=True):
    """A wearer's own baseline: features as distances from what this person has shown so far.

    For the first ``settle`` minutes nothing is said. With a ``memory`` (a time constant in
    minutes) what lies further back weighs less; 0 for none. Distances are cut at ``clip``
    deviations.
    """

    settle: Rate = 8.0
    memory: Annotated[float, Meta(ge=0)] = 0.0
    clip: Rate = 8.0


class Side(Struct, frozen=True):
    """One of the two sensors: what is streamed, how it is cut, and its model.

    ``stages = "model"`` and ``then = "model"`` stand for what the model must be fed, made
    causal. Where both sensors were worn the target's windows stand where the source's do, and its
    ``hop`` is not used; recordings of the target alone are cut by it, or as densely as the
    source's where it is left out. ``preprocessing = "reference"`` cuts the same windows from
    whole recordings, filtered both ways, as no device can: for figures, never for a bundle
    (:mod:`bioxedge.datasets.noncausal`). ``classic = "breathing"`` takes features of breathing
    in place of the sensor's own.
    """

    sensor: Sensor
    model: Model
    length: Positive
    hop: Count = 0
    stages: tuple[Stage, ...] | Literal["model"] = ()
    max_gap: Count = 0
    then: tuple[WindowStage, ...] | Literal["model"] = ()
    classic: bool | Literal["breathing"] = False
    baseline: bool | Baseline = False
    preprocessing: Literal["streaming", "reference"] = "streaming"

    @property
    def streamed(self) -> tuple[Stage, ...]:
        """The stages; a recipe that was read has those of its model written out."""
        return () if isinstance(self.stages, str) else self.stages

    @property
    def own(self) -> Baseline | None:
        """The wearer's baseline; None where there is none."""
        if isinstance(self.baseline, Baseline):
            return self.baseline
        return Baseline() if self.baseline else None

    @property
    def breathing(self) -> bool:
        """Whether the classic features are those of breathing."""
        return self.classic == "breathing"

    @property
    def described(self) -> tuple[str, ...]:
        """Names of the classic features that its windows are described by, asked for or not."""
        modality, channels = self.sensor.modality, self.sensor.channels
        return classic.names(modality, channels, breathing=self.breathing)

    @property
    def plain(self) -> bool:
        """Whether the encoder's pooled features go on as they are."""
        return not self.classic and self.own is None

    @property
    def finished(self) -> tuple[WindowStage, ...]:
        """The stages on each window, in the same way."""
        return () if isinstance(self.then, str) else self.then


class Bridge(Struct, frozen=True):
    """The trained part.

    A cut is a number, ``auto`` (two-stage choice), or for the target ``head``: the pooled
    feature of the last block, straight to the head. The loss compares ``over`` the token
    ``mean`` or all ``tokens``, ``at`` the ``last`` block or the ``cut``; ``answers`` compares what
    the head says of the last block. With a ``patience``,
    training stops when the loss on the pairs of a ``held_out`` share of the pair people has had
    no new best for so many epochs; no label is read. ``seed`` stands in place of the recipe's.
    What is imitated of a pair is the teacher's mean over a ``span`` of seconds around it, where
    states last longer than that; 0 for what the teacher makes of the one window.
    """

    source_cut: int | Literal["auto"] = "auto"
    target_cut: int | Literal["auto", "head"] = "auto"
    rank: Positive = 8
    prototypes: Positive = 16
    start: Literal["real", "random"] = "real"
    standardise: bool = True
    loss: Literal["answers", "centred_cosine", "cosine", "mse", "mae", "infonce"] = "centred_cosine"
    over: Literal["mean", "tokens"] = "mean"
    at: Literal["last", "cut"] = "last"
    span: Annotated[float, Meta(ge=0)] = 0.0
    epochs: Positive = 30
    batch: Positive = 64
    learning_rate: Rate = 3e-3
    schedule: Schedule = "cosine"
    patience: Count = 0
    held_out: Share = 0.2
    seed: Count | None = None


class Compute(Struct, frozen=True):
    """On what it is computed.

    ``device`` is ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``; ``precision`` is that
    of the matrix products inside frozen models; ``compiled`` fuses the target's tail, ``packed``
    lays frozen weights out once as a processor multiplies them. Where they are ``auto``, a few
    steps are timed when a longer training begins, and it is done with the fastest. The latter
    two change results by rounding only; ``bf16`` by a little more, so that with ``auto`` it serves
    for the bridge's training alone, where the processor has it, and features stay in float32.
    ``precision = "fp32"`` keeps it out.
    """

    device: Text = "auto"
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    compiled: bool | Literal["auto"] = "auto"
    packed: bool | Literal["auto"] = "auto"


class Variants(Struct, frozen=True):
    """Smaller or faster forms of the same model, beside ``fp32``.

    Those in ``make`` are made; one is kept if it costs at most ``budget`` of balanced accuracy
    on held-out people, and refused with the figures otherwise. None is made unasked: a small
    model gains little by them, and held-out people are run through each. ``bf16`` is no file of
    its own, but fp32's in another arithmetic: it is tried only where the building machine has
    OpenVINO and a processor that computes so.
    """

    make: tuple[Literal["int8", "int8-unsigned", "int8-static", "fp16", "bf16"], ...] = ()
    budget: Annotated[float, Meta(ge=0, lt=1)] = 0.01
