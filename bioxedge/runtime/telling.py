"""What is said of one window, task by task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bioxedge.bundle import Bundle
from bioxedge.decide import Decided
from bioxedge.manifest import Value
from bioxedge.runtime.engine import Floats


@dataclass(frozen=True)
class Told:
    """What one task says of one window.

    Attributes
    ----------
    label : str or None
        None where nothing is said, and where a value is.
    probabilities : dict of str to float
        For each label, in the manifest's order, as the model gave them; empty where it was not
        asked.
    reason : str or None
        Why nothing is said.
    value, answer : float or None
        What is said where the task tells a value, and what the model gave of it.
    quantity : Value or None
        What that value is.
    """

    label: str | None
    probabilities: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    value: float | None = None
    answer: float | None = None
    quantity: Value | None = None

    @property
    def said(self) -> str | None:
        """What is said, for people: the label, or the value with its unit."""
        if self.quantity is None or self.value is None:
            return self.label
        return self.quantity.text(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON: label and probabilities, or value, answer and unit."""
        if self.quantity is None:
            told: dict[str, Any] = {"label": self.label, "probabilities": self.probabilities}
        else:
            unit = self.quantity.unit
            told = {"value": self.value, "answer": self.answer, "unit": unit}
        return {**told, "reason": self.reason}


class Teller:
    """Decides for every task of a bundle, each by its own rule.

    Parameters
    ----------
    bundle : Bundle
    """

    def __init__(self, bundle: Bundle) -> None:
        self._tasks = [
            (name, output, columns, bundle.decider(output))
            for name, output, columns in bundle.manifest.tasks
        ]

    def reset(self) -> None:
        """Forget everything, as if new: the stream began afresh."""
        for *_, decider in self._tasks:
            decider.reset()

    def tell(self, answer: Floats | None, reason: str | None) -> dict[str, Told]:
        """Say what each task makes of a window, by name; the first one has none.

        Parameters
        ----------
        answer : ndarray of float32, shape [numbers], or None
            Of all tasks, as the graph gave it; None where the model was not asked.
        reason : str or None
            Why nothing is to be said, whatever the answer.

        Raises
        ------
        BundleError
            Numbers that are no probabilities, or no value.
        """
        found: dict[str, Told] = {}
        for name, output, columns, decider in self._tasks:
            if answer is None or reason is not None:
                decider.skip()
                found[name] = Told(None, reason=reason, quantity=output.value)
                continue
            given = answer[columns]
            decided: Decided = decider.push(given)
            numbers = given.tolist()
            found[name] = Told(
                label=decided.label,
                probabilities=dict(zip(output.labels, numbers, strict=False)),  # none of a value
                reason=decided.reason,
                value=decided.value,
                answer=None if output.value is None else numbers[0],
                quantity=output.value,
            )
        return found
