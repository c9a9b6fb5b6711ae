"""One simulated person for as long as it takes, through one sensor, piece by piece.

A piece is four minutes: a phase of rest and one of stress, in this person's order. It is lived
from the end of the phase before it, and faded over into: heart, breathing, phases and the sensor's
level go on, and at most one beat in four minutes comes at an odd time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bioxedge.simulated.days import arousal_of, sample_times
from bioxedge.simulated.physiology import GRID, MARGIN, draw_body, live
from bioxedge.simulated.sensors import record_ecg, record_ppg

PIECE = 240.0
"""Seconds of a piece."""

_LEAD = 60.0  # lived before a piece, in the phase that came before it
_FADE = 2.0  # seconds of that, over which one piece becomes the next
_RECORD = {"ppg": record_ppg, "ecg": record_ecg}
_STREAM = {"ecg": 1, "ppg": 2}  # which of a person's random streams is whose

Samples = npt.NDArray[np.float64]


class Endless:
    """Samples of one person's sensor, by index.

    Parameters
    ----------
    modality : {"ppg", "ecg"}
        A wrist's PPG in whole counts, or an ECG in mV.
    rate : float
        Hz.
    person, seed : int
        Who; the same numbers are the same person as in the simulated data set.
    """

    def __init__(self, modality: str, rate: float, *, person: int = 1, seed: int = 0) -> None:
        self._modality, self._who = modality, (seed, person)
        self._rate = rate
        self.length = round(PIECE * rate)
        self._lead, self._fade = round(_LEAD * rate), round(_FADE * rate)

    def piece(self, number: int) -> Samples:
        """Make a piece, samples [length]; NaN where the sensor's packets were lost.

        Faded over from the piece before it, which is lived a little longer for it.
        """
        own = self._lived(number)
        samples = own[self._lead : self._lead + self.length]
        if number:
            rise = (np.arange(self._fade) + 1.0) / (self._fade + 1)
            before = self._lived(number - 1)[self._lead + self.length :][: self._fade]
            samples[: self._fade] = samples[: self._fade] * rise + before * (1 - rise)
        return np.rint(samples) if self._modality == "ppg" else samples

    def _lived(self, number: int) -> Samples:
        """Live the phase before a piece, the piece, and a little more."""
        children = np.random.SeedSequence(self._who).spawn(3)
        body_rng, own = (np.random.default_rng(children[k]) for k in (0, _STREAM[self._modality]))
        body = draw_body(body_rng)
        first = int(body_rng.integers(2))
        happens, felt = (
            np.random.default_rng(child)
            for child in np.random.SeedSequence((*self._who, number, 1)).spawn(2)
        )
        half = PIECE / 2
        edges = [0.0, _LEAD, _LEAD + half, _LEAD + PIECE, _LEAD + PIECE + half]
        phases = [
            (begin, end, (first + 1 + k) % 2) for k, (begin, end) in enumerate(pairwise(edges))
        ]
        duration = _LEAD + PIECE + _FADE + 1
        seconds = np.arange(-MARGIN, duration + MARGIN, 1 / GRID)
        heart = live(body, seconds, arousal_of(seconds, phases, happens), happens)
        samples, _ = _RECORD[self._modality](heart, sample_times(duration, self._rate), own, felt)
        return samples
