"""Golden windows: recorded input, cut as a device cuts it, or a stand-in that says it is one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import signal

from bioxedge import units
from bioxedge.datasets import simulated
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.windowed import stream_of, window_of
from bioxedge.errors import ExportError, SignalError
from bioxedge.goldenfile import golden_classic
from bioxedge.recipes import Side
from bioxedge.signals import Channel, Chunk, Recording, Samples
from bioxedge.spec import FeaturesSpec
from bioxedge.wearer import Scale, beside
from bioxedge.windows import WindowStream, samples_needed

PIECES, WINDOWS_PER_PIECE = 6, 3
WEARERS = 2
"""Pieces of a stand-in."""

# Band in Hz and size in microvolts of the noise that stands in for a signal.
_BANDS = {"eeg": (0.5, 40.0, 20.0), "emg": (20.0, 450.0, 100.0), "eog": (0.1, 10.0, 100.0)}

Cuts = tuple[Samples, npt.NDArray[np.float32]]
"""float64 [pieces, channels, n] as worn, and the float32 [windows, channels, length] in them."""


def golden_signal(side: Side, worn: Iterable[Recording], whose: str) -> Cuts:
    """Take a short stretch of each recording, and cut it as the device does.

    Parameters
    ----------
    side : Side
        The source.
    worn : iterable of Recording
        As worn; read until there are enough pieces.
    whose : str
        Names them in an error.

    Raises
    ------
    ExportError
        None has an unbroken stretch that is long enough.
    """
    about, stream, window = side.sensor.input, stream_of(side), window_of(side)
    needed = samples_needed(about, stream, window, windows=WINDOWS_PER_PIECE)
    pieces: list[Samples] = []
    cuts: list[npt.NDArray[np.float32]] = []
    for recording in worn:
        start = _unbroken(recording.samples, needed)
        if start is None:
            continue
        piece = recording.samples[:, start : start + needed]
        found = WindowStream(about, stream, window).push(Chunk(piece, 0, about.rate))
        pieces.append(piece)
        cuts.extend(one.samples for one in found)
        if len(pieces) == PIECES:
            break
    if not pieces:
        raise ExportError(
            f"no recording of {whose} has an unbroken stretch of {WINDOWS_PER_PIECE} windows "
            f"({needed / about.rate:.1f} s) to prove the export with; nothing was written"
        )
    return np.stack(pieces), np.stack(cuts)


def usual_scale(features: FeaturesSpec, pairs: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Give the middle of what a baseline was over windows of pair people: nobody's own.

    Parameters
    ----------
    features : FeaturesSpec
    pairs : ndarray of float32, shape [n, numbers]
        What stood beside their windows.

    Returns
    -------
    tuple of float
        Means, then inverse deviations; empty without a baseline.
    """
    if features.baseline is None:
        return ()
    middle = np.median(pairs[:, len(features.classic) :], axis=0)
    return tuple(middle.tolist())


def golden_beside(
    cuts: Cuts, side: Side, features: FeaturesSpec, usual: tuple[float, ...]
) -> npt.NDArray[np.float32]:
    """Lay out what the graph takes beside golden windows.

    Parameters
    ----------
    cuts : Cuts
        What :func:`golden_signal` gave.
    side : Side
        The source.
    features : FeaturesSpec
    usual : tuple of float
        What :func:`usual_scale` gave.

    Returns
    -------
    ndarray of float32, shape [windows, numbers]
    """
    scale = Scale(*np.split(np.array(usual, np.float32), 2)) if usual else None
    rows = golden_classic(cuts[0], side.sensor.input, stream_of(side), window_of(side), features)
    return np.stack([beside(features, row, scale) for row in rows])


