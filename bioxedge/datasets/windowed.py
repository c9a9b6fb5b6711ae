"""Pairs cut into windows: the source as the device cuts it, the target at the same times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bioxedge import dsp, spec
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.pair import Pair
from bioxedge.errors import DatasetError
from bioxedge.recipes import Recipe, Sensor, Side, Task
from bioxedge.signals import Channel, Recording
from bioxedge.windows import cut, cut_at

_LARGEST = 1000  # a ratio of rates with greater terms is a slip, not a sensor


@dataclass(frozen=True)
class PairedWindows:
    """Simultaneous windows of both sensors.

    Attributes
    ----------
    source, target : ndarray of float32, shape [n, channels, samples]
    value : ndarray of float64, shape [n]
        The reference in each window; NaN where too little of it is known.
    person, session : ndarray of str, shape [n]
    start : ndarray of float64, shape [n]
        Where each window begins, in seconds on the pair's clock.
    """

    source: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    value: npt.NDArray[np.float64]
    person: npt.NDArray[np.str_]
    session: npt.NDArray[np.str_]
    start: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)


def stream_of(side: Side) -> spec.StreamSpec:
    """Describe a side's causal stages, warm-ups filled in."""
    stages = dsp.settle(side.stages, side.sensor.input)
    return spec.StreamSpec(stages=stages, max_gap=side.max_gap)


def window_of(side: Side) -> spec.WindowSpec:
    """Describe a side's windows."""
    return spec.WindowSpec(length=side.length, hop=side.hop, then=side.then)


def streamed_rate(side: Side) -> float:
    """Rate of a side's windows in Hz."""
    return dsp.Stages(side.stages, side.sensor.input).rate


def as_worn(recording: Recording, sensor: Sensor) -> Recording:
    """Turn a recording into what the recipe's sensor would have given.

    The named columns, under the live sensor's channel names, resampled to its rate where that
    differs. Missing samples stay missing, and so does whatever the resampler would have made
    of them.

    Raises
    ------
    SignalError
        A column that the recording does not have.
    DatasetError
        Rates whose ratio is not one of small whole numbers.
    """
    samples = recording.samples[recording.rows(sensor.columns)]
    t0 = recording.t0
    if recording.rate != sensor.rate:
        ratio = (Fraction(sensor.rate) / Fraction(recording.rate)).limit_denominator(_LARGEST)
        if (
            not math.isclose(float(ratio) * recording.rate, sensor.rate, rel_tol=1e-9)
            or max(ratio.numerator, ratio.denominator) > _LARGEST
        ):
            raise DatasetError(
                f"{recording.person}'s recording at {recording.rate:g} Hz cannot be brought to "
                f"the sensor's {sensor.rate:g} Hz: the ratio must be one of whole numbers up "
                f"to {_LARGEST}"
            )
        stage = dsp.ResampleStage(spec.Resample(up=ratio.numerator, down=ratio.denominator))
        samples = stage.push(samples)
        t0 += float(stage.position(0)) / recording.rate
    return Recording(
        samples=samples,
        rate=sensor.rate,
        channels=tuple(Channel(name, sensor.unit) for name in sensor.channels),
        modality=sensor.modality,
        person=recording.person,
        t0=t0,
    )


def windowed(pairs: Sequence[Pair], recipe: Recipe) -> PairedWindows:
    """Cut every pair.

    Raises
    ------
    DatasetError
        Recordings too short for a single window of both sensors.
    """
    found = [_of_pair(pair, recipe) for pair in pairs]
    if not sum(len(windows) for windows in found):
        raise DatasetError(
            f"no recording holds a whole window of both sensors ({recipe.source.length} and "
            f"{recipe.target.length} samples, settled): record longer or shorten the windows"
        )
    return PairedWindows(
        *(
            np.concatenate([getattr(windows, name) for windows in found if len(windows)])
            for name in PairedWindows.__dataclass_fields__
        )
    )


def _of_pair(pair: Pair, recipe: Recipe) -> PairedWindows:
    """Cut one pair."""
    source, target = recipe.source, recipe.target
    worn = as_worn(pair.source, source.sensor)
    cuts = cut(worn, source.sensor.input, stream_of(source), window_of(source))
    starts = [worn.t0 + float(window.start) / worn.rate for window in cuts]
    places, begin = Places(pair.source), np.array(starts, np.float64)
    others = cut_at(
        as_worn(pair.target, target.sensor),
        target.sensor.input,
        stream_of(target),
        window_of(target),
        places.on(pair.target, begin).tolist(),
    )
    seconds = float(cuts[0].end - cuts[0].start) / worn.rate if cuts else 0.0
    referred = begin if pair.reference is None else places.on(pair.reference, begin)
    both = [
        (window.samples, other, moment, place)
        for window, other, moment, place in zip(
            cuts, others, places.at(begin).tolist(), referred.tolist(), strict=True
        )
        if other is not None
    ]
    n = len(both)
    kept = np.array([moment for _, _, moment, _ in both], dtype=np.float64)
    known = np.array([place for _, _, _, place in both], dtype=np.float64)
    return PairedWindows(
        source=np.array([window for window, _, _, _ in both], dtype=np.float32),
        target=np.array([other for _, other, _, _ in both], dtype=np.float32),
        value=_values(pair.reference, recipe.task, known, seconds),
        person=np.full(n, pair.person),
        session=np.full(n, pair.name),
        start=kept,
    )


def _values(
    reference: Recording | None,
    task: Task,
    starts: npt.NDArray[np.float64],
    seconds: float,
) -> npt.NDArray[np.float64]:
    """Read the reference in each window: its mean, or the class that fills enough of it."""
    values = np.full(len(starts), np.nan)
    if reference is None:
        return values
    track = reference.samples[reference.rows((task.channel,))[0]]
    for number, start in enumerate(starts):
        first = math.ceil((start - reference.t0) * reference.rate)
        last = math.ceil((start + seconds - reference.t0) * reference.rate)
        inside = track[max(first, 0) : max(last, 0)]
        known = inside[np.isfinite(inside)]
        if len(known) == 0:
            continue
        wanted = task.coverage * (last - first)
        if task.rule == "bands" and len(known) >= wanted:
            values[number] = known.mean()
        elif task.rule == "classes":
            classes, counts = np.unique(known, return_counts=True)
            if counts.max() >= wanted:
                values[number] = classes[counts.argmax()]
    return values
