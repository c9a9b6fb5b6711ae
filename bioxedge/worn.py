"""A recording as the live sensor would have given it: its channels, units and rate.

What is trained on and what is replayed come through here, so that both are the same to the bit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from bioxedge import dsp, spec, units
from bioxedge.errors import SignalError
from bioxedge.signals import Channel, Recording, Samples
from bioxedge.windows import rows_of

_LARGEST = 1000  # a ratio of rates with greater terms is a slip, not a sensor
_UNSAID = ("", "any", "unknown")
_BLOCK = 1 << 14  # samples that are resampled at once


def as_worn(
    recording: Recording,
    columns: Sequence[str],
    channels: Sequence[Channel],
    rate: float,
    modality: str,
) -> Recording:
    """Turn a recording into what a sensor would have given.

    The named columns, under the live sensor's names and in its units, resampled to its rate where
    that differs. Missing samples stay missing, and so does whatever the resampler would have made
    of them.

    Parameters
    ----------
    recording : Recording
    columns : sequence of str
        The recording's channels, in the live sensor's order.
    channels : sequence of Channel
        The live sensor's, one for each column.
    rate : float
        The live sensor's, in Hz.
    modality : str

    Returns
    -------
    Recording
        On the same clock.

    Raises
    ------
    SignalError
        A column that the recording does not have, another modality, a unit that cannot be brought
        to the sensor's, or rates whose ratio is not one of small whole numbers.
    """
    whose = f"{recording.person}'s recording"
    if recording.modality not in (*_UNSAID, modality) and modality not in _UNSAID:
        raise SignalError(
            f"{whose} is {recording.modality.upper()}, the sensor gives {modality.upper()}: name "
            "another stream or another recording"
        )
    rows = recording.rows(tuple(columns))
    samples = rows_of(recording.samples, rows)
    gains = np.ones((len(rows), 1))
    for number, (row, channel) in enumerate(zip(rows, channels, strict=True)):
        found = recording.channels[row]
        try:
            gains[number] = units.factor(found.unit, channel.unit)
        except SignalError as error:
            raise SignalError(f"{found.name} of {whose}: {error}") from error
    if (gains != 1.0).any():
        samples = samples * gains
    t0 = recording.t0
    if recording.rate != rate:
        stage = dsp.ResampleStage(_ratio(recording.rate, rate, whose))
        t0 += float(stage.position(0)) / recording.rate
        samples = _through(stage, samples)
    return Recording(
        samples=np.ascontiguousarray(samples),
        rate=rate,
        channels=tuple(channels),
        modality=modality,
        person=recording.person,
        t0=t0,
    )


def changes(
    recording: Recording,
    columns: Sequence[str],
    channels: Sequence[Channel],
    rate: float,
) -> list[str]:
    """Say in words what :func:`as_worn` changes of a recording; nothing where all fits."""
    said = []
    if recording.rate != rate:
        said.append(f"{recording.rate:g} Hz brought to {rate:g} Hz")
    for row, channel in zip(recording.rows(tuple(columns)), channels, strict=True):
        found = recording.channels[row]
        if found.name != channel.name:
            said.append(f"{found.name} taken as {channel.name}")
        if units.factor(found.unit, channel.unit) != 1.0:
            said.append(f"{found.name} brought from {found.unit} to {channel.unit}")
    return said


def _through(stage: dsp.ResampleStage, samples: Samples) -> Samples:
    """Push all samples through a stage, a block at a time: a night at once takes several nights."""
    pieces = deque(
        stage.push(samples[:, first : first + _BLOCK])
        for first in range(0, max(samples.shape[1], 1), _BLOCK)
    )
    out = np.empty((len(samples), sum(piece.shape[1] for piece in pieces)))
    at = 0
    while pieces:
        piece = pieces.popleft()
        out[:, at : at + piece.shape[1]] = piece
        at += piece.shape[1]
    return out


def _ratio(found: float, wanted: float, whose: str) -> spec.Resample:
    """Give the whole numbers that bring one rate to another."""
    ratio = (Fraction(wanted) / Fraction(found)).limit_denominator(_LARGEST)
    if (
        not math.isclose(float(ratio) * found, wanted, rel_tol=1e-9)
        or max(ratio.numerator, ratio.denominator) > _LARGEST
    ):
        raise SignalError(
            f"{whose} at {found:g} Hz cannot be brought to "
            f"the sensor's {wanted:g} Hz: the ratio must be one of whole numbers up "
            f"to {_LARGEST}"
        )
    return spec.Resample(up=ratio.numerator, down=ratio.denominator)