def stretches(worn: Recording, side: Side) -> list[Recording]:
    """Part one long recording, so that golden pieces come from all of it."""
    needed = samples_needed(
        side.sensor.input, stream_of(side), window_of(side), windows=WINDOWS_PER_PIECE
    )
    total = worn.samples.shape[1]
    count = max(1, min(PIECES, total // needed))
    edges = np.linspace(0, total, count + 1).astype(int)
    parts = [worn.samples[:, a:b] for a, b in pairwise(edges)]
    if not any(_unbroken(part, needed) is not None for part in parts):
        parts = [worn.samples]  # gaps: the one unbroken stretch may lie across an edge
    return [Recording(part, worn.rate, worn.channels, worn.modality, worn.person) for part in parts]


def stand_in(side: Side, seed: int) -> tuple[list[Recording], str]:
    """Simulate what the sensor might give, where no recording is at hand.

    PPG and ECG are those of simulated wearers; anything else is noise in the signal's band.

    Returns
    -------
    list of Recording
        As worn.
    str
        What they are, in words.
    """
    sensor = side.sensor
    needed = samples_needed(sensor.input, stream_of(side), window_of(side), windows=3)
    seconds = 1.1 * needed / sensor.rate
    if sensor.modality in ("ppg", "ecg"):
        pairs = simulated.wearers(
            count=WEARERS,
            seed=seed,
            minutes=max(simulated.SHORTEST, seconds / 60),
            ecg_rate=sensor.rate,
            ppg_rate=sensor.rate,
        )
        sides = (pair.source if sensor.modality == "ppg" else pair.target for pair in pairs)
        rows = [_filled(side.samples[0]) for side in sides if side is not None]
        rng = np.random.default_rng(seed)
        made = [np.outer(rng.uniform(0.5, 1.0, len(sensor.columns)), row) for row in rows]
        words = f"simulated {sensor.modality.upper()}"
    else:
        made = [_noise(side, seconds, np.random.default_rng([seed, k])) for k in range(WEARERS)]
        words = f"band-limited noise in place of {sensor.modality.upper()}"
    # A simulated heart gives millivolts, whatever the sensor counts in; noise is in its unit.
    given = ("mV",) * len(sensor.columns) if sensor.modality == "ecg" else sensor.units
    channels = tuple(Channel(name, unit) for name, unit in zip(sensor.columns, given, strict=True))
    return [
        worn_of(
            Recording(samples, sensor.rate, channels, sensor.modality, f"simulated-{k + 1:02d}"),
            sensor,
        )
        for k, samples in enumerate(made)
    ], words


def _noise(side: Side, seconds: float, rng: np.random.Generator) -> Samples:
    """Draw noise whose power falls with frequency, in the band of a kind of signal."""
    sensor = side.sensor
    low, high, size = _BANDS.get(sensor.modality, (0.05, 1.0, 1.0))
    sizes = [size * _of_a_microvolt(unit) for unit in sensor.units]
    high = min(high, 0.45 * sensor.rate)
    count = round(seconds * sensor.rate)
    sections = signal.butter(
        2, (min(low, high / 4), high), "bandpass", fs=sensor.rate, output="sos"
    )
    white = rng.normal(size=(len(sensor.columns), count))
    shaped = signal.sosfilt(sections, np.cumsum(white, axis=1) + white, axis=1)
    # Activity comes and goes, as it does in a body: windows are to differ.
    swell = 1 + 0.8 * np.sin(2 * np.pi * np.arange(count) / count * 3 + rng.uniform(0, 6))
    found: Samples = np.array(sizes)[:, None] * shaped / shaped.std() * swell
    return found


def _of_a_microvolt(unit: str) -> float:
    """Say what a microvolt is in a unit; 1 where it is none of voltage."""
    try:
        return units.factor("uV", unit)
    except SignalError:
        return 1.0


def _filled(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Draw a line over what a packet lost: a stand-in proves the export, not how gaps are met."""
    index, real = np.arange(samples.size), np.isfinite(samples)
    return np.interp(index, index[real], samples[real])


def _unbroken(samples: Samples, needed: int) -> int | None:
    """Find the first run of real samples of that length, from the middle on."""
    real: npt.NDArray[np.bool_] = np.asarray(np.isfinite(samples).all(axis=0))
    starts: list[int] = [
        *range(len(real) // 2, len(real) - needed + 1, 64),
        *range(0, len(real) // 2, 64),
    ]
    for start in starts:
        if real[start : start + needed].all() and start + needed <= len(real):
            return start
    return None
