"""Simulated people at rest and under stress, wearing an ECG and a wrist PPG sensor.

For the demo and for tests: a whole pair of sensors without anybody's data. Nothing learned
here says anything about real people. Both sensors see one heart (:mod:`bioxedge.simulated`, which
names the sources). Across people the task is deliberately imperfect: one person's heart rate under
stress is another's at rest, some hardly respond, and people move at rest, too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bioxedge.datasets.pair import Pair
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError
from bioxedge.signals import Channel, Recording
from bioxedge.simulated.days import (
    LABELS,
    SHORTEST,
    TRANSITION,
    arousal_of,
    classes_of,
    phases_of,
    sample_times,
)
from bioxedge.simulated.physiology import GRID, MARGIN, Track, draw_body, live
from bioxedge.simulated.sensors import PACKET, record_ecg, record_ppg

__all__ = ["LABELS", "SHORTEST", "TRANSITION", "mishaps", "sessions", "wearers"]


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


def sessions(*, count: int, minutes: float, seed: int) -> list[Session]:
    """Simulate people, as :func:`wearers` does, as sessions of a data set."""
    return [
        Session(
            pair.name,
            pair.person,
            tuple(
                Part.of(name, recording)
                for name in ("source", "target", "reference")
                if (recording := getattr(pair, name)) is not None
            ),
        )
        for pair in wearers(count=count, minutes=minutes, seed=seed)
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
    first = round(dropped * rate) // PACKET * PACKET
    samples[:, first : first + PACKET] = np.nan
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
    phases = phases_of(duration, first=int(body_rng.integers(2)))
    seconds = np.arange(-MARGIN, duration + MARGIN, 1 / GRID)
    heart = live(body, seconds, arousal_of(seconds, phases, body_rng), body_rng)

    ecg, ecg_facts = record_ecg(heart, sample_times(duration, ecg_rate), ecg_rng)
    ppg, ppg_facts = record_ppg(heart, sample_times(duration, ppg_rate), ppg_rng)
    clock = np.arange(math.floor(duration), dtype=np.float64)
    known = np.stack([classes_of(clock, phases), heart.rate(clock + 0.5)])

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
