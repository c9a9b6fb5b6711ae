"""A recipe: the TOML file that says how one bundle is built. Choices, never algorithms.

Decoded strictly: an unknown key, a missing one or a value out of bounds is one line that names
the path. Everything has a default that serves, except what only the author can know.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bioxedge import dsp
from bioxedge.errors import ManifestError, ModelError, RecipeError
from bioxedge.manifest import Decision
from bioxedge.models.cards import card
from bioxedge.spec import (
    ChannelSpec,
    Count,
    Input,
    Positive,
    QualitySpec,
    Rate,
    Stage,
    Struct,
    Text,
    WindowStage,
    numbers,
)

Share = Annotated[float, Meta(gt=0, lt=1)]
Names = Annotated[tuple[Text, ...], Meta(min_length=1)]


class Data(Struct, frozen=True):
    """Which recordings.

    ``folder`` lies below the directory given with ``--data``. ``simulated`` needs none: its
    ``wearers``, ``minutes`` and ``seed`` make the people.
    """

    dataset: Literal["bidmc", "simulated", "folder"]
    folder: str = ""
    licence: Text = "not stated"
    non_commercial: bool = False
    wearers: Positive = 12
    minutes: Rate = 8.0
    seed: Count = 0


class Split(Struct, frozen=True):
    """Who is in which part. ``fold`` of ``folds`` is tested; the others are dealt out.

    Everyone's mean of the task's reference is spread evenly over the parts: that much of every
    person's reference is read, to deal people out and for nothing else.
    """

    folds: Annotated[int, Meta(ge=2)] = 5
    fold: Count = 0
    seed: Count = 0
    head_share: Share = 0.5


class Task(Struct, frozen=True):
    """What is told apart.

    ``bands`` cuts a continuous reference channel at the quantiles of the labelled people's
    windows; ``classes`` takes class numbers. A window counts where at least ``coverage`` of
    its seconds are known (and, for classes, agree). ``rate`` says that the channel is a rate
    (beats or breaths a minute): a window played faster has a higher one, and the teacher
    trains on such windows too.
    """

    channel: Text
    labels: Annotated[tuple[Text, ...], Meta(min_length=2)]
    rule: Literal["bands", "classes"]
    coverage: Share = 0.8
    rate: bool = False


class Sensor(Struct, frozen=True):
    """The sensor the bundle is for. Recordings made at another rate are resampled to it first.

    ``column`` is the data set's name of the channel, ``channel`` the live sensor's; lists for
    several, in the same order. ``board`` and ``preset`` name the live sensor, ``same_as`` others
    that count as the same (``muse_2_bled/ancillary``); a device refuses the rest.
    """

    modality: Text
    column: Text | Names
    channel: Text | Names
    unit: Text
    rate: Rate
    board: str = ""
    preset: Literal["default", "auxiliary", "ancillary"] = "default"
    same_as: tuple[Text, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The data set's names, in order."""
        return (self.column,) if isinstance(self.column, str) else self.column

    @property
    def channels(self) -> tuple[str, ...]:
        """The live sensor's names, in order."""
        return (self.channel,) if isinstance(self.channel, str) else self.channel

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors that count as this one; empty where the recipe names none."""
        own = (f"{self.board}/{self.preset}",) if self.board else ()
        return (*own, *self.same_as)

    @property
    def input(self) -> Input:
        """The sensor as a manifest describes it."""
        channels = tuple(ChannelSpec(name=name, unit=self.unit) for name in self.channels)
        return Input(
            modality=self.modality, channels=channels, rate=self.rate, sensors=self.sensors
        )


class Model(Struct, frozen=True):
    """A foundation model (``bioxedge models`` lists them).

    ``checkpoint`` is ``pretrain`` (self-supervised, on unlabelled windows of the head and pair
    people), ``pip:openecg``, or a path relative to the recipe; a path wants its ``sha256`` and
    the ``licence`` of the weights. ``config`` holds the model's dimensions; the number of
    channels, or their names where a model goes by them, come from the sensor unless they stand
    there. ``epochs``, ``batch`` and ``learning_rate`` belong to ``pretrain``.
    """

    name: Text
    checkpoint: Text = "pretrain"
    sha256: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    licence: str = ""
    non_commercial: bool = False
    config: dict[str, int | float | bool | str | list[int | str]] = msgspec.field(
        default_factory=dict
    )
    epochs: Positive = 8
    batch: Positive = 64
    learning_rate: Rate = 2e-3


class Head(Struct, frozen=True):
    """How the teacher's head is trained.

    Where the task is a ``rate``, ``copies`` of the labelled windows are played faster and
    slower, their labels with them.
    """

    copies: Count = 3
    epochs: Positive = 60
    learning_rate: Rate = 3e-3


class Side(Struct, frozen=True):
    """One of the two sensors: what is streamed, how it is cut, and its model.

    ``stages = "model"`` and ``then = "model"`` stand for what the model must be fed, made
    causal. The target's ``hop`` is not used: its windows stand where the source's do.
    """

    sensor: Sensor
    model: Model
    length: Positive
    hop: Positive = 1
    stages: tuple[Stage, ...] | Literal["model"] = ()
    max_gap: Count = 0
    then: tuple[WindowStage, ...] | Literal["model"] = ()


class Bridge(Struct, frozen=True):
    """The trained part.

    A cut is a number, ``auto`` (two-stage choice), or for the target ``head``: the pooled
    feature of the last block, straight to the head. The loss compares ``over`` the token
    ``mean`` or all ``tokens``, ``at`` the ``last`` block or the ``cut``. With a ``patience``,
    training stops when the loss on the pairs of a ``held_out`` share of the pair people has had
    no new best for so many epochs; no label is read.
    """

    source_cut: int | Literal["auto"] = "auto"
    target_cut: int | Literal["auto", "head"] = "auto"
    rank: Positive = 8
    prototypes: Positive = 16
    start: Literal["real", "random"] = "real"
    standardise: bool = True
    loss: Literal["cosine", "centred_cosine", "mse", "mae", "infonce"] = "centred_cosine"
    over: Literal["mean", "tokens"] = "mean"
    at: Literal["last", "cut"] = "last"
    epochs: Positive = 30
    batch: Positive = 64
    learning_rate: Rate = 3e-3
    patience: Count = 0
    held_out: Share = 0.2


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


class Recipe(Struct, frozen=True):
    """All choices behind one bundle.

    ``decision`` is how the device chooses a label; ``quality`` holds bounds that are to stand in
    place of those of the modality (:class:`bioxedge.spec.QualitySpec`).
    """

    name: Text
    data: Data
    task: Task
    source: Side
    target: Side
    split: Split = Split()
    head: Head = Head()
    bridge: Bridge = Bridge()
    decision: Decision = Decision()
    quality: dict[str, Any] = msgspec.field(default_factory=dict)
    compute: Compute = Compute()
    variants: Variants = Variants()
    seed: Count = 0


def read(path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : path
        A TOML file.

    Raises
    ------
    RecipeError
        No such file, not TOML, an unknown or missing key, or choices that contradict each
        other; always with the path of the key.
    """
    path = Path(path)
    try:
        recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except FileNotFoundError as error:
        raise RecipeError(
            f"{path} is not there: export/recipes holds some to start from"
        ) from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        at_root = isinstance(error, msgspec.ValidationError) and " - at `" not in str(error)
        raise RecipeError(f"{path}: {error}{' - at `$`' if at_root else ''}") from error
    try:
        recipe = _resolved(recipe)
        _check(recipe)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def _resolved(recipe: Recipe) -> Recipe:
    """Write out what a recipe leaves to its models."""
    for side in ("source", "target"):
        about: Side = getattr(recipe, side)
        try:
            contract = card(about.model.name).contract
        except ModelError as error:
            raise RecipeError(f"{error} - at `$.{side}.model.name`") from error
        if "model" not in (about.stages, about.then):
            continue
        try:
            stages, then = contract.streaming(about.sensor.rate)
        except ModelError as error:
            raise RecipeError(f"{error} - at `$.{side}.stages`") from error
        changes = {"stages": stages} if about.stages == "model" else {}
        changes |= {"then": then} if about.then == "model" else {}
        changed = msgspec.structs.replace(about, **changes)
        recipe = msgspec.structs.replace(recipe, **{side: changed})
    return recipe


