"""From a model's answers, window after window, to what is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge.errors import BundleError
from bioxedge.manifest import Decision, Value

Probabilities = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Decided:
    """What is said of one window.

    Attributes
    ----------
    label : str or None
        None where nothing is said.
    reason : str or None
        Why nothing is said.
    smoothed : ndarray of float64, shape [labels], or None
        The probabilities that were decided on; None where they are not smoothed.
    value : float or None
        What is said where a value is told, smoothed.
    """

    label: str | None
    reason: str | None
    smoothed: npt.NDArray[np.float64] | None = None
    value: float | None = None


class Mean:
    """An exponential mean over windows; one that is skipped counts as time."""

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._mean: npt.NDArray[np.float64] | None = None
        self._skipped = 0  # windows since the mean was last told anything

    def skip(self) -> None:
        """Note a window that tells nothing."""
        self._skipped += 1

    def take(self, now: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Take a window's answers into the mean; give a copy of it."""
        mean: npt.NDArray[np.float64] = now
        if self._mean is not None:
            weight = -math.expm1(-(1 + self._skipped) / self._smoothing)
            mean = self._mean + weight * (now - self._mean)
        self._mean, self._skipped = mean, 0
        return np.array(mean, np.float64)


class Decider:
    """Chooses a label for each window; see :class:`bioxedge.manifest.Decision`.

    What is said depends on the sequence of windows alone: each is pushed, or skipped where the
    model was not asked. The rules, in their order:

    - *Smoothing*: each window's probabilities weigh ``1 - exp(-1 / smoothing)`` in the mean, the
      first one's all. A skipped window counts as time: after it, the old mean weighs less.
    - *Threshold*: the likeliest label wins the window if its (smoothed) probability reaches the
      threshold. Otherwise nothing is said of the window, and whoever led has to start again.
    - *Patience*: a label that has won so many windows in a row is said. Until then the old one
      stays; where there is none, nothing is said. A skipped window neither confirms nor breaks
      a row: nothing was learnt from it.
    - *Refractory*: a label that was said for the first time stays for so many windows more, won
      or skipped, whatever leads meanwhile.
    - *Forgetting*: after as many windows without a winner as it takes to replace a label (the
      larger of patience and refractory), the old label stands for nothing any more: it is not
      said again before it has won anew.

    Parameters
    ----------
    labels : sequence of str
        In the order of the probabilities.
    decision : Decision
    """

    def __init__(self, labels: Sequence[str], decision: Decision) -> None:
        self._labels = tuple(labels)
        self._decision = decision
        self._forget = max(decision.patience, decision.refractory)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if new: the stream began afresh."""
        self._mean = Mean(self._decision.smoothing)
        self._said: str | None = None
        self._held = 0  # windows for which what is said must still stay
        self._leader: str | None = None
        self._won = 0  # windows in a row that the leader has won
        self._silent = 0  # windows in a row without a winner

    def skip(self) -> None:
        """Note a window that the model was not asked about."""
        self._mean.skip()
        self._no_winner()

    def push(self, probabilities: Probabilities | Mapping[str, float]) -> Decided:
        """Decide on one window.

        Parameters
        ----------
        probabilities : ndarray of shape [labels], or mapping of labels to float

        Raises
        ------
        BundleError
            Not one finite number for each label.
        """
        now = self._values(probabilities)
        smoothed = self._mean.take(now) if self._decision.smoothing else None
        judged = now if smoothed is None else smoothed
        best = int(np.argmax(judged))
        label, share, threshold = self._labels[best], float(judged[best]), self._decision.threshold
        if share < threshold:
            self._leader, self._won = None, 0
            self._no_winner()
            reason = f"unsure: {label} has {share:.2f}, at least {threshold:.2f} is needed"
            return Decided(None, reason, smoothed)
        self._win(label)
        if self._said is not None:
            return Decided(self._said, None, smoothed)
        reason = f"unsure: {label} leads for {self._won} of {self._decision.patience} windows"
        return Decided(None, reason, smoothed)

    def _values(self, given: Probabilities | Mapping[str, float]) -> npt.NDArray[np.float64]:
        """Give the probabilities in the labels' order, as an array of their own."""
        if isinstance(given, Mapping):
            given = np.array([given.get(label, math.nan) for label in self._labels])
        now = np.array(given, np.float64)
        if now.shape != (len(self._labels),) or not np.isfinite(now).all():
            raise BundleError(
                f"{now.tolist()} is no probability for each of {', '.join(self._labels)}: "
                "check the bundle with bioxedge verify"
            )
        return now

    def _no_winner(self) -> None:
        """Let a window pass that nobody has won."""
        self._held = max(0, self._held - 1)
        self._silent += 1
        if self._silent >= self._forget:
            self._said = None

    def _win(self, label: str) -> None:
        """Note a window's winner, and let it be said where nothing stands against it."""
        self._won = self._won + 1 if label == self._leader else 1
        self._leader, self._silent = label, 0
        if self._held:
            self._held -= 1
        elif label != self._said and self._won >= self._decision.patience:
            self._said, self._held = label, self._decision.refractory


class ValueDecider:
    """Says a value for each window, smoothed; or nothing, where the model lost its way.

    An answer that is further outside the range of training than that range is wide is no
    measurement: nothing is said of its window, which counts as skipped. What is smoothed, and
    how, is as for :class:`Decider`.

    Parameters
    ----------
    value : Value
    decision : Decision
        Its smoothing; a value has no other rule.
    """

    def __init__(self, value: Value, decision: Decision) -> None:
        self._value, self._decision = value, decision
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if new: the stream began afresh."""
        self._mean = Mean(self._decision.smoothing)

    def skip(self) -> None:
        """Note a window that the model was not asked about."""
        self._mean.skip()

    def push(self, answer: npt.NDArray[np.floating]) -> Decided:
        """Decide on one window.

        Parameters
        ----------
        answer : ndarray of shape [1]
            In the value's unit.

        Raises
        ------
        BundleError
            Not one finite number.
        """
        value, now = self._value, np.array(answer, np.float64)
        if now.shape != (1,) or not np.isfinite(now).all():
            raise BundleError(
                f"{now.tolist()} is no value of {value.name}: check the bundle with bioxedge verify"
            )
        if not value.holds(float(now[0])):
            self.skip()
            reason = (
                f"out of range: the model answers {value.text(float(now[0]))}, training saw "
                f"{value.text(value.low)} to {value.text(value.high)}"
            )
            return Decided(None, reason)
        smoothed = self._mean.take(now) if self._decision.smoothing else None
        told = now if smoothed is None else smoothed
        return Decided(None, None, smoothed, float(told[0]))
