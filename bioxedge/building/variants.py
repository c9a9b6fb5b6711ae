"""Variants that a bundle gets: each proven on golden windows and on the task, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge import manifest, recipes
from bioxedge.bridging.evaluate import score
from bioxedge.errors import BundleError, ExportError
from bioxedge.exporting.variants import PRECISION, variant_of
from bioxedge.onnxfile import inspect
from bioxedge.runtime.answers import agreement_of, parted, spread_of, tells_apart
from bioxedge.runtime.engine import fitting
from bioxedge.runtime.session import Session

Floats = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]

MODEL = "model.onnx"
"""The file of fp32, which bf16 shares."""
ROOM = {"int8": 0.1, "fp16": 1e-3, "bf16": 5e-3}
"""What a probability may differ by on another processor, beyond what was measured here.

Dynamic int8 differs between x86-64 and Arm by 0.03 to 0.1: activations are rounded to 8 bits
there that stood on the other side of a step here. For bf16 it is one rounding (2 ** -8), with
some room: it was not tried on other processors than that of the build.
"""
LARGEST = 0.25
"""A variant further from fp32 in any golden window is refused, whatever its metric."""
LEAST_AGREEMENT = 0.9
"""Share of golden windows that must keep their label where the task's metric cannot be asked."""
MOST_WINDOWS = 2_000
"""Held-out windows that are run at most, evenly spread."""


@dataclass(frozen=True)
class Beside:
    """What a graph takes beside windows, float32 [windows, numbers] each.

    None where it takes nothing.
    """

    golden: Floats | None = None
    calibration: Floats | None = None
    held_out: Floats | None = None


@dataclass(frozen=True)
class Made:
    """A variant that is kept.

    Attributes
    ----------
    variant : manifest.Variant
        Complete; its file is ``model.NAME.onnx``, or fp32's for bf16.
    raw : bytes
    metrics : dict of str to float
        For ``made_by.metrics`` under ``variant NAME``. Without ``balanced_accuracy``, and with
        ``held_out_windows`` 0, the task's metric was not measured.
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
    beside: Beside | None = None,
    sizes: Sequence[int] = (),
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
    beside : Beside, optional
        What the graph takes beside all those windows.
    sizes : sequence of int
        How many labels each task has, where there are several; held-out classes, and so the
        budget, are those of the first one.
    input, output : manifest.Tensor

    Returns
    -------
    kept : dict of str to Made
    refused : dict of str to str
        Why, with the figures.
    """
    kept: dict[str, Made] = {}
    refused: dict[str, str] = {}
    if answers.shape[1] < 2:
        why = "a smaller variant is proven by the labels that it keeps, and a value has none"
        return kept, dict.fromkeys(wanted.make, why)
    task, by = None, beside or Beside()
    sizes = sizes or (answers.shape[1],)
    if wanted.make and held_out is not None and len(held_out[1]):
        task = _Task(graph, *held_out, classes=sizes[0], beside=by.held_out)
    for name in dict.fromkeys(wanted.make):
        try:
            raw = graph if name == "bf16" else variant_of(graph, name, calibration, by.calibration)
            found = _run(raw, golden, name, by.golden)
            held = [
                _held_to_golden(name, *one, sole=task is None)
                for one in zip(parted(found, sizes), parted(answers, sizes), strict=True)
            ]
            metrics = {
                key: (max if key == "golden_difference" else min)(one[key] for one in held)
                for key in held[0]
            }
            if task is not None:
                metrics |= task.held_to(wanted.budget, name, raw)
        except (ExportError, BundleError) as error:
            refused[name] = str(error).removeprefix(f"{name}: ")
            continue
        tolerance, agreement = _bounds(name, found, answers, sizes)
        facts = inspect(raw)
        about = manifest.Variant(
            file=MODEL if name == "bf16" else f"model.{name}.onnx",
            precision=_precision(name),
            opset=facts.opset,
            ir=facts.ir,
            sha256=hashlib.sha256(raw).hexdigest(),
            bytes=len(raw),
            parameters=facts.parameters,
            input=input,
            output=output,
            tolerance=tolerance,
            agreement=agreement,
        )
        kept[name] = Made(about, raw, metrics)
    return kept, refused


