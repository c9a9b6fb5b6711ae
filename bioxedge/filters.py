"""Recursive filters: designed once, by SciPy; run anywhere, sample after sample.

A device imports no filter design: ``scipy.signal`` costs more time and memory than everything
else that it needs together. The sections of a built bundle stand in its manifest, and running
them takes LAPACK's banded solver alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from bioxedge import spec
from bioxedge.errors import SignalError
from bioxedge.signals import Samples

# What may be left of a recursive filter's impulse response (share of its absolute sum) when
# its first sample leaves: one part in a thousand, below the noise of any sensor here.
SETTLED = 1e-3

# Samples of an impulse response, or taps of a resampler, beyond which a parameter is a slip:
# four million are more than an hour at 1 kHz.
LONGEST = 2**22


def sections_of(parameters: spec.Filter, rate: float) -> Samples:
    """Give a filter's second-order sections: the manifest's, or designed now.

    Parameters
    ----------
    parameters : spec.Filter
    rate : float
        Of what it filters, in Hz.

    Returns
    -------
    ndarray of float64, shape [sections, 6]
        b0, b1, b2, 1, a1, a2 of each.

    Raises
    ------
    SignalError
        Cutoffs that do not fit the kind or the rate, or sections that are none.
    """
    cutoff = parameters.cutoff
    pair = parameters.design != "notch" and parameters.kind in ("bandpass", "bandstop")
    if len(cutoff) != (2 if pair else 1):
        kind = parameters.kind if parameters.design != "notch" else "notch"
        raise SignalError(
            f"a {kind} takes {'two cutoffs' if pair else 'one cutoff'}, got {list(cutoff)}"
        )
    if max(cutoff) >= rate / 2 or (pair and cutoff[0] >= cutoff[1]):
        raise SignalError(
            f"cutoff {list(cutoff)} Hz must rise and stay below half the rate, {rate / 2:g} Hz"
        )
    if parameters.sections is None:
        return _designed(parameters, rate)
    sections = np.array(parameters.sections, np.float64)
    if not np.isfinite(sections).all() or (sections[:, 3] != 1.0).any():
        raise SignalError("a filter's sections are six finite numbers each, the fourth of them 1")
    return sections


def _designed(parameters: spec.Filter, rate: float) -> Samples:
    """Design sections; SciPy's designs are imported here and nowhere else on a device."""
    from scipy import signal

    cutoff = parameters.cutoff
    if parameters.design == "notch":
        b, a = signal.iirnotch(cutoff[0], parameters.q, fs=rate)
        return np.ascontiguousarray(signal.tf2sos(b, a))
    edges = list(cutoff) if len(cutoff) == 2 else cutoff[0]
    if parameters.design == "butterworth":
        sections = signal.butter(parameters.order, edges, parameters.kind, output="sos", fs=rate)
    else:
        sections = signal.cheby1(
            parameters.order, parameters.ripple, edges, parameters.kind, output="sos", fs=rate
        )
    return np.ascontiguousarray(sections)


