"""What an ECG and a wrist's PPG sensor make of one simulated heart.

The PPG has what spoils a wrist's: motion in its own frequency band, lost contact, lost packets.
A Muse 2 sends infrared light as whole counts, 64 a second, six to a packet; the offset, the
size of the pulse and every rate and size of a fault are our judgement. So is the pulse's sign:
blood volume points upwards; and a Muse is worn on the forehead, where people move less.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.simulated.physiology import (
    MARGIN,
    Heart,
    Track,
    electric_beats,
    pulse_beats,
    wander,
)

PACKET = 6
"""Samples in one of the PPG sensor's packets."""

_Spans = list[list[float]]


def record_ecg(
    heart: Heart,
    times: Track,
    own: np.random.Generator,
    rng: np.random.Generator | None = None,
) -> tuple[Track, dict[str, Any]]:
    """Record a clean ECG in mV, and what was drawn for it.

    Parameters
    ----------
    heart : Heart
    times : ndarray, shape [n]
        Evenly spaced sample times from 0, s.
    own, rng : numpy.random.Generator
        Of what is this person's, and of what happens; one for both where the second is left out.
    """
    facts: dict[str, Any] = {
        "r_height": own.uniform(0.7, 1.6),
        "waves": own.uniform([0.4, 0.5, 1.0, 0.4, 0.5], [0.9, 1.5, 1.0, 1.6, 1.1]).tolist(),
        "breathing": own.uniform(0.02, 0.08),
        "wander": own.uniform(0.02, 0.06),
        "noise": own.uniform(0.005, 0.015),
    }
    rng = own if rng is None else rng
    beats = electric_beats(heart, times, shape=np.asarray(facts["waves"]))
    swing = heart.at(heart.breath, times)
    baseline = wander(heart.seconds, low=0.02, high=0.3, rng=rng)
    samples = facts["r_height"] * beats * (1 + facts["breathing"] * swing)
    samples += facts["wander"] * (heart.at(baseline, times) + 0.7 * swing)
    return samples + rng.normal(0, facts["noise"], times.size), facts


def record_ppg(
    heart: Heart,
    times: Track,
    own: np.random.Generator,
    rng: np.random.Generator | None = None,
) -> tuple[Track, dict[str, Any]]:
    """Record what a wrist gives in whole counts, and what was drawn for it.

    Parameters
    ----------
    heart, times, own, rng
        See :func:`record_ecg`.
    """
    offset = own.uniform(20_000, 60_000)
    facts: dict[str, Any] = {
        "offset": offset,
        "pulse": offset * own.uniform(0.007, 0.014),
        "rise": own.uniform(0.13, 0.19),
        "width": own.uniform(0.42, 0.55),
        "notch": own.uniform(0.22, 0.29),
        "dicrotic": own.uniform(0.15, 0.4),
        "breathing": own.uniform(0.1, 0.35),
        "wander": own.uniform(0.3, 0.8),
        "noise": own.uniform(0.01, 0.035),
        "fidgeting": own.uniform(0.6, 1.5),
    }
    rng = own if rng is None else rng
    shape = {key: facts[key] for key in ("rise", "width", "notch", "dicrotic")}
    samples = pulse_beats(heart, times, **shape)
    samples += facts["breathing"] * heart.at(heart.breath, times)
    baseline = wander(heart.seconds, low=0.01, high=0.2, rng=rng)
    samples += facts["wander"] * heart.at(baseline, times)

    moved = _spans(heart, 0.75, 1.05, (1.5, 6.0), rng, scale=facts["fidgeting"])
    for start, end in moved:
        _move(samples, times, start, end, rng)
    apart = _spans(heart, 0.15, 0.15, (2.0, 7.0), rng)
    dark = [(0.02 + 0.08 * rng.random()) * offset for _ in apart]
    # Noise of each sample comes last: its length depends on the rate, what is above must not.
    lost = _lost_packets(times, rng)
    noise = rng.normal(0, facts["noise"], times.size)
    counts = offset + facts["pulse"] * (samples + noise)
    for (start, end), level in zip(apart, dark, strict=True):
        gone = (times >= start) & (times < end)
        counts[gone] = level + 0.1 * facts["pulse"] * noise[gone]
    counts = np.rint(counts)
    for first, end in lost:
        counts[first:end] = np.nan
    step = times[1] - times[0]
    missing = [[float(first * step), float(end * step)] for first, end in lost]
    return counts, facts | {"motion": moved, "lost_contact": apart, "missing": missing}


def _spans(
    heart: Heart,
    at_rest: float,
    in_stress: float,
    lengths: tuple[float, float],
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
) -> _Spans:
    """Draw when something happens so many times a minute, as seconds from start to end."""
    duration = heart.seconds[-1] - MARGIN
    most = max(at_rest, in_stress)
    starts = np.sort(rng.uniform(0, duration, rng.poisson(scale * most * duration / 60)))
    calm = 1 - np.clip(heart.at(heart.arousal, starts), 0, 1)
    likely = (in_stress + (at_rest - in_stress) * calm) / most
    kept = starts[rng.random(starts.size) < likely]
    ends = np.minimum(kept + rng.uniform(*lengths, kept.size), duration)
    return [[float(start), float(end)] for start, end in zip(kept, ends, strict=True)]


def _move(samples: Track, times: Track, start: float, end: float, rng: np.random.Generator) -> None:
    """Add one burst of motion in place: 0.6–5 Hz, as the pulse itself, and a slow heave."""
    size = math.exp(rng.uniform(math.log(0.7), math.log(6.0)))
    frequencies, phases = rng.uniform(0.6, 5.0, 5), rng.uniform(0, 2 * np.pi, 5)
    heave = rng.uniform(-1.0, 1.0)
    within = slice(*np.searchsorted(times, [start, end]))
    since = times[within] - start
    envelope = np.sin(np.pi * np.clip(since / (end - start), 0, 1)) ** 0.5
    burst = np.sin(2 * np.pi * frequencies[:, None] * since + phases[:, None]).sum(axis=0)
    samples[within] += size * envelope * (burst / np.sqrt(2.5) + heave * envelope**3)


def _lost_packets(times: Track, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw which samples never arrive: runs of one to five packets, 0.4 % of all at most."""
    runs = PACKET * rng.integers(1, 6, 1 + int(times[-1] / 60 * rng.uniform(0.3, 0.9)))
    places = rng.random(runs.size)
    runs = runs[np.cumsum(runs) <= 0.004 * times.size]
    firsts: npt.NDArray[np.int64] = np.sort(
        PACKET * (places[: runs.size] * (times.size // PACKET)).astype(np.int64)
    )
    return [
        (int(first), int(min(first + run, times.size)))
        for first, run in zip(firsts, runs, strict=True)
    ]
