"""How sure a bridged answer may be, and which way it leans: as its teacher, at the same moment.

A cosine leaves the scale of what a bridge gives free, and centred it leaves an offset free, too:
uncalibrated, an answer is as sure as chance made it, and leans to one class. Both are set by the
teacher's probabilities on the pairs; no label is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor

Logits = npt.NDArray[np.float64]

RANGE = 100.0
"""The temperature lies between 1/RANGE and RANGE; a bias changes odds by RANGE at most."""
FEWEST_PEOPLE = 3
"""With fewer pair people nobody can be held out, and the temperature stands alone."""
ALONE, BOTH = "temperature alone", "temperature and bias"
SHARES = "temperature and shares"
_ROUNDS = 20  # over all classes; two take one
AS_IT_IS, LINE = "as it is", "slope and offset"
"""What can be done to a value."""
_EDGE = 0.98  # share of the range from which on the temperature stands at its bound
_STEEPEST = 10.0  # a value's slope lies between 1/10 and 10


@dataclass(frozen=True)
class Calibration:
    """What is done to a bridge's logits: ``logits / temperature + bias``.

    Attributes
    ----------
    temperature : float
    bias : tuple of float
        One for each class, their sum 0; all 0 where the temperature stands alone.
    taken : str
        ``temperature alone``, ``temperature and bias`` or ``temperature and shares``; for a value
        ``as it is`` or ``slope and offset``, the slope being one over the temperature and the
        offset the bias.
    held_out : dict of str to dict of str to float
        For each of them, on pair people who were held out: ``cross_entropy`` against the
        teacher's probabilities, and ``agreement`` with its labels, every class weighing the same.
        Empty where there were too few people.
    """

    temperature: float
    bias: tuple[float, ...]
    taken: str = ALONE
    held_out: dict[str, dict[str, float]] = field(default_factory=dict)

    def apply(self, logits: Tensor) -> Tensor:
        """Calibrate logits of shape [n, classes]."""
        return logits / self.temperature + torch.tensor(self.bias, dtype=logits.dtype)

    def line(self, labels: Sequence[str]) -> str:
        """Say in one line what was taken, and why."""
        if self.taken in (AS_IT_IS, LINE):
            return self._value_line()
        what = f"temperature {self.temperature:.3g}"
        if self.temperature > RANGE * _EDGE:
            what += " (its bound: the bridge's logits say next to nothing of the teacher's answers)"
        elif self.temperature * RANGE * _EDGE < 1:
            what += " (its bound: the teacher is surer than any sharpening makes the bridge)"
        if self.taken in (BOTH, SHARES):
            own = ", ".join(f"{n} {b:+.2f}" for n, b in zip(labels, self.bias, strict=True))
            what += f" and a bias for each label ({own})"
            if self.taken == SHARES:
                what += ", so that each is said as often as the teacher says it"
        if not self.held_out:
            return f"Calibrated: {what}; fewer than {FEWEST_PEOPLE} pair people, so no bias"
        three = [self.held_out[name] for name in (ALONE, BOTH, SHARES)]
        crossed, agreed = (
            ", ".join(f"{one[key]:.3f}" for one in three) for key in ("cross_entropy", "agreement")
        )
        return (
            f"Calibrated: {what}. On pair people held out, without a bias, with the likeliest and "
            f"with the teacher's shares: cross-entropy to the teacher {crossed}, agreement with "
            f"its labels {agreed}"
        )

    def _value_line(self) -> str:
        """Say what was done to a value."""
        what = "as it is"
        if self.taken == LINE:
            what = f"times {1 / self.temperature:.3g}, {self.bias[0]:+.3g}"
        if not self.held_out:
            return f"Calibrated: {what}; fewer than {FEWEST_PEOPLE} pair people"
        alone, both = (self.held_out[name]["error"] for name in (AS_IT_IS, LINE))
        return (
            f"Calibrated: {what}. On pair people held out, as it is and with slope and "
            f"offset: mean error to the teacher {alone:.3g} and {both:.3g}"
        )


@torch.no_grad()
def calibrate_value(bridged: Tensor, teacher: Tensor, person: npt.NDArray[np.str_]) -> Calibration:
    """Fit a slope and an offset to the teacher's values, where they serve people held out.

    Parameters
    ----------
    bridged, teacher : Tensor of shape [n, 1]
        Values on the same pairs.
    person : ndarray of str, shape [n]
        Who each pair is of.

    Returns
    -------
    Calibration
        ``value / temperature + bias``.
    """
    x, y = _values(bridged)[:, 0], _values(teacher)[:, 0]
    people = np.unique(person)
    if len(people) < FEWEST_PEOPLE:
        return Calibration(1.0, (0.0,), AS_IT_IS)
    fitted = np.empty_like(x)
    for one in people:
        out = person == one
        slope, offset = _line(x[~out], y[~out])
        fitted[out] = slope * x[out] + offset
    figures = {
        name: {"error": float(np.mean([np.abs(v - y)[person == one].mean() for one in people]))}
        for name, v in ((AS_IT_IS, x), (LINE, fitted))
    }
    if figures[LINE]["error"] >= figures[AS_IT_IS]["error"]:
        return Calibration(1.0, (0.0,), AS_IT_IS, figures)
    slope, offset = _line(x, y)
    return Calibration(1.0 / slope, (offset,), LINE, figures)


def _line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Fit a rising line by least squares."""
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 1.0
    slope = float(np.clip(slope, 1 / _STEEPEST, _STEEPEST))
    return slope, float(y.mean() - slope * x.mean())


