"""What one window says, and what it is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from bioxedge.manifest import Value
from bioxedge.quality import Verdict
from bioxedge.runtime.telling import Told


@dataclass(frozen=True)
class Quality:
    """What a window is made of.

    Attributes
    ----------
    real : float
        Share of its input samples that are real, neither missing nor held over.
    signal : Verdict or None
        What each channel looks like; None where the bundle states no thresholds.
    """

    real: float
    signal: Verdict | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {"real": self.real, "channels": self.signal.to_dict() if self.signal else None}


@dataclass(frozen=True)
class Prediction:
    """What one window says.

    Attributes
    ----------
    label : str or None
        None where nothing is said (see ``reason``), and where a value is.
    probabilities : dict of str to float
        For each label, in the manifest's order, as the model gave them; empty where the model
        was not asked, or the wearer's baseline has not settled.
    t_start, t_end : float
        Where the window lies, in seconds of stream time (input sample over nominal rate), the
        declared linear-phase delay taken off.
    t0 : float
        Unix time that ``t_end`` counts from: ``t0 + t_end`` is when the window ended, by the
        host's clock as it was set when the samples came; NaN when unknown.
    due : int
        Monotonic nanoseconds at which the window's last sample was in this process's hands.
    latency : float
        Seconds from ``due`` to this prediction.
    age : float
        Seconds from the acquisition of the window's last sample to this prediction.
    rate : float or None
        Estimated real rate in Hz; None while nothing is known.
    quality : Quality
    gap : int
        Input samples of the window that are known to be missing and were held over.
    loss : int or None
        Input samples of the window that were lost; None where the source cannot tell.
    reason : str or None
        Why there is no label, or no value.
    value : float or None
        What is said where the bundle tells a value; None where nothing is said.
    answer : float or None
        What the model gave of the value, before anything was decided; None where it was not
        asked.
    quantity : Value or None
        What ``value`` is: its name, unit and range. None where the bundle tells labels.
    others : dict of str to Told
        What further tasks of the bundle say of the same window, by name; empty where it has one.
    """

    label: str | None
    probabilities: dict[str, float]
    t_start: float
    t_end: float
    t0: float
    due: int
    latency: float
    age: float
    rate: float | None
    quality: Quality
    gap: int
    loss: int | None
    reason: str | None = None
    value: float | None = None
    answer: float | None = None
    quantity: Value | None = None
    others: dict[str, Told] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether there is an answer of the model that may be told."""
        return bool(self.probabilities) or self.answer is not None

    @property
    def said(self) -> str | None:
        """What is said of the window, for people: the label, or the value with its unit."""
        if self.quantity is None or self.value is None:
            return self.label
        return self.quantity.text(self.value)

    @property
    def acquired(self) -> int:
        """Monotonic nanoseconds at which the sensor took the window's last sample."""
        return self.due + round((self.latency - self.age) * 1e9)

    @property
    def ended(self) -> float:
        """Unix time at which the window ended; NaN when unknown."""
        return self.t0 + self.t_end

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for strict JSON; an unknown ``t0`` is None.

        Label and probabilities are there, or value, answer and unit; ``others`` where there are
        any.
        """
        t0 = self.t0 if math.isfinite(self.t0) else None
        about = {**vars(self), "t0": t0, "quality": self.quality.to_dict()}
        if others := about.pop("others"):
            about["others"] = {name: told.to_dict() for name, told in others.items()}
        told = {"value": about.pop("value"), "answer": about.pop("answer")}
        if about.pop("quantity") is None or self.quantity is None:
            return about
        del about["label"], about["probabilities"]
        return {**told, "unit": self.quantity.unit, **about}