def _precision(name: str) -> manifest.Precision:
    """Tell what a variant counts as; bf16 is no other file, so nothing exports it."""
    return "bf16" if name == "bf16" else PRECISION[name]


def _run(raw: bytes, windows: Floats, name: str, beside: Floats | None = None) -> Floats:
    """Give the probabilities [n, labels] of windows, as a device would compute them."""
    provider = fitting("bf16" if name == "bf16" else "fp32")[0]
    session = Session(raw, name=name, provider=provider)
    try:
        if beside is None:
            return np.concatenate([session.run(window[None]) for window in windows])
        rows = zip(windows, beside, strict=True)
        return np.concatenate([session.run(window[None], own[None]) for window, own in rows])
    finally:
        session.close()


def _held_to_golden(name: str, found: Floats, answers: Floats, *, sole: bool) -> dict[str, float]:
    """Refuse what is far from fp32; ``sole`` where nothing else will be asked."""
    difference = float(np.abs(found.astype(np.float64) - answers).max())
    if not difference <= LARGEST:  # NaN is over every bound
        raise ExportError(
            f"{name}: a probability of a golden window differs from fp32's by {difference:.3f}, "
            f"at most {LARGEST} is allowed"
        )
    if not tells_apart(found, answers):
        raise ExportError(
            f"{name}: it gives all golden windows nearly the same answer (probabilities differ by "
            f"{spread_of(found):.1e} between windows, fp32's by {spread_of(answers):.1e})"
        )
    agreement = agreement_of(found, answers)
    if sole and agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"{name}: {agreement:.1%} of {len(answers)} golden windows keep their label, at least "
            f"{LEAST_AGREEMENT:.0%} is asked for where no held-out people's are at hand"
        )
    return {
        "golden_difference": difference,
        "golden_agreement": agreement,
        "held_out_windows": 0.0,
    }


def _bounds(name: str, found: Floats, answers: Floats, sizes: Sequence[int]) -> tuple[float, float]:
    """Derive tolerance and least agreement from what was measured, with room for other machines.

    A window whose two best labels are nearer than the tolerance may go over to the second.
    """
    difference = float(np.abs(found.astype(np.float64) - answers).max())
    tolerance = round(min(0.5, 2 * difference + ROOM[_precision(name)]), 4)
    agreement = 1.0
    for own, golden in zip(parted(found, sizes), parted(answers, sizes), strict=True):
        best = np.sort(golden.astype(np.float64), axis=1)
        clear = float((best[:, -1] - best[:, -2] > tolerance).mean())
        agreement = min(agreement, agreement_of(own, golden), clear)
    return tolerance, agreement


class _Task:
    """The task's metric on held-out people, through the runtime that devices have."""

    def __init__(
        self,
        graph: bytes,
        windows: Floats,
        truth: Classes,
        *,
        classes: int,
        beside: Floats | None = None,
    ) -> None:
        taken = np.unique(np.linspace(0, len(truth) - 1, MOST_WINDOWS).round().astype(np.intp))
        self._windows, self._truth, self._classes = windows[taken], truth[taken], classes
        self._beside = None if beside is None else beside[taken]
        self._fp32 = self._accuracy(graph, "fp32")

    def _accuracy(self, raw: bytes, name: str) -> float:
        answers = _run(raw, self._windows, name, self._beside)
        labels = answers[:, : self._classes].argmax(axis=1)
        return score(name, self._truth, labels, self._classes, 0).balanced_accuracy

    def held_to(self, budget: float, name: str, raw: bytes) -> dict[str, float]:
        """Refuse what costs more balanced accuracy than the budget."""
        reached = self._accuracy(raw, name)
        if self._fp32 - reached > budget:
            raise ExportError(
                f"{name}: balanced accuracy {reached:.4f} on {len(self._truth)} windows of "
                f"held-out people, fp32 {self._fp32:.4f}: it costs {self._fp32 - reached:.4f}, "
                f"the recipe's budget is {budget:.4f}"
            )
        return {
            "balanced_accuracy": reached,
            "fp32_balanced_accuracy": self._fp32,
            "held_out_windows": float(len(self._truth)),
        }