@torch.no_grad()
def calibrate(bridged: Tensor, teacher: Tensor, person: npt.NDArray[np.str_]) -> Calibration:
    """Fit a temperature, and a bias for each class where it serves people who were held out.

    Each pair person in turn is held out: all are fitted on the others and held to the teacher on
    that one, every class weighing the same. The likeliest biases are taken if they come nearer to
    the teacher's probabilities and agree with its labels no less. Where the source knows little,
    the likeliest answer is the teacher's majority, whatever was heard: so biases with which each
    label is said as often as the teacher says it are, if that agrees with its labels better still.

    Parameters
    ----------
    bridged, teacher : Tensor of shape [n, classes]
        Logits on the same pairs.
    person : ndarray of str, shape [n]
        Who each pair is of.

    Returns
    -------
    Calibration
    """
    logits, wanted = _values(bridged), _probabilities(_values(teacher))
    alone = (_temperature(logits, wanted), (0.0,) * logits.shape[1])
    people = np.unique(person)
    if len(people) < FEWEST_PEOPLE:
        return Calibration(*alone)
    taught = wanted.argmax(axis=1)
    held_out = {name: np.empty_like(logits) for name in (ALONE, BOTH, SHARES)}
    for one in people:
        out, others = person == one, person != one
        heat = _temperature(logits[others], wanted[others])
        held_out[ALONE][out] = logits[out] / heat
        heat, bias = _both(logits[others], wanted[others])
        held_out[BOTH][out] = logits[out] / heat + bias
        heat = _temperature(logits[others], wanted[others])
        bias = _sharing(logits[others] / heat, taught[others])
        held_out[SHARES][out] = logits[out] / heat + bias
    figures = {name: _figures(found, wanted, person) for name, found in held_out.items()}
    agreed = {name: found["agreement"] for name, found in figures.items()}
    likelier = (
        figures[BOTH]["cross_entropy"] < figures[ALONE]["cross_entropy"]
        and agreed[BOTH] >= agreed[ALONE]
    )
    if agreed[SHARES] > agreed[BOTH if likelier else ALONE]:
        bias = _sharing(logits / alone[0], taught)
        return Calibration(alone[0], tuple(bias.tolist()), SHARES, figures)
    if not likelier:
        return Calibration(*alone, ALONE, figures)
    heat, bias = _both(logits, wanted)
    return Calibration(heat, tuple(bias.tolist()), BOTH, figures)


