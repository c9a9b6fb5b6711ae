"""From the authors' names to ours: the keys of weights, and the settings stored beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from bioxedge.errors import ModelError


def keep(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take what stands under a prefix, without it; all of it where nothing does.

    Training scripts store a model inside another (a student, a backbone, an encoder); what
    stands beside it is not the model's.
    """
    if any(key.startswith(prefix) for key in weights):
        return {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
    return dict(weights)


def renamed(
    weights: Mapping[str, Tensor],
    rules: Sequence[tuple[str, str]],
    *,
    dropped: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """Give the authors' keys our names.

    Parameters
    ----------
    weights : mapping of str to Tensor
    rules : sequence of (pattern, replacement)
        Regular expressions, all tried in order on every key.
    dropped : tuple of str
        Beginnings of the keys that are stored and part of no block.
    """
    ours = {}
    for key, value in weights.items():
        if key.startswith(dropped or ("\0",)):
            continue
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        ours[key] = value
    return ours


def depth(weights: Mapping[str, Tensor]) -> int:
    """Count the blocks of a state dict under our key names; 0 where there is none."""
    numbers = [int(m[1]) for key in weights if (m := re.match(r"blocks\.(\d+)\.", key))]
    return max(numbers, default=-1) + 1


def joined_weight_norm(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Give a weight-normed convolution its plain weight, ``g · v / ‖v‖``.

    The norm is taken over all dimensions in which the gain has one entry (Salimans and Kingma,
    2016). Reads both ways in which torch has stored it: ``weight_g`` and ``weight_v``, or
    ``parametrizations.weight.original0`` and ``1``. Weights without them come back as they are.
    """
    out = dict(weights)
    for gain, direction in (
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        ("weight_g", "weight_v"),
    ):
        g, v = out.get(prefix + gain), out.get(prefix + direction)
        if g is None or v is None or g.ndim != v.ndim:
            continue
        over = [dim for dim in range(v.ndim) if g.shape[dim] == 1]
        norm = v.double().square().sum(over, keepdim=True).sqrt()
        out[prefix + "weight"] = (g.double() * v.double() / norm).to(v.dtype)
        del out[prefix + gain], out[prefix + direction]
    return out


def strip(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take a wrapper's prefix off the keys, if every one of them carries it."""
    if all(key.startswith(prefix) for key in weights):
        return {key.removeprefix(prefix): value for key, value in weights.items()}
    return dict(weights)


def translated(
    stored: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    names: Mapping[str, str],
    fixed: Mapping[str, Any],
    source: str,
) -> dict[str, Any]:
    """Give the configuration that authors stored under our options' names.

    Parameters
    ----------
    stored, options : mapping
        What the file says and what the user said.
    names : mapping of str to str
        The authors' name of each of our options.
    fixed : mapping
        Settings, by the authors' names, that a chain cannot follow if they are others.
    source : str
        What to call the checkpoint in an error.

    Raises
    ------
    ModelError
        Another fixed setting, or an option that contradicts the file.
    """
    for key, wanted in fixed.items():
        if stored.get(key, wanted) != wanted:
            raise ModelError(
                f"{source} was trained with {key}={stored[key]!r}: only {wanted!r} is known here"
            )
    found = {names[key]: value for key, value in stored.items() if key in names}
    agree(found, options, source=source)
    return found


def agree(stored: Mapping[str, Any], options: Mapping[str, Any], *, source: str) -> None:
    """Hold a user's options to what a file says of itself; ModelError where they differ."""
    for key, value in options.items():
        if key in stored and _listed(stored[key]) != _listed(value):
            raise ModelError(
                f"{source} was trained with {key}={stored[key]}, not {value}: leave it out"
            )


def _listed(value: Any) -> Any:
    """Give a tuple as the list that it is once stored."""
    return list(value) if isinstance(value, tuple) else value
