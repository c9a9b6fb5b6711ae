"""Simulated people at rest and under stress, wearing an ECG and a wrist PPG sensor.

For the demo and for tests: a whole pair of sensors without anybody's data. Nothing learned
here says anything about real people. Both sensors see one heart (:mod:`physiology
<bioxedge.datasets.physiology>`, which names the sources); this module adds who the people are,
what they go through, and what the sensors make of it.

The PPG has what spoils a wrist's: motion in its own frequency band, lost contact, lost packets.
A Muse 2 sends infrared light as whole counts, 64 a second, six to a packet; the offset, the
size of the pulse and every rate and size of a fault are our judgement. So is the pulse's sign:
blood volume points upwards; and a Muse is worn on the forehead, where people move less. Across
people the task is deliberately imperfect: one person's heart rate under stress is another's at
rest, some hardly respond, and people move at rest, too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.datasets.pair import Pair
from bioxedge.datasets.physiology import (
    GRID,
    MARGIN,
    Heart,
    Track,
    draw_body,
    electric_beats,
    live,
    pulse_beats,
    wander,
)
from bioxedge.errors import DatasetError
from bioxedge.signals import Channel, Recording

LABELS = ("rest", "stress")
"""Classes in the order of their numbers in a reference's ``class`` channel."""

SHORTEST = 2.0
"""Fewest minutes of a recording: one phase of each class."""

TRANSITION = 30.0
"""Seconds after a change of phase that belong to no class: the body needs them to follow."""

_PACKET = 6
"""Samples in one of the PPG sensor's packets."""

_Spans = list[list[float]]


def wearers(
    *,
    count: int = 12,
    seed: int = 0,
    minutes: float = 8.0,
    ecg_rate: float = 250.0,
    ppg_rate: float = 64.0,
) -> list[Pair]:
    """Simulate people who wear both sensors.

    Parameters
    ----------
    count : int
        How many. Person k is the same person whatever their number.
    seed : int
        Which people; not negative.
    minutes : float
        Length of each recording. Phases of rest and of stress, of about two minutes and equally
        many, alternate; a coin decides which comes first.
    ecg_rate, ppg_rate : float
        Sampling rates in Hz. The heart beats the same whatever they are.

    Returns
    -------
    list of Pair
        ``wearer-01`` and so on. The source is PPG (``ppg_2`` in ``a.u.``, NaN where a packet was
        lost), the target ECG (``II`` in ``mV``), the reference at 1 Hz has ``class`` (the number
        of a label in ``LABELS``; NaN in transitions) and ``HR`` (true heart rate, bpm). What was
        drawn stands in each recording's ``facts``, with the seconds of every fault in the PPG.

    Raises
    ------
    DatasetError
        No people, a negative seed, less than two minutes, or a rate that is not positive.
    """
    if count < 1:
        raise DatasetError(f"count is {count}: ask for at least 1 wearer")
    if seed < 0:
        raise DatasetError(f"seed is {seed}: give one that is 0 or more")
    if not (math.isfinite(minutes) and minutes >= SHORTEST):
        raise DatasetError(
            f"minutes is {minutes}: ask for at least {SHORTEST:g}, one phase of rest and one of "
            "stress"
        )
    for name, rate in (("ecg_rate", ecg_rate), ("ppg_rate", ppg_rate)):
        if not (math.isfinite(rate) and rate > 0):
            raise DatasetError(f"{name} is {rate} Hz: give one that is positive")
    return [
        _wearer(number, seed=seed, minutes=minutes, ecg_rate=ecg_rate, ppg_rate=ppg_rate)
        for number in range(1, count + 1)
    ]


def mishaps(
    recording: Recording, *, off: tuple[float, float], dropped: float, seed: int = 0
) -> Recording:
    """Let a wearer take the band off for a while, and a packet of the PPG get lost.

    Parameters
    ----------
    recording : Recording
        A PPG in whole counts, as :func:`wearers` gives it.
    off : tuple of float
        Seconds from which and until which the sensor lies on the table: what is left is stray
        light, a small part of the level and a few counts of noise.
    dropped : float
        Seconds at which one packet of six samples does not arrive.
    seed : int

    Returns
    -------
    Recording
        The same otherwise; both mishaps stand in its ``facts``.
    """
    samples, rate = recording.samples.copy(), recording.rate
    begin, end = (round(second * rate) for second in off)
    stray = 0.05 * float(np.nanmedian(samples))
    rng = np.random.default_rng(seed)
    samples[:, begin:end] = np.rint(stray + rng.normal(0, 2, (samples.shape[0], end - begin)))
    first = round(dropped * rate) // _PACKET * _PACKET
    samples[:, first : first + _PACKET] = np.nan
    facts = {**recording.facts, "off": list(off), "dropped": first / rate}
    return replace(recording, samples=samples, facts=facts)


