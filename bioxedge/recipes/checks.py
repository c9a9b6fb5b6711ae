"""Choices of a recipe held against each other, before anything is read."""

from __future__ import annotations

import math

import msgspec

from bioxedge import classic, dsp, units
from bioxedge.errors import ManifestError, RecipeError
from bioxedge.manifest import Decision
from bioxedge.models import licences
from bioxedge.models.cards import card
from bioxedge.recipes.data import ROLES, Data
from bioxedge.recipes.parts import Side
from bioxedge.recipes.recipe import Recipe
from bioxedge.spec import QualitySpec, numbers


def check(recipe: Recipe) -> None:
    """Hold the choices against each other.

    Raises
    ------
    RecipeError
        With the path of the key.
    """
    for place, number in numbers(msgspec.to_builtins(recipe)):
        if not math.isfinite(number):
            raise RecipeError(f"{number} is not finite - at `{place}`")
    _check_task(recipe)
    _check_people(recipe)
    if not card(recipe.target.model.name).target:
        raise RecipeError(
            f"{recipe.target.model.name} serves as a source only: its blocks are conditioned on "
            "the raw signal, which a bridge does not have - at `$.target.model.name`"
        )
    if recipe.bridge.loss == "answers" and recipe.bridge.at == "cut":
        raise RecipeError(
            'a head answers to the last block alone: write at = "last", or another loss - at '
            "`$.bridge.at`"
        )
    if recipe.bridge.span and recipe.bridge.over == "tokens":
        raise RecipeError(
            "tokens tell moments within a window, which have no mean over windows: write "
            'over = "mean", or span = 0 - at `$.bridge.span`'
        )
    quality_in(recipe, QualitySpec())
    if not recipe.source.hop:
        raise RecipeError(
            "the source's windows follow each other by how many samples? - at `$.source.hop`"
        )
    for side in ("source", "target"):
        _check_side(getattr(recipe, side), f"$.{side}")
    _check_features(recipe)
    _check_others(recipe)


def _check_others(recipe: Recipe) -> None:
    """Hold further tasks to what holds for the first one, and to what one teacher can have."""
    if not recipe.others:
        return
    names = [other.name for other in recipe.others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"two tasks are called {', '.join(twice)} - at `$.others`")
    if recipe.ready is not None:
        raise RecipeError(
            "a ready head tells one task: let [[teacher]] name labelled recordings - at `$.others`"
        )
    if isinstance(recipe.head.weights, tuple):
        raise RecipeError(
            "weights by number are those of one task's labels: write balanced or none - "
            "at `$.head.weights`"
        )
    if recipe.bridge.loss == "answers":
        raise RecipeError(
            "a loss of answers hears the first task's head alone: take one of features - "
            "at `$.bridge.loss`"
        )
    for place, other in enumerate(recipe.others):
        alone = recipe.of(other)
        try:
            _check_task(alone)
            _check_features(alone)
        except RecipeError as error:
            said = str(error).replace("`$.task", f"`$.others[{place}]")
            said = said.replace("`$.decision", f"`$.others[{place}].decision")
            raise RecipeError(said) from error


def _check_features(recipe: Recipe) -> None:
    """Hold classic features and baselines to what a bridge can carry."""
    target = recipe.target
    if target.plain:
        return
    key = "classic" if target.classic else "baseline"
    if recipe.bridge.target_cut != "head":
        raise RecipeError(
            f"the target's tail gives its encoder's features alone: with {key} the bridge leads "
            f'straight to the head, write target_cut = "head" - at `$.target.{key}`'
        )
    if recipe.ready is not None:
        raise RecipeError(
            f"a ready head knows its model's features alone: leave {key} out - at `$.target.{key}`"
        )
    if recipe.task.rate and recipe.head.copies:
        raise RecipeError(
            f"windows that are played at other rates have no {key}: write copies = 0 under [head], "
            f"or leave it out - at `$.target.{key}`"
        )


