"""What a run has done so far, in memory that does not grow with the number of windows."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bioxedge.manifest import Value
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction

# Distinct reasons that are counted by name; those beyond are counted together.
_REASONS = 50


class Durations:
    """How long something took, as counts in logarithmic bins: quantiles to within 1 %.

    Examples
    --------
    >>> took = Durations()
    >>> for ms in range(1, 101):
    ...     took.add(ms / 1e3)
    >>> round(took.quantile(0.5), 3), took.longest
    (0.05, 0.1)
    """

    _STEP = math.log(1.01)
    _SHORTEST = 1e-6  # seconds; anything shorter is in the first bin

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._bins[round(math.log(max(seconds, self._SHORTEST)) / self._STEP)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, share: float) -> float:
        """Seconds that this share of the durations did not exceed; 0 where there are none."""
        wanted, seen = share * self.count, 0
        for number in sorted(self._bins):
            seen += self._bins[number]
            if seen >= wanted:
                return min(math.exp(number * self._STEP), self.longest)
        return 0.0

    def to_ms(self) -> dict[str, float] | None:
        """Median, 95 %, 99 % and longest in milliseconds; None where there are none."""
        if not self.count:
            return None
        found = {"median": 0.5, "p95": 0.95, "p99": 0.99}
        ms = {name: round(self.quantile(share) * 1e3, 3) for name, share in found.items()}
        return {**ms, "max": round(self.longest * 1e3, 3)}


@dataclass
class Values:
    """Values that were said, in figures that do not grow.

    Attributes
    ----------
    about : Value
        What they are.
    count : int
    mean, least, most : float
        In its unit; 0 where there are none.
    """

    about: Value
    count: int = 0
    mean: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.count += 1
        self.mean += (value - self.mean) / self.count
        first = self.count == 1
        self.least = value if first else min(self.least, value)
        self.most = value if first else max(self.most, value)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON; where nothing was said, figures are None."""
        found = {name: getattr(self, name) for name in ("mean", "least", "most")}
        if not self.count:
            found = dict.fromkeys(found)
        return {"name": self.about.name, "unit": self.about.unit, "windows": self.count, **found}

    def line(self) -> str:
        """Give them in words."""
        about = self.about
        return (
            f"{about.name} {about.text(self.mean)} on average, {self.least:.{about.digits}f} to "
            f"{about.text(self.most)}"
        )


@dataclass
class Tally:
    """What a run has done so far; kept up to date while it runs.

    Attributes
    ----------
    samples : int
        Input samples seen, from the first to the last.
    labels : Counter
        Windows for each label.
    values : Values or None
        Of a bundle that tells a value, once there was a window.
    others : dict of str to Counter or Values
        What further tasks said, by name.
    reasons : Counter
        Windows without a label, or a value, for each reason.
    left_out : int
        Windows that were not answered because newer ones were waiting.
    latency, age : Durations
        From a window's last sample in hand, and from its acquisition, to the answer.
    events : Counter
        Events of each kind.
    gaps : dict
        ``filled``, ``lost`` and ``restarts``.
    loss : int or None
        Samples that the source lost; None where it cannot know.
    rate : float or None
        Estimated real rate in Hz.
    failures : list of str
        What sinks failed of, a line for each.
    """

    samples: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    latency: Durations = field(default_factory=Durations)
    age: Durations = field(default_factory=Durations)
    events: Counter[str] = field(default_factory=Counter)
    gaps: dict[str, int] = field(default_factory=lambda: {"filled": 0, "lost": 0, "restarts": 0})
    loss: int | None = 0
    rate: float | None = None
    failures: list[str] = field(default_factory=list)
    values: Values | None = None
    others: dict[str, Counter[str] | Values] = field(default_factory=dict)

    @property
    def windows(self) -> int:
        """Number of windows with a label, a value or a reason."""
        return self.latency.count

    @property
    def abstained(self) -> int:
        """Number of windows without a label, or a value."""
        return sum(self.reasons.values())

    def add(self, record: Prediction | Event) -> None:
        """Count one prediction or event."""
        if isinstance(record, Event):
            self.events[record.kind] += 1
            return
        if record.quantity is not None and self.values is None:
            self.values = Values(record.quantity)
        if record.label is not None:
            self.labels[record.label] += 1
        elif record.value is not None and self.values is not None:
            self.values.add(record.value)
        else:
            reason = (record.reason or "unknown").partition(":")[0]  # figures come after it
            known = reason in self.reasons or len(self.reasons) < _REASONS
            self.reasons[reason if known else "other"] += 1
        for name, told in record.others.items():
            if name not in self.others:
                self.others[name] = Counter() if told.quantity is None else Values(told.quantity)
            kept = self.others[name]
            if isinstance(kept, Values) and told.value is not None:
                kept.add(told.value)
            elif isinstance(kept, Counter) and told.label is not None:
                kept[told.label] += 1
        self.latency.add(record.latency)
        self.age.add(record.age)
        self.rate = record.rate

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON: shares by label or figures of values, durations in ms."""
        return {
            "windows": self.windows,
            "samples": self.samples,
            "labels": {label: n / self.windows for label, n in self.labels.most_common()},
            **({} if self.values is None else {"value": self.values.to_dict()}),
            **({"others": self._others()} if self.others else {}),
            "abstained": dict(self.reasons.most_common()),
            "left_out": self.left_out,
            "latency_ms": self.latency.to_ms(),
            "age_ms": self.age.to_ms(),
            "events": dict(self.events.most_common()),
            "gaps": {**self.gaps, "loss_known": self.loss is not None},
            "loss": self.loss,
            "rate": self.rate,
        }

    def _others(self) -> dict[str, Any]:
        """Give plain values of what further tasks said: shares by label, or figures of values."""
        return {
            name: kept.to_dict()
            if isinstance(kept, Values)
            else {"labels": {label: n / self.windows for label, n in kept.most_common()}}
            for name, kept in self.others.items()
        }

    def line(self) -> str:
        """Give the summary as one line."""
        shares = [f"{label} {n / self.windows:.0%}" for label, n in self.labels.most_common()]
        if self.values is not None and self.values.count:
            shares.append(self.values.line())
        if self.abstained:
            word = "label" if self.values is None else "value"
            why = ", ".join(reason for reason, _ in self.reasons.most_common(3))
            shares.append(f"no {word} {self.abstained / self.windows:.0%} ({why})")
        others = ""
        for name, kept in self.others.items():
            if isinstance(kept, Values):
                found = kept.line() if kept.count else "—"
            else:
                found = ", ".join(f"{one} {n / self.windows:.0%}" for one, n in kept.most_common())
            others += f"; {name}: {found or '—'}"
        ms = self.latency.to_ms() or {"median": 0.0, "p95": 0.0, "max": 0.0}
        held, lost = self.gaps["filled"], self.gaps["lost"]
        if self.loss is not None:  # a board that is still away has lost what nobody saw yet
            lost = max(lost, self.loss - held)
        gaps = f"{held} samples held over, {lost} lost, {self.gaps['restarts']} restarts"
        if self.loss is None:
            gaps = f"loss unknown (nothing here can show it), {gaps} seen"
        late = f"; {self.left_out} windows left out: cannot keep up" if self.left_out else ""
        return (
            f"{self.windows} windows: {', '.join(shares)}{others}; "
            f"latency {ms['median']:.2f} ms median, {ms['p95']:.2f} ms 95 %, "
            f"{ms['max']:.2f} ms max; {gaps}{late}"
        )
