"""What the judge is tried on: real recordings of four sets, faults to put in, windows bad already.

Used by ``quality.py`` beside it. Wants the ``[data]`` extra for EDF and WFDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from bioxedge import spec
from bioxedge.datasets import bidmc
from bioxedge.signals import Channel, Recording, Samples

Rng = np.random.Generator


@dataclass(frozen=True)
class Set:
    """Recordings of one sensor, and the windows they are judged in (one after the other)."""

    name: str
    recordings: tuple[Recording, ...]
    seconds: float

    @property
    def source(self) -> spec.Input:
        """The sensor as a manifest describes it."""
        one = self.recordings[0]
        channels = tuple(spec.ChannelSpec(name=c.name, unit=c.unit) for c in one.channels)
        return spec.Input(modality=one.modality, channels=channels, rate=one.rate)

    @property
    def window(self) -> spec.WindowSpec:
        """Windows side by side."""
        length = round(self.seconds * self.recordings[0].rate)
        return spec.WindowSpec(length=length, hop=length)


# -- the recordings -----------------------------------------------------------------------


def read_bidmc(data: Path) -> Iterator[Set]:
    """BIDMC: fingertip PPG and ECG II of intensive-care patients, 125 Hz."""
    pairs = bidmc.load(data / "bidmc")
    yield Set("BIDMC PPG", tuple(pair.source for pair in pairs), 10)
    yield Set("BIDMC ECG", tuple(pair.target for pair in pairs), 10)


def read_stress_predict(data: Path) -> Iterator[Set]:
    """Stress-Predict: an Empatica E4 on the wrist, an hour each."""
    for file, modality, unit, seconds in (("BVP", "ppg", "a.u.", 10), ("EDA", "eda", "uS", 60)):
        found = []
        for folder in sorted((data / "stress_predict").glob("S*")):
            column = np.loadtxt(folder / f"{file}.csv", delimiter=",")
            found.append(
                Recording(
                    column[2:][None], float(column[1]), (Channel(file, unit),), modality,
                    folder.name, float(column[0]),
                )
            )  # fmt: skip
        yield Set(f"Stress-Predict {'PPG' if modality == 'ppg' else 'EDA'}", tuple(found), seconds)


def read_eegmat(data: Path) -> Iterator[Set]:
    """EEG During Mental Arithmetic: 19 EEG channels and an ECG, 500 Hz."""
    import edfio

    eeg, ecg = [], []
    for path in sorted((data / "eegmat").glob("*.edf")):
        signals = edfio.read_edf(path).signals
        person = path.stem.split("_")[0]
        for found, kind, unit in ((eeg, "EEG", "uV"), (ecg, "ECG", "mV")):
            chosen = [s for s in signals if s.label.startswith(kind) and "A2" not in s.label]
            channels = tuple(Channel(s.label.split()[-1], unit) for s in chosen)
            samples = np.stack([s.data for s in chosen]).astype(np.float64)
            found.append(Recording(samples, 500.0, channels, kind.lower(), person))
    yield Set("eegmat EEG", tuple(eeg), 10)
    yield Set("eegmat ECG", tuple(ecg), 10)


def read_challenge(data: Path) -> Iterator[Set]:
    """Challenge 2015: ECG lead and PPG around alarms, 250 Hz, field quality."""
    import wfdb

    kinds = {"ecg": ("II", "mV"), "ppg": ("PLETH", "a.u.")}
    found: dict[str, list[Recording]] = {kind: [] for kind in kinds}
    for path in sorted((data / "challenge2015").glob("*.hea")):
        record = wfdb.rdrecord(str(path.with_suffix("")))
        for kind, (name, unit) in kinds.items():
            if name in record.sig_name:
                row = record.sig_name.index(name)
                samples = np.ascontiguousarray(record.p_signal[:, row])[None]
                facts = {"step": 1 / record.adc_gain[row]}
                channels = (Channel(name, unit),)
                one = Recording(samples, 250.0, channels, kind, path.stem, 0.0, facts)
                found[kind].append(one)
    for kind, recordings in found.items():
        yield Set(f"Challenge 2015 {kind.upper()}", tuple(recordings), 10)


# -- faults, each put into one channel of a good window -------------------------------------


@dataclass(frozen=True)
class Typical:
    """What a channel of a recording usually is: the sizes that faults are made in.

    ``size`` is the median over windows of the standard deviation (the whole set's median where
    that is more: a bad sensor is not quieter on a quiet person), ``step`` the smallest
    difference between two values, ``rail`` the converter's end (one that boards have).
    """

    size: float
    step: float
    rail: float
    rate: float


def _walk(n: int, rng: Rng) -> Samples:
    """Draw a random walk of range 1."""
    walk = np.cumsum(rng.standard_normal(n))
    return (walk - walk.mean()) / (np.ptp(walk) or 1.0)


def _drift(n: int, rate: float, rng: Rng) -> Samples:
    """Draw a smooth drift of range 1: a turn every few seconds, or every tenth of the window."""
    knots = max(n // round(max(5 * rate, n / 10)), 1) + 3
    at = np.linspace(1, knots - 2, n)
    drift = CubicSpline(np.arange(knots), np.cumsum(rng.standard_normal(knots)))(at)
    return (drift - drift.mean()) / (np.ptp(drift) or 1.0)


def _noisy(decibel: float) -> Callable[[Samples, Typical, Rng], Samples]:
    """Add white noise at a ratio to the window's own power, or the channel's if that is more."""

    def add(x: Samples, t: Typical, rng: Rng) -> Samples:
        size = max(t.size, float(np.nanstd(x)))
        return x + rng.standard_normal(len(x)) * size * 10 ** (-decibel / 20)

    return add


def _clipped(share: float) -> Callable[[Samples, Typical, Rng], Samples]:
    """Cut off so that this share of the window stands at the rail, above or below."""

    def clip(x: Samples, t: Typical, rng: Rng) -> Samples:
        if rng.random() < 0.5:
            return np.minimum(x, np.quantile(x, 1 - share))
        return np.maximum(x, np.quantile(x, share))

    return clip


def _hum(x: Samples, t: Typical, rng: Rng) -> Samples:
    """Electrode off: mains of 1 to 20 times the signal, drift of as much, amplifier noise."""
    time = np.arange(len(x)) / t.rate
    hertz = rng.choice([50.0, 60.0]) + rng.uniform(-0.1, 0.1)
    level = t.size * 10 ** rng.uniform(0, 1.3)
    wave = np.sin(2 * np.pi * hertz * time + rng.uniform(0, 2 * np.pi))
    return level * (np.sqrt(2) * wave + 3 * _walk(len(x), rng)) + 0.05 * t.size * (
        rng.standard_normal(len(x))
    )


def _off(x: Samples, t: Typical, rng: Rng) -> Samples:
    """Sensor off: white noise of a fiftieth of the signal (a step at least), around 0."""
    return rng.standard_normal(len(x)) * max(t.size / 50, t.step)


def _swinging(x: Samples, t: Typical, rng: Rng) -> Samples:
    """Driven from rail to rail by the mains."""
    time = np.arange(len(x)) / t.rate
    return np.clip(50 * np.sin(2 * np.pi * 50.03 * time + rng.uniform(0, 6)), -1, 1) * t.rail


FAULTS: dict[str, Callable[[Samples, Typical, Rng], Samples]] = {
    "flat (its own median)": lambda x, t, rng: np.full_like(x, np.median(x)),
    "constant 0": lambda x, t, rng: np.zeros_like(x),
    "constant at the rail": lambda x, t, rng: np.full_like(x, t.rail),
    "flat for 60 % of it": lambda x, t, rng: np.r_[
        x[: len(x) * 2 // 5], np.full(len(x) - len(x) * 2 // 5, x[len(x) * 2 // 5])
    ],
    "clipped, 25 % at the rail": _clipped(0.25),
    "clipped, 50 % at the rail": _clipped(0.5),
    "rail to rail": _swinging,
    "electrode off: hum, drift": _hum,
    "electrode off: white noise": lambda x, t, rng: rng.standard_normal(len(x)) * t.size,
    "sensor off: small noise": _off,
    "sensor off: slow drift, small noise": lambda x, t, rng: (
        3 * t.size * _drift(len(x), t.rate, rng) + _off(x, t, rng)
    ),
    "random walk": lambda x, t, rng: 5 * t.size * _walk(len(x), rng),
    "noise, SNR 0 dB": _noisy(0),
    "noise, SNR -6 dB": _noisy(-6),
}
ELECTRIC = {"rail to rail", "electrode off: hum, drift"}  # no such thing on PPG and EDA here


def typical(recording: Recording, length: int, least: float = 0.0) -> list[Typical]:
    """Look up the sizes that faults are made in, channel by channel; ``least`` of any size."""
    rail = {"uV": 187500.0, "mV": 5.0, "uS": 100.0}.get(recording.channels[0].unit)
    found = []
    for x in recording.samples:
        whole = x[: len(x) // length * length].reshape(-1, length)
        step = np.unique(np.abs(np.diff(x[np.isfinite(x)])))
        size = float(np.nanmedian(np.nanstd(whole, axis=1)))
        smallest = float(step[step > 1e-9 * size][0])
        top = float(np.nanmax(np.abs(x))) if rail is None else rail
        found.append(Typical(max(size, least), smallest, top, recording.rate))
    return found


def spoiled(recording: Recording, length: int, fault: str, seed: int, least: float) -> Recording:
    """Put a fault into one channel of every window."""
    rng = np.random.default_rng([seed, list(FAULTS).index(fault)])
    samples = recording.samples.copy()
    sizes = typical(recording, length, least)
    for start in range(0, samples.shape[1] - length + 1, length):
        row = int(rng.integers(len(samples)))
        window = samples[row, start : start + length]
        bad = FAULTS[fault](window, sizes[row], rng)
        step = sizes[row].step
        samples[row, start : start + length] = np.round(bad / step) * step
    return replace(recording, samples=samples)


# -- Challenge 2015: bad by a criterion of its own --------------------------------------------


def bad_by(window: Samples, step: float, lowest: float, highest: float) -> str | None:
    """Say by what a window is bad, by other means than the judge's; nobody labelled these.

    ``gap``: half is missing. ``flat``: three seconds on end within two converter steps.
    ``saturated``: a fifth within half a percent of the recording's own highest or lowest value.
    """
    n, real = len(window), np.isfinite(window)
    if np.count_nonzero(~real) >= n / 2:
        return "gap"
    long = np.lib.stride_tricks.sliding_window_view(window[real], 3 * n // 10)[::25]
    if (np.ptp(long, axis=1) <= 2.001 * step).any():
        return "flat"
    near = 0.005 * (highest - lowest)
    ends = [window[real] >= highest - near, window[real] <= lowest + near]
    return "saturated" if max(end.sum() for end in ends) >= n / 5 else None
