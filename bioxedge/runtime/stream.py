"""Samples in, predictions out: what a device does with a bundle."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError
from bioxedge.runtime.engine import Engine
from bioxedge.signals import Chunk
from bioxedge.windows import Window


@dataclass(frozen=True)
class Prediction:
    """What one window says.

    Attributes
    ----------
    label : str
    probabilities : dict of str to float
        For each label, in the manifest's order.
    t_start, t_end : float
        Where the window lies, in seconds of stream time (input sample over rate), the
        declared linear-phase delay taken off.
    t0 : float
        Estimated Unix time of stream time 0; NaN when unknown.
    due : int
        Monotonic nanoseconds at which the window's last sample was in this process's hands.
    latency : float
        Seconds from ``due`` to this prediction.
    quality : float
        Share of the window's input samples that were real.
    gap : int
        Input samples of the window that were missing and held over.
    """

    label: str
    probabilities: dict[str, float]
    t_start: float
    t_end: float
    t0: float
    due: int
    latency: float
    quality: float
    gap: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for strict JSON; an unknown ``t0`` is None."""
        return {**vars(self), "t0": self.t0 if math.isfinite(self.t0) else None}


class Stream:
    """Takes chunks and gives predictions.

    Parameters
    ----------
    bundle : Bundle
    engine : Engine, optional
        Made from the bundle where it is left out.

    Examples
    --------
    ::

        stream = Stream(Bundle.open("ppg-alarm"))
        for prediction in stream.push(chunk):
            print(prediction.label, prediction.probabilities)
    """

    def __init__(self, bundle: Bundle, *, engine: Engine | None = None) -> None:
        self.engine = Engine(bundle) if engine is None else engine
        self._windows = bundle.windows()
        self._labels = bundle.manifest.output.labels
        self._rate = bundle.manifest.input.rate

    @property
    def gaps(self) -> dict[str, int]:
        """Samples ``filled`` and ``lost``, and ``restarts``, since the start."""
        return self._windows.gaps

    def reset(self) -> None:
        """Forget everything, as if new."""
        self._windows.reset()

    def push(self, chunk: Chunk) -> list[Prediction]:
        """Take a chunk; give a prediction for each window that it completes.

        Raises
        ------
        SignalError
            Another rate or number of channels, or samples that were pushed before: the stream
            is left as it was. Or values that float32 cannot hold.
        BundleError
            The model failed, or answered with something that is no probability.
        """
        due = chunk.arrived or time.monotonic_ns()
        # Values beyond float32 are refused below, by name, instead of by a warning.
        with np.errstate(over="ignore"):
            windows = self._windows.push(chunk)
        return [self._answer(window, chunk.t0, due) for window in windows]

    def _answer(self, window: Window, t0: float, due: int) -> Prediction:
        """Ask the model about one window."""
        t_start, t_end = float(window.start) / self._rate, float(window.end) / self._rate
        if not np.isfinite(window.samples).all():
            raise SignalError(
                f"the window at {t_start:.2f} s holds values beyond float32: the sensor sends "
                "another unit than the bundle expects, or garbage"
            )
        answer = self.engine.run(window.samples)
        if not np.isfinite(answer).all():
            raise BundleError(
                f"the model answered {answer.tolist()} for the window at {t_start:.2f} s: these "
                "are no probabilities; check the bundle with bioxedge verify"
            )
        span = math.ceil(window.end) - math.ceil(window.start)
        return Prediction(
            label=self._labels[int(np.argmax(answer))],
            probabilities=dict(zip(self._labels, answer.tolist(), strict=True)),
            t_start=t_start,
            t_end=t_end,
            t0=t0,
            due=due,
            latency=(time.monotonic_ns() - due) / 1e9,
            quality=1.0 - window.filled / span,
            gap=window.filled,
        )