def _check_task(recipe: Recipe) -> None:
    """Hold the task's rule, labels and channels against each other."""
    task, head = recipe.task, recipe.head
    if task.rate and task.rule == "classes":
        raise RecipeError("only a value, or one in bands, can be a rate - at `$.task.rate`")
    if bool(task.channels) == bool(task.marks):
        raise RecipeError(
            "name the reference's channel, or say with marks which texts stand for which label - "
            "at `$.task.channel`"
        )
    if task.rule == "value":
        if task.labels or task.marks or len(task.channels) != 1:
            raise RecipeError("a value is one channel, without labels - at `$.task.channel`")
        if not task.unit:
            raise RecipeError("a value needs the unit that it is said in - at `$.task.unit`")
        for key in ("threshold", "patience", "refractory"):
            if getattr(recipe.decision, key) != getattr(Decision(), key):
                raise RecipeError(f"a value is smoothed and nothing else - at `$.decision.{key}`")
        if recipe.variants.make:
            raise RecipeError(
                "smaller variants are proven by labels, which a value has not - "
                "at `$.variants.make`"
            )
        return
    if len(task.labels) < 2 or len(set(task.labels)) < len(task.labels):
        raise RecipeError(
            f"{len(task.labels)} labels are named: 2 or more, all different, are told apart - "
            "at `$.task.labels`"
        )
    unknown = [label for label in task.marks if label not in task.labels]
    if unknown:
        raise RecipeError(
            f"marks stand for {', '.join(unknown)}, which is no label - at `$.task.marks`"
        )
    if task.marks and task.rule != "classes":
        raise RecipeError('marks tell classes: write rule = "classes" - at `$.task.rule`')
    if len(task.channels) > 1 and (
        task.rule != "classes" or len(task.channels) != len(task.labels)
    ):
        raise RecipeError(
            f"{len(task.channels)} channels are a column for each of {len(task.labels)} labels, "
            "in the same order, of classes - at `$.task.channel`"
        )
    if isinstance(head.weights, tuple) and len(head.weights) != len(task.labels):
        raise RecipeError(
            f"{len(head.weights)} weights are given for {len(task.labels)} labels - "
            "at `$.head.weights`"
        )


def _check_people(recipe: Recipe) -> None:
    """Hold data sets, roles and the split against each other."""
    split = recipe.split
    if split.folds < 2:
        raise RecipeError("people are dealt out to 2 folds or more - at `$.split.folds`")
    if split.fold >= split.folds:
        raise RecipeError(
            f"fold {split.fold} does not exist: {split.folds} folds are "
            f"numbered from 0 - at `$.split.fold`"
        )
    for place, data in recipe.placed():
        ready = bool(getattr(data, "head", ""))
        if data.dataset != "simulated" and not data.folder and not ready:
            raise RecipeError(f"{data.dataset} needs a folder - at `{place}.folder`")
        if ready:
            _check_ready(data, place, len(recipe.teacher))
        for side in ("source", "target"):
            picked = getattr(data, side)
            for unit in picked.units:
                _check_unit(unit, f"{place}.{side}.unit")
    head = "" if recipe.ready is None else recipe.ready.head
    if head not in ("", "checkpoint") and recipe.target.model.checkpoint == "pretrain":
        raise RecipeError(
            "the target is pretrained here, and no head from outside knows its features: name the "
            "weights that the head was trained on - at `$.target.model.checkpoint`"
        )
    _check_split(recipe)
    named = [name for role in ROLES for name in getattr(split, role)]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise RecipeError(f"{', '.join(twice)} would be in two parts - at `$.split`")
    if not recipe.role("pair"):
        raise RecipeError(
            "nobody wore both sensors: name recordings of both in [data] or [[pairs]] - "
            "at `$.pairs`"
        )
    if recipe.ready is None and not recipe.role("head"):
        raise RecipeError(
            "nothing teaches the target model: name labelled recordings or a ready head in "
            "[[teacher]] - at `$.teacher`"
        )


