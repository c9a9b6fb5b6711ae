"""What simulated people go through: phases of rest and of stress, and how a body follows them."""

from __future__ import annotations

import numpy as np

from bioxedge.simulated.physiology import Track, wander

LABELS = ("rest", "stress")
"""Classes in the order of their numbers in a reference's ``class`` channel."""

SHORTEST = 2.0
"""Fewest minutes of a recording: one phase of each class."""

TRANSITION = 30.0
"""Seconds after a change of phase that belong to no class: the body needs them to follow."""


def sample_times(duration: float, rate: float) -> Track:
    """Sample times of a recording, s."""
    return np.arange(max(2, round(duration * rate))) / rate


def phases_of(duration: float, *, first: int) -> list[tuple[float, float, int]]:
    """Start, end and class of each phase: an even number of them, near two minutes each."""
    count = 2 * max(1, round(duration / 240))
    edges = np.linspace(0, duration, count + 1).tolist()
    return [(edges[i], edges[i + 1], (first + i) % 2) for i in range(count)]


def classes_of(clock: Track, phases: list[tuple[float, float, int]]) -> Track:
    """Class of each second; NaN where any part of it is in a transition."""
    classes = np.full_like(clock, np.nan)
    for start, end, label in phases:
        settled = start + TRANSITION if start > 0 else start
        classes[(clock >= settled) & (clock + 1 <= end)] = label
    return classes


def arousal_of(
    seconds: Track, phases: list[tuple[float, float, int]], rng: np.random.Generator
) -> Track:
    """Draw the course of stress through the phases; its sizes are our judgement.

    It rises within 8–18 s, falls within 15–28 s, wears off during a phase, and is never still.
    """
    onset, recovery = rng.uniform(8, 18), rng.uniform(15, 28)
    weariness = rng.uniform(0, 0.35)
    restless = rng.uniform(0.06, 0.16)
    arousal = np.zeros_like(seconds)
    for start, end, label in phases:
        into = np.clip((seconds - start) / (end - start), 0, 1)
        wanted = label * (1 - weariness * into)
        ramp = np.clip((seconds - start) / (onset if label else recovery), 0, 1)
        weight = 0.5 - 0.5 * np.cos(np.pi * ramp) if start > 0 else 1.0
        arousal = arousal + weight * (wanted - arousal)
    arousal = arousal + restless * wander(seconds, low=0.005, high=0.05, rng=rng)
    return np.asarray(np.maximum(arousal, 0.0))