def temperature(bridged: Tensor, teacher: Tensor) -> float:
    """Find the one number that logits are divided by (Guo et al., ICML 2017), without labels.

    It minimises the cross-entropy of the bridged probabilities against the teacher's on the
    pairs, changes no answer, and cannot be better calibrated than the teacher.

    Parameters
    ----------
    bridged, teacher : Tensor of shape [n, classes]
        Logits on the same pairs.

    Returns
    -------
    float
    """
    return _temperature(_values(bridged), _probabilities(_values(teacher)))


def _values(logits: Tensor) -> Logits:
    """Give logits as an array."""
    values: Logits = logits.detach().double().cpu().numpy()
    return values


def _probabilities(logits: Logits) -> Logits:
    """Softmax over classes."""
    shares: Logits = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return shares


def _cross_entropy(logits: Logits, wanted: Logits) -> npt.NDArray[np.float64]:
    """Give each row's cross-entropy against wanted probabilities, in nats."""
    rows: npt.NDArray[np.float64] = logsumexp(logits, axis=1) - (wanted * logits).sum(axis=1)
    return rows


def _temperature(logits: Logits, wanted: Logits) -> float:
    """Search the temperature's whole range."""
    if not logits.any():  # an untrained bridge: every temperature says the same
        return 1.0
    low, high = -math.log(RANGE), math.log(RANGE)
    # The cross-entropy is convex in 1/T, so it has one minimum in log T: golden sections do.
    ratio = (5**0.5 - 1) / 2

    def cost(log_temperature: float) -> float:
        return float(_cross_entropy(logits * math.exp(-log_temperature), wanted).mean())

    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(60):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return math.exp((low + high) / 2)


def _both(logits: Logits, wanted: Logits) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit temperature and biases together; the cross-entropy is convex in 1/T and the biases."""
    size = float(logits.std()) or 1.0
    scaled = logits / size  # so that all unknowns are of one size

    def cost(unknown: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        found = unknown[0] * scaled + unknown[1:]
        off = _probabilities(found) - wanted
        slope = np.concatenate([[(off * scaled).sum(axis=1).mean()], off.mean(axis=0)])
        return float(_cross_entropy(found, wanted).mean()), slope

    classes = logits.shape[1]
    start = np.concatenate([[size / _temperature(logits, wanted)], np.zeros(classes)])
    most = math.log(RANGE) / 2  # a pair of biases changes odds by exp of their difference
    bounds = [(size / RANGE, size * RANGE), *[(-most, most)] * classes]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return size / float(found[0]), found[1:] - found[1:].mean()


def _sharing(logits: Logits, taught: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Find biases with which every label is said as often as the teacher says it.

    Class after class: of how far it is behind the best of the others, the quantile at its share.
    """
    classes = logits.shape[1]
    shares = np.bincount(taught, minlength=classes) / len(taught)
    bias, most = np.zeros(classes), math.log(RANGE) / 2
    for _ in range(_ROUNDS):
        for k in range(classes):
            others = np.delete(logits + bias, k, axis=1).max(axis=1)
            behind = float(np.quantile(others - logits[:, k], shares[k]))
            bias[k] = behind
        bias -= bias.mean()
    found: npt.NDArray[np.float64] = np.clip(bias, -most, most)
    return found


def _figures(logits: Logits, wanted: Logits, person: npt.NDArray[np.str_]) -> dict[str, float]:
    """Hold calibrated logits of held-out people to the teacher's probabilities and labels."""
    rows = _cross_entropy(logits, wanted)
    label, taught = logits.argmax(axis=1), wanted.argmax(axis=1)
    return {
        "cross_entropy": float(np.mean([rows[person == one].mean() for one in np.unique(person)])),
        "agreement": float(np.mean([(label == k)[taught == k].mean() for k in np.unique(taught)])),
    }