def _check_split(recipe: Recipe) -> None:
    """Hold a split by number, by blocks or of windows against each other."""
    split = recipe.split
    if split.numbers is not None and split.shares is not None:
        raise RecipeError("people are dealt out by number or in shares - at `$.split.shares`")
    for key in ("numbers", "shares"):
        given = getattr(split, key)
        if given is None:
            continue
        lacking = [
            role
            for role in ROLES
            if not given.counts[role] and not (role == "head" and recipe.ready is not None)
        ]
        if lacking:
            raise RecipeError(f"{' and '.join(lacking)} would have nobody - at `$.split.{key}`")
        if split.head or split.pair or split.test or split.head_share is not None:
            raise RecipeError(
                f"{key} deals everybody out: leave head, pair, test and head_share away - "
                f"at `$.split.{key}`"
            )
    if split.as_published and split.block:
        raise RecipeError(
            "windows are dealt out at random, or blocks of time are - at `$.split.block`"
        )
    if split.as_published and split.shares is None:
        raise RecipeError(
            "windows are dealt out at random in shares: say which - at `$.split.shares`"
        )


def _check_ready(data: Data, place: str, count: int) -> None:
    """Hold a ready head to what a file from outside needs."""
    head, sha256 = getattr(data, "head", ""), getattr(data, "sha256", "")
    if count > 1:
        raise RecipeError(f"{count} teachers, one of which is ready: leave one - at `$.teacher`")
    if data.folder:
        raise RecipeError(f"a ready head learns from no folder - at `{place}.folder`")
    if head != "checkpoint" and not sha256:
        raise RecipeError(
            f"{head} comes from outside: give its sha256 (sha256sum FILE) - at `{place}.sha256`"
        )
    if data.licence == "not stated":
        raise RecipeError(
            f"{head} comes from outside: state the licence of its weights - at `{place}.licence`"
        )


def _check_unit(unit: str, place: str) -> None:
    """Refuse a unit that nobody knows."""
    if not units.known(unit):
        raise RecipeError(
            f"{unit!r} is no unit that is known: write uV, mV, V, uS, g, degC, bpm … or a.u. - "
            f"at `{place}`"
        )


def _check_side(about: Side, place: str) -> None:
    """Hold one side's sensor, stages and model against each other."""
    sensor, model = about.sensor, about.model
    if len(sensor.columns) != len(sensor.channels):
        raise RecipeError(
            f"{len(sensor.columns)} columns are {len(sensor.channels)} channels of the live "
            f"sensor: name one for each, in the same order - at `{place}.sensor.channel`"
        )
    if len(sensor.units) != len(sensor.channels):
        raise RecipeError(
            f"{len(sensor.units)} units are given for {len(sensor.channels)} channels: name one "
            f"for all of them or one for each - at `{place}.sensor.unit`"
        )
    for unit in sensor.units:
        _check_unit(unit, f"{place}.sensor.unit")
    for key, names in (
        ("column", sensor.columns),
        ("channel", sensor.channels),
        ("same_as", sensor.sensors),
    ):
        if len(set(names)) < len(names):
            raise RecipeError(f"{', '.join(names)}: one is named twice - at `{place}.sensor.{key}`")
    try:
        dsp.Stages(about.streamed, sensor.input)
    except ManifestError as error:
        raise RecipeError(str(error).replace("$.stream", place)) from error
    if about.breathing:
        _check_breathing(about, place)
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
    licences.check_model(model.name, model.licence, model.non_commercial, f"{place}.model.licence")


def _check_breathing(about: Side, place: str) -> None:
    """Hold features of breathing to sensors that it shows in, and to windows that hold a breath."""
    sensor = about.sensor
    if sensor.modality not in classic.BREATHING:
        raise RecipeError(
            f"breathing is told from {' or '.join(classic.BREATHING)}, not from "
            f"{sensor.modality}: write classic = true - at `{place}.classic`"
        )
    seconds = about.length / dsp.Stages(about.streamed, sensor.input).rate
    if seconds < classic.BREATH:
        raise RecipeError(
            f"windows of {seconds:g} s hold no breath: breathing takes {classic.BREATH:g} s or "
            f"more, write classic = true or lengthen them - at `{place}.classic`"
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
