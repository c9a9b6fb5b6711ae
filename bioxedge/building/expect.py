"""What every channel looked like in training, for the manifest: measured by the live judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bioxedge import spec
from bioxedge.errors import DatasetError
from bioxedge.quality.judge import Judge, memory_for
from bioxedge.quality.measures import MEASURES
from bioxedge.quality.modality import quality_of
from bioxedge.signals import Recording
from bioxedge.windows import WindowStream, as_chunk


def expectations(
    recordings: Iterable[Recording],
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
) -> tuple[spec.Expect, ...]:
    """Measure the windows of training people, raw, as the device will.

    Parameters
    ----------
    recordings : iterable of Recording
        Of training people alone, as worn (:func:`bioxedge.worn.as_worn`).
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
    return tuple(
        _expect(
            name,
            samples,
            np.array([person for person, _ in seen]),
            {m: np.array([figures[m] for _, figures in seen]) for m in MEASURES},
        )
        for name, seen in found.items()
    )


def expected(
    measures: npt.NDArray[np.float64],
    person: npt.NDArray[np.str_],
    samples: int,
    names: Sequence[str],
) -> tuple[spec.Expect, ...]:
    """Sum up what the judge measured of windows that were cut before.

    Parameters
    ----------
    measures : ndarray of float64, shape [n, channels, measures]
        In the order of ``MEASURES``; of signals alone.
    person : ndarray of str, shape [n]
    samples : int
        How many raw samples a window has.
    names : sequence of str
        Of the channels.

    Raises
    ------
    DatasetError
        No window at all.
    """
    return tuple(
        _expect(name, samples, person, {m: measures[:, row, k] for k, m in enumerate(MEASURES)})
        for row, name in enumerate(names)
    )


def _expect(
    channel: str,
    samples: int,
    person: npt.NDArray[np.str_],
    measures: dict[spec.Measure, npt.NDArray[np.float64]],
) -> spec.Expect:
    """Sum one channel up."""
    if not len(person):
        raise DatasetError(
            f"no training window of {channel} is a signal: all are flat, railed or noise; check "
            "the recordings, or name another column"
        )
    count = {one: np.count_nonzero(person == one) for one in np.unique(person)}
    weight = np.array([1.0 / count[one] for one in person])
    return spec.Expect(
        channel=channel,
        samples=samples,
        windows=len(person),
        people=len(count),
        measures={name: _quantiles(values, weight) for name, values in measures.items()},
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