def _wearer(number: int, *, seed: int, minutes: float, ecg_rate: float, ppg_rate: float) -> Pair:
    """Simulate one person."""
    name = f"wearer-{number:02d}"
    # Separate streams, so that nothing a sensor draws can move a heartbeat.
    body_rng, ecg_rng, ppg_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence([seed, number]).spawn(3)
    )
    duration = minutes * 60
    body = draw_body(body_rng)
    phases = _phases(duration, first=int(body_rng.integers(2)))
    seconds = np.arange(-MARGIN, duration + MARGIN, 1 / GRID)
    heart = live(body, seconds, _arousal(seconds, phases, body_rng), body_rng)

    ecg, ecg_facts = _ecg(heart, _times(duration, ecg_rate), ecg_rng)
    ppg, ppg_facts = _ppg(heart, _times(duration, ppg_rate), ppg_rng)
    clock = np.arange(math.floor(duration), dtype=np.float64)
    known = np.stack([_classes(clock, phases), heart.rate(clock + 0.5)])

    def recording(
        samples: Track, rate: float, modality: str, channels: tuple[Channel, ...], **facts: Any
    ) -> Recording:
        who = {"simulated": True, "seed": seed, "wearer": number, "body": asdict(body)}
        return Recording(np.atleast_2d(samples), rate, channels, modality, name, 0.0, who | facts)

    return Pair(
        name,
        source=recording(ppg, ppg_rate, "ppg", (Channel("ppg_2", "a.u."),), **ppg_facts),
        target=recording(ecg, ecg_rate, "ecg", (Channel("II", "mV"),), **ecg_facts),
        reference=recording(
            known,
            1.0,
            "reference",
            (Channel("class", "1"), Channel("HR", "bpm")),
            phases=[{"start": a, "end": b, "label": LABELS[label]} for a, b, label in phases],
        ),
    )


def _times(duration: float, rate: float) -> Track:
    """Sample times of a recording, s."""
    return np.arange(max(2, round(duration * rate))) / rate


def _phases(duration: float, *, first: int) -> list[tuple[float, float, int]]:
    """Start, end and class of each phase: an even number of them, near two minutes each."""
    count = 2 * max(1, round(duration / 240))
    edges = np.linspace(0, duration, count + 1).tolist()
    return [(edges[i], edges[i + 1], (first + i) % 2) for i in range(count)]


def _classes(clock: Track, phases: list[tuple[float, float, int]]) -> Track:
    """Class of each second; NaN where any part of it is in a transition."""
    classes = np.full_like(clock, np.nan)
    for start, end, label in phases:
        settled = start + TRANSITION if start > 0 else start
        classes[(clock >= settled) & (clock + 1 <= end)] = label
    return classes


def _arousal(
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


def _ecg(heart: Heart, times: Track, rng: np.random.Generator) -> tuple[Track, dict[str, Any]]:
    """Record a clean ECG in mV, and what was drawn for it."""
    facts: dict[str, Any] = {
        "r_height": rng.uniform(0.7, 1.6),
        "waves": rng.uniform([0.4, 0.5, 1.0, 0.4, 0.5], [0.9, 1.5, 1.0, 1.6, 1.1]).tolist(),
        "breathing": rng.uniform(0.02, 0.08),
        "wander": rng.uniform(0.02, 0.06),
        "noise": rng.uniform(0.005, 0.015),
    }
    beats = electric_beats(heart, times, shape=np.asarray(facts["waves"]))
    swing = heart.at(heart.breath, times)
    baseline = wander(heart.seconds, low=0.02, high=0.3, rng=rng)
    samples = facts["r_height"] * beats * (1 + facts["breathing"] * swing)
    samples += facts["wander"] * (heart.at(baseline, times) + 0.7 * swing)
    return samples + rng.normal(0, facts["noise"], times.size), facts


def _ppg(heart: Heart, times: Track, rng: np.random.Generator) -> tuple[Track, dict[str, Any]]:
    """Record what a wrist gives in whole counts, and what was drawn for it."""
    offset = rng.uniform(20_000, 60_000)
    facts: dict[str, Any] = {
        "offset": offset,
        "pulse": offset * rng.uniform(0.007, 0.014),
        "rise": rng.uniform(0.13, 0.19),
        "width": rng.uniform(0.42, 0.55),
        "notch": rng.uniform(0.22, 0.29),
        "dicrotic": rng.uniform(0.15, 0.4),
        "breathing": rng.uniform(0.1, 0.35),
        "wander": rng.uniform(0.3, 0.8),
        "noise": rng.uniform(0.01, 0.035),
        "fidgeting": rng.uniform(0.6, 1.5),
    }
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
    runs = _PACKET * rng.integers(1, 6, 1 + int(times[-1] / 60 * rng.uniform(0.3, 0.9)))
    places = rng.random(runs.size)
    runs = runs[np.cumsum(runs) <= 0.004 * times.size]
    firsts: npt.NDArray[np.int64] = np.sort(
        _PACKET * (places[: runs.size] * (times.size // _PACKET)).astype(np.int64)
    )
    return [
        (int(first), int(min(first + run, times.size)))
        for first, run in zip(firsts, runs, strict=True)
    ]
