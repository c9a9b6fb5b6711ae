"""From windows to labels, as docs/format.md says it: NumPy alone."""

from __future__ import annotations

from math import ceil, exp, isfinite
from typing import Any

import numpy as np
from bundle_agreement import tasks
from bundle_windows import Window

Manifest = dict[str, Any]


def skipped(about: Manifest, window: Window, faults: list[str | None]) -> bool:
    """Whether the model is not asked."""
    least = 0.0 if about["quality"] is None else about["quality"]["min_real"]
    real = 1 - window.filled / (ceil(window.end) - ceil(window.start))
    return real < least or any(faults)


class Teller:
    """What every task says, each by its own rules."""

    def __init__(self, about: Manifest) -> None:
        self.deciders = [Decider(output) for output in tasks(about)]

    def skip(self) -> list[None]:
        """Take a window that nothing is said of."""
        return [decider.skip() for decider in self.deciders]

    def ask(self, answer: np.ndarray) -> list[str | float | None]:
        """Take what the graph gave."""
        said, first = [], 0
        for decider in self.deciders:
            size = len(decider.output["labels"]) or 1
            said.append(decider.ask(answer[first : first + size]))
            first += size
        return said


class Baseline:
    """What goes beside a window, and what is learnt of the wearer."""

    def __init__(self, features: Manifest) -> None:
        self.features, self.rules = features, features["baseline"]
        self.encoder, self.seen = features["encoder"], 0
        self.n, self.m, self.v = np.zeros((3, self.encoder + len(features["classic"])))

    @property
    def settled(self) -> bool:
        """Whether a window may be spoken of."""
        return self.rules is None or self.seen >= self.rules["settle"]

    def beside(self, classic: np.ndarray) -> np.ndarray:
        """Lay out the graph's second input; ``classic`` is NaN where one is not allowed."""
        d, size = np.sqrt(self.v), np.sqrt(self.v + self.m**2)
        inverse = np.zeros(len(d), np.float32)
        varies = (d > 1e-9 * size) & (d >= 2.0**-126)
        inverse[varies] = 1 / d[varies]
        mean = self.m.astype(np.float32)
        own = slice(self.encoder, None)
        usual = np.where(inverse[own] > 0, mean[own], np.array(self.features["fill"]))
        filled = np.where(np.isfinite(classic), classic, usual).astype(np.float32)
        return filled if self.rules is None else np.concatenate([filled, mean, inverse])

    def learn(self, given: np.ndarray, classic: np.ndarray) -> None:
        """Learn from what the graph gave as ``features``."""
        if self.rules is None:
            return
        self.seen += 1
        least = 1 - exp(-1 / self.rules["memory"]) if self.rules["memory"] else 0.0
        for k, f in enumerate([*given[: self.encoder].tolist(), *classic.tolist()]):
            if isfinite(f):
                self.n[k] += 1
                w, s = max(1 / self.n[k], least), f - self.m[k]
                self.m[k] += w * s
                self.v[k] = (1 - w) * (self.v[k] + w * s * s)


class Decider:
    """What is said, window after window."""

    def __init__(self, output: Manifest) -> None:
        self.output, self.rules = output, output["decision"]
        self.mean: np.ndarray | None = None
        self.skipped = self.held = self.won = self.silent = 0
        self.said: str | None = None
        self.leader: str | None = None

    def skip(self) -> None:
        """Take a window that was not asked about."""
        self.skipped += 1
        self.no_winner()

    def no_winner(self) -> None:
        """Nobody has won this window."""
        self.held = max(0, self.held - 1)
        self.silent += 1
        if self.silent >= max(self.rules["patience"], self.rules["refractory"]):
            self.said = None

    def smooth(self, p: np.ndarray) -> np.ndarray:
        """Take answers into the mean."""
        if not self.rules["smoothing"]:
            return p
        if self.mean is not None:
            p = self.mean + (1 - exp(-(1 + self.skipped) / self.rules["smoothing"])) * (
                p - self.mean
            )
        self.mean, self.skipped = p, 0
        return p

    def ask(self, answer: np.ndarray) -> str | float | None:
        """Take a window's answer; give its label, its value, or nothing."""
        p = answer.astype(np.float64)
        assert all(isfinite(one) for one in p)
        if self.output["value"] is not None:
            return self.tell(p)
        q = self.smooth(p)
        best = int(np.argmax(q))
        label = self.output["labels"][best]
        if q[best] < self.rules["threshold"]:
            self.leader, self.won = None, 0
            self.no_winner()
            return None
        self.won = self.won + 1 if label == self.leader else 1
        self.leader, self.silent = label, 0
        if self.held:
            self.held -= 1
        elif label != self.said and self.won >= self.rules["patience"]:
            self.said, self.held = label, self.rules["refractory"]
        return self.said

    def tell(self, p: np.ndarray) -> float | None:
        """Take a value."""
        low, high = self.output["value"]["low"], self.output["value"]["high"]
        if not low - (high - low) <= p[0] <= high + (high - low):
            self.skip()
            return None
        return float(self.smooth(p)[0])