class Cascade:
    """Second-order sections with carried state, at rest at the first sample's level.

    Each section is ``y[n] = b0 x[n] + b1 x[n−1] + b2 x[n−2] − a2 y[n−2] − a1 y[n−1]`` (direct
    form I), always in that order: the right side is elementwise, the recursion is forward
    substitution in a banded triangular system (LAPACK ``dtbtrs``), which goes row by row. So
    every chunking gives the same bits. What is filtered is the distance from the first sample;
    its level is put back at the end with the gain for a constant, which is what starting at
    rest there means, and loses nothing to a large offset.

    Parameters
    ----------
    sections : ndarray of float64, shape [sections, 6]
    """

    _level: Samples | None
    _past: list[Samples]

    def __init__(self, sections: Samples) -> None:
        self._sections = [tuple(map(float, row)) for row in sections]
        self._gain = math.prod(
            (b0 + b1 + b2) / (1.0 + a1 + a2) for b0, b1, b2, _, a1, a2 in self._sections
        )
        self.reset()

    def push(self, samples: Samples) -> Samples:
        """Filter samples [channels, n], carrying the state over."""
        if self._level is None:
            self._level = samples[:, :1].copy()
            self._past = [np.zeros((samples.shape[0], 2)) for _ in range(len(self._sections) + 1)]
        out = samples - self._level
        for number, section in enumerate(self._sections):
            out = self._step(number, section, out)
        self._past[-1] = _last_two(self._past[-1], out)
        return out + self._gain * self._level

    def _step(self, number: int, section: Sequence[float], samples: Samples) -> Samples:
        """Pass samples through one section; ``_past[number]`` is what went into it before."""
        b0, b1, b2, _, a1, a2 = section
        inputs = np.concatenate([self._past[number], samples], axis=1)
        self._past[number] = _last_two(self._past[number], samples)
        # The two outputs before stand above the right side, and their rows are the identity's.
        wanted = np.empty_like(inputs)
        wanted[:, :2] = self._past[number + 1]
        wanted[:, 2:] = b0 * inputs[:, 2:]
        wanted[:, 2:] += b1 * inputs[:, 1:-1]
        wanted[:, 2:] += b2 * inputs[:, :-2]
        band = np.empty((3, inputs.shape[1]), order="F")  # column n holds what y[n] is taken into
        band[0], band[1], band[2] = 1.0, a1, a2
        band[1, 0] = 0.0
        solved, _ = lapack.dtbtrs(band, wanted.T, uplo="L", diag="U", overwrite_b=1)
        return np.ascontiguousarray(solved.T[:, 2:])

    def reset(self) -> None:
        """Rest again at whatever comes first."""
        self._level = None
        self._past = []


def leaky_sums(samples: Samples, before: Samples, keep: float) -> Samples:
    """Give ``y[n] = keep · y[n−1] + x[n]`` of every row, in that order for every chunking.

    Parameters
    ----------
    samples : ndarray of float64, shape [rows, n]
    before : ndarray of float64, shape [rows]
        ``y[−1]``.
    keep : float
        0 to 1.
    """
    wanted = np.concatenate([before[:, None], samples], axis=1)
    band = np.empty((2, wanted.shape[1]), order="F")
    band[0], band[1] = 1.0, -keep
    solved, _ = lapack.dtbtrs(band, wanted.T, uplo="L", diag="U", overwrite_b=1)
    return np.ascontiguousarray(solved.T[:, 1:])


def _last_two(before: Samples, new: Samples) -> Samples:
    """Give the last two of what has passed."""
    return np.concatenate([before, new[:, -2:]], axis=1)[:, -2:]


def settling(sections: Samples) -> int:
    """Count samples until all but :data:`SETTLED` of the impulse response's sum has passed.

    Raises
    ------
    SignalError
        A filter that never settles, or hardly.
    """
    poles = np.concatenate([np.roots(row[3:]) for row in sections])
    radius = float(np.abs(poles).max(initial=0.0))
    if radius >= 1.0:
        raise SignalError(f"the filter is unstable: a pole at radius {radius:.6f}")
    length = 2 if radius == 0 else math.ceil(math.log(1e-9) / math.log(radius)) + 2
    if length > LONGEST:
        raise SignalError(
            f"the filter takes more than {LONGEST} samples to settle: raise its lowest cutoff"
        )
    impulse = np.zeros((1, length + 1))
    impulse[0, 1] = 1.0  # after one sample at rest
    weight = np.abs(Cascade(sections).push(impulse)[0, 1:])
    left = np.cumsum(weight[::-1])[::-1]
    return int(np.count_nonzero(left > SETTLED * left[0]))


def low_pass(half: int, slower: int) -> Samples:
    """Design a resampler's low-pass: a sinc at the slower Nyquist rate under a Kaiser window.

    Beta 8 is about 80 dB below the pass band from there on.

    Returns
    -------
    ndarray of float64, shape [2 · half + 1]
    """
    place = np.arange(-half, half + 1)
    return np.sinc(place / slower) * np.kaiser(2 * half + 1, 8.0) / slower
