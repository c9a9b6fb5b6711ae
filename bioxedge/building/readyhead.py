"""A head that somebody trained: a file of its own, or part of a classifier's checkpoint."""

from __future__ import annotations

from pathlib import Path

from bioxedge import models
from bioxedge.bridging import foreign
from bioxedge.bridging.head import Head
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.models.checkpoint import Checkpoint
from bioxedge.recipes import Recipe, Teacher

IN_CHECKPOINT = "checkpoint"

# What authors run between the last block and their head. None of it is linear, so that a head
# behind it would answer wrongly on a plain mean. LaBraM: a layer norm of the mean of its patches;
# PaPaGei: a batch norm and a ReLU before the mean.
_BETWEEN = {"labram": ("fc_norm",), "papagei": ("final_bn",)}


def ready_head(recipe: Recipe, teacher: Teacher, base: Path, target: Chain) -> Head:
    """Read the head that a recipe brings.

    Parameters
    ----------
    recipe : Recipe
    teacher : Teacher
        Of the recipe, and ready.
    base : Path
        What files are relative to.
    target : Chain
        Whole; the head reads the token mean of its last cut.

    Returns
    -------
    Head
        Frozen.

    Raises
    ------
    ModelError
        A file that is not the recipe's, or that holds no such head.
    """
    features = target.cut(target.last, recipe.target.length).features
    answers, name = recipe.task.answers, recipe.target.model.name
    if teacher.head == IN_CHECKPOINT:
        if recipe.target.model.checkpoint == "pretrain":
            raise ModelError(
                "the target is pretrained here, so that no checkpoint holds its head: name a "
                "classifier's file at `$.target.model.checkpoint`"
            )
        given = recipe.target.model.checkpoint
        path = Path(given) if given == "pip:openecg" else base / given
        found = models.stored(name, given if given == "pip:openecg" else path)
    else:
        path = base / teacher.head
        _hold(path, teacher)
        found = _read(path, name)
    between = _BETWEEN.get(name, ())
    weights = found.weights
    bad = [key for key, value in weights.items() if not value.isfinite().all()]
    if bad:
        raise ModelError(f"{path}: {', '.join(bad[:4])} is not finite; its training went wrong")
    if teacher.head != IN_CHECKPOINT and len(weights) <= 2:
        return foreign.head_of(weights, features, answers, source=str(path))
    return foreign.head_in(weights, features, answers, source=str(path), between=between)


def _hold(path: Path, teacher: Teacher) -> None:
    """Hold a file to the recipe's hash."""
    found = checkpoint.sha256(path)
    if found != teacher.sha256:
        raise ModelError(
            f"{path} has sha256 {found}, the recipe says {teacher.sha256}: get the file that the "
            "recipe was written for, or correct the recipe if you trust this one"
        )


def _read(path: Path, name: str) -> Checkpoint:
    """Read a head's file: a layer alone, or a whole classifier as the model's authors store it."""
    try:
        return foreign.read_weights(path, "head")
    except ModelError as error:
        try:
            return models.stored(name, path)
        except ModelError:
            raise error from None
