"""Recordings for the device's tests: a real one, and ones with gaps."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from bioxedge import spec
from bioxedge.dsp import ResampleStage
from bioxedge.signals import Channel, Recording

T0 = 1_700_000_000.25


def recorded(samples: np.ndarray, *, rate: float = 64.0, t0: float = T0) -> Recording:
    """Give samples [channels, n] as a Muse 2's PPG (``ppg_2`` first) would be recorded."""
    names = ("ppg_2", "ppg_1", "ppg_3")[: len(samples)]
    return Recording(samples, rate, tuple(Channel(name) for name in names), "ppg", "p1", t0)


def real_ppg(shared: Path, record: str = "02", seconds: int = 180) -> Recording:
    """Give a BIDMC recording's PPG, resampled from 125 to 64 Hz with our own stage."""
    path = shared / "data" / "bidmc" / f"bidmc_{record}_Signals.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.reader(file)
        column = [name.strip() for name in next(reader)].index("PLETH")
        values = [float(row[column]) for row, _ in zip(reader, range(seconds * 125), strict=False)]
    stage = ResampleStage(spec.Resample(up=64, down=125))
    return recorded(stage.push(np.array(values)[None]))


def with_gaps(recording: Recording, *gaps: tuple[int, int]) -> Recording:
    """Give the recording with NaN in each ``[begin, end)``."""
    samples = recording.samples.copy()
    for begin, end in gaps:
        samples[:, begin:end] = np.nan
    return Recording(
        samples,
        recording.rate,
        recording.channels,
        recording.modality,
        recording.person,
        recording.t0,
    )
