"""What every channel looked like in training, for the manifest: measured by the live judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge import spec
from bioxedge.errors import DatasetError
from bioxedge.quality.judge import Judge, memory_for
from bioxedge.quality.measures import MEASURES
from bioxedge.signals import Recording
from bioxedge.windows import WindowStream, as_chunk

_ARBITRARY = {"a.u.", "au", "nu", "counts", "1"}
_CONTACT = 0.025  # µS


def expectations(
    recordings: Sequence[Recording],
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
) -> tuple[spec.Expect, ...]:
    """Measure the windows of training people, raw, as the device will.

    Parameters
    ----------
    recordings : sequence of Recording
        Of training people alone, as worn (:func:`bioxedge.datasets.windowed.as_worn`).
    source, stream, window : parts of a manifest

    Returns
    -------
    tuple of spec.Expect
        One for each channel of the input. Every person weighs the same. Windows that need no
        comparison to be seen as faulty are left out.

    Raises
    ------
    DatasetError
        No window of a channel is a signal.
    """
    found: dict[str, list[tuple[str, dict[str, float]]]] = {name: [] for name in source.names}
    samples = 1
    for recording in recordings:
        chunk = as_chunk(recording, source)
        judge = Judge(source, (), quality_of(source), memory=memory_for(source, stream, window))
        judge.push(chunk)
        for one in WindowStream(source, stream, window).push(chunk):
            verdict = judge.verdict(one.start, one.end)
            samples = max(samples, round(one.end - one.start))
            for channel in verdict.channels:
                if channel.fault is None:
                    found[channel.channel].append((recording.person, channel.measures))
    return tuple(_expect(name, samples, seen) for name, seen in found.items())


def quality_of(source: spec.Input) -> spec.QualitySpec:
    """Give the bounds that suit a modality and its units.

    Skin conductance is the one whose level tells contact: on a dry, cool skin it stays above
    0.05 µS (Kleckner et al., IEEE Trans. Biomed. Eng. 65(7), 2018); half of that is air.
    """
    units = {channel.unit.lower() for channel in source.channels}
    levelled = source.modality == "eda" and units <= {"us", "µs", "μs"}
    return spec.QualitySpec(
        amplitude=not units & _ARBITRARY, contact_level=_CONTACT if levelled else None
    )


def _expect(
    channel: str, samples: int, seen: Sequence[tuple[str, dict[str, float]]]
) -> spec.Expect:
    """Sum one channel up."""
    if not seen:
        raise DatasetError(
            f"no training window of {channel} is a signal: all are flat, railed or noise; check "
            "the recordings, or name another column"
        )
    people = np.array([person for person, _ in seen])
    weight = 1.0 / np.array([np.count_nonzero(people == person) for person in people])
    measures = {
        name: _quantiles(np.array([figures[name] for _, figures in seen]), weight)
        for name in MEASURES
    }
    return spec.Expect(
        channel=channel,
        samples=samples,
        windows=len(seen),
        people=len(set(people.tolist())),
        measures=measures,
    )


def _quantiles(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> spec.Quantiles:
    """Weighted quantiles: the value that has that share of the weight up to it."""
    # A rounding of the summed weights must not move a quantile by a window.
    order = np.argsort(values, kind="stable")
    values, share = values[order], np.cumsum(weight[order]) / weight.sum()
    low, middle, high = (
        float(values[min(int(np.searchsorted(share, q - 1e-9)), len(values) - 1)])
        for q in (0.01, 0.5, 0.99)
    )
    return spec.Quantiles(
        least=float(values[0]), low=low, middle=middle, high=high, most=float(values[-1])
    )
