"""A head that somebody trained: a file of its own, or part of a classifier's checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from bioxedge.bridging import foreign
from bioxedge.bridging.head import Head
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Teacher

IN_CHECKPOINT = "checkpoint"


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
        Whole; the head reads its last cut.

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
    answers = recipe.task.answers
    if teacher.head == IN_CHECKPOINT:
        return _inside(base / recipe.target.model.checkpoint, features, answers)
    path = base / teacher.head
    found = checkpoint.sha256(path)
    if found != teacher.sha256:
        raise ModelError(
            f"{path} has sha256 {found}, the recipe says {teacher.sha256}: get the file that the "
            "recipe was written for, or correct the recipe if you trust this one"
        )
    weights = foreign.read_weights(path, "head").weights
    return foreign.head_of(weights, features, answers, source=str(path))


def _inside(path: Path, features: int, answers: int) -> Head:
    """Find the head in a classifier's checkpoint: by shape, and by the name of its bias."""
    held = foreign.read_weights(path, "head").weights
    wanted = (answers, features)
    fits = [key for key, value in held.items() if tuple(value.shape) == wanted]
    if len(fits) != 1:
        layers = ", ".join(
            f"{key} {list(value.shape)}" for key, value in held.items() if value.ndim == 2
        )
        raise ModelError(
            f"{path} holds {len(fits)} layers of {list(wanted)}, which a head for {answers} "
            f"answers on this target is ({layers[-300:]}): save the head to a file of its own and "
            "name that at `$.teacher[0].head`"
        )
    bias = held.get(fits[0].removesuffix("weight") + "bias", torch.zeros(answers))
    head = Head(features, answers)
    with torch.no_grad():
        head.linear.weight.copy_(held[fits[0]])
        head.linear.bias.copy_(bias)
    return head.requires_grad_(False).eval()