def _check(recipe: Recipe) -> None:
    """Hold the choices against each other."""
    for place, number in numbers(msgspec.to_builtins(recipe)):
        if not math.isfinite(number):
            raise RecipeError(f"{number} is not finite - at `{place}`")
    if recipe.task.rate and recipe.task.rule != "bands":
        raise RecipeError("only a value in bands can be a rate - at `$.task.rate`")
    if recipe.split.fold >= recipe.split.folds:
        raise RecipeError(
            f"fold {recipe.split.fold} does not exist: {recipe.split.folds} folds are "
            f"numbered from 0 - at `$.split.fold`"
        )
    if recipe.data.dataset != "simulated" and not recipe.data.folder:
        raise RecipeError(f"{recipe.data.dataset} needs a folder - at `$.data.folder`")
    if not card(recipe.target.model.name).target:
        raise RecipeError(
            f"{recipe.target.model.name} serves as a source only: its blocks are conditioned on "
            "the raw signal, which a bridge does not have - at `$.target.model.name`"
        )
    quality_in(recipe, QualitySpec())
    for side in ("source", "target"):
        _check_side(getattr(recipe, side), f"$.{side}")


def _check_side(about: Side, place: str) -> None:
    """Hold one side's sensor, stages and model against each other."""
    sensor, model = about.sensor, about.model
    if len(sensor.columns) != len(sensor.channels):
        raise RecipeError(
            f"{len(sensor.columns)} columns are {len(sensor.channels)} channels of the live "
            f"sensor: name one for each, in the same order - at `{place}.sensor.channel`"
        )
    for key, names in (
        ("column", sensor.columns),
        ("channel", sensor.channels),
        ("same_as", sensor.sensors),
    ):
        if len(set(names)) < len(names):
            raise RecipeError(f"{', '.join(names)}: one is named twice - at `{place}.sensor.{key}`")
    try:
        dsp.Stages(about.stages, sensor.input)
    except ManifestError as error:
        raise RecipeError(str(error).replace("$.stream", place)) from error
    if model.checkpoint in ("pretrain", "pip:openecg"):
        return
    if not model.sha256:
        raise RecipeError(
            f"{model.checkpoint} comes from outside: give its sha256 (sha256sum FILE) - "
            f"at `{place}.model.sha256`"
        )
    if not model.licence:
        raise RecipeError(
            f"{model.checkpoint} comes from outside: state the licence of its weights - "
            f"at `{place}.model.licence`"
        )


def quality_in(recipe: Recipe, modality: QualitySpec) -> QualitySpec:
    """Put a recipe's bounds in the place of those of the modality.

    Raises
    ------
    RecipeError
        A bound that does not exist or cannot be, with its path.
    """
    try:
        return msgspec.convert({**msgspec.to_builtins(modality), **recipe.quality}, QualitySpec)
    except msgspec.ValidationError as error:
        said = str(error).replace("`$", "`$.quality")
        raise RecipeError(said if "`$" in said else f"{said} - at `$.quality`") from error


def section(*parts: Any) -> Any:
    """Render parts of a recipe as plain values, for a step's key."""
    return [msgspec.to_builtins(part) for part in parts]
