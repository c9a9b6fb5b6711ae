"""A stream's features between encoder and bridge, as they adapt to whoever wears the sensor."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from bioxedge import classic
from bioxedge.manifest import Manifest
from bioxedge.signals import Samples
from bioxedge.wearer import Baseline, Known, Scale, beside
from bioxedge.windows import Window

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


class Keeper(Protocol):
    """Keeps what is learnt of a wearer; see :class:`bioxedge.runtime.wearers.Wearer`."""

    @property
    def known(self) -> Known | None:
        """What is known now; None for nothing."""

    def saw(self, baseline: Baseline) -> None:
        """Take note of what is known after a window."""


class Adapting:
    """Classic features of windows, and the wearer's baseline, window after window.

    Parameters
    ----------
    about : Manifest
        Of a bundle that says what its features are.
    keeper : Keeper, optional
        Knows the wearer from before, and keeps what is learnt.
    """

    def __init__(self, about: Manifest, keeper: Keeper | None = None) -> None:
        assert about.features is not None
        self._spec, self._input = about.features, about.input
        self._breathing = classic.breathes(about.features.classic)
        self._keeper = keeper
        self.baseline = (
            None
            if about.features.baseline is None
            else Baseline(about.features.baseline, about.features.count)
        )
        self.reset()

    def reset(self) -> None:
        """Know of the wearer what the keeper knows; nothing without one."""
        self._row: Floats = np.empty(0)
        if self.baseline is not None:
            self.baseline.reset()
            if self._keeper is not None and self._keeper.known is not None:
                self.baseline.take(self._keeper.known)

    def stretch(self, window: Window) -> tuple[int, int] | None:
        """Say which raw samples ``[first, last)`` a window is described by; None for none."""
        return classic.stretch(window.start, window.end) if self._spec.classic else None

    def beside(self, raw: Samples | None) -> Singles | None:
        """Lay out what the model takes beside a window; None where it takes nothing.

        Parameters
        ----------
        raw : ndarray of float64, shape [channels, samples], or None
            What classic features are computed of.
        """
        self._row = np.empty(0)
        if raw is not None:
            self._row = classic.of_window(
                raw, self._input.rate, self._input.modality, breathing=self._breathing
            )
        scale: Scale | None = None if self.baseline is None else self.baseline.scale()
        return beside(self._spec, self._row, scale)

    @property
    def waiting(self) -> str | None:
        """Why nothing is said of the window at hand; None where the baseline has settled."""
        if self.baseline is None or self.baseline.settled:
            return None
        seen, needed = self.baseline.windows, self.baseline.spec.settle
        return f"not settled: {seen} of the {needed} windows that this wearer's baseline takes"

    def learn(self, features: Singles) -> None:
        """Learn from the window at hand, after it was answered.

        Parameters
        ----------
        features : ndarray of float32, shape [features]
            As the model gives them.
        """
        if self.baseline is None:
            return
        # Those that the window did not allow were filled in: they teach nothing.
        whole = np.concatenate([features[: self._spec.encoder], self._row])
        self.baseline.push(whole)
        if self._keeper is not None:
            self._keeper.saw(self.baseline)
