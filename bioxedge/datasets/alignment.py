"""Places of one recording found in another, where a sensor's rate is not the nominal one.

A sensor that is 0.1 % slow is 3.6 s behind its nominal rate after an hour. What bioxedge recorded
has anchors: indices and the moments at which those samples were taken. By them a place is found
in the other recording as it was at that moment. What was imported with stamps says its real rate,
which does the same from its first sample on; recordings without either are taken at their word,
which is their nominal rate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Recording

Floats = npt.NDArray[np.float64]

_SETTLED = 5.0  # seconds after which a source knows well when a sample was taken
_MIDDLE = 5  # anchors of which the middle one is believed: 50 s
_FAR = 0.1  # share by which no sensor's rate is off
_SAME = 1e-3  # seconds by which one clock may seem to differ from itself


def anchored(recording: Recording) -> bool:
    """Whether a recording says when its samples were taken.

    What was recorded of a replay that ran faster than time says when it was replayed.
    """
    anchors = _anchors(recording)
    if len(anchors) < 2:
        return False
    (first, begin), (last, end) = anchors[0][:2], anchors[-1][:2]
    return bool(abs((end - begin) * recording.rate - (last - first)) < _FAR * (last - first))


def _anchors(recording: Recording) -> Floats:
    """Give index, Unix and monotonic time of some samples; of the two ends by the real rate."""
    if "anchors" in recording.facts:
        return np.array(recording.facts["anchors"], np.float64)
    real, count = float(recording.facts.get("real_rate") or 0.0), recording.samples.shape[1]
    if not real > 0 or count < 2:
        return np.empty((0, 3))
    seconds = count / real
    return np.array([[0.0, recording.t0, 0.0], [count, recording.t0 + seconds, seconds]])


class Places:
    """Finds places of one recording in others.

    Parameters
    ----------
    recording : Recording
        The one whose places are known.

    Notes
    -----
    Times are seconds of a recording's *nominal* line: ``t0 + index / rate``.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def on(self, other: Recording, times: Floats) -> Floats:
        """Give the same moments on another recording's nominal line.

        Parameters
        ----------
        other : Recording
        times : ndarray
            On this recording's nominal line.
        """
        mine = self._recording
        if not (anchored(mine) or anchored(other)):
            return times
        column = 2 if _one_clock(mine, other) else 1
        moments = _Line(mine, column).moment(times) if anchored(mine) else times
        return _Line(other, column).nominal(moments) if anchored(other) else moments

    def at(self, times: Floats) -> Floats:
        """Give the moments themselves, in Unix seconds."""
        mine = self._recording
        return _Line(mine, 1).moment(times) if anchored(mine) else times


def on_line(recording: Recording, moments: Floats) -> Floats:
    """Give moments, in Unix seconds, on a recording's nominal line."""
    return _Line(recording, 1).nominal(moments) if anchored(recording) else moments


def shifted(recording: Recording, first: int) -> Recording:
    """Let a recording begin at a later sample: when each was taken stays what it was.

    Parameters
    ----------
    recording : Recording
    first : int
        The sample that becomes number 0; the samples themselves are left to the caller.
    """
    facts, anchors = dict(recording.facts), _anchors(recording)
    if len(anchors):  # those before it still say how its clock runs
        anchors[:, 0] -= first
        facts["anchors"] = anchors.tolist()
    return replace(recording, t0=recording.t0 + first / recording.rate, facts=facts)


class _Line:
    """Nominal times and moments of one recording, by its anchors.

    Parameters
    ----------
    recording : Recording
    column : int
        Of the anchors: 1 Unix time, 2 monotonic time.
    """

    def __init__(self, recording: Recording, column: int) -> None:
        anchors = _anchors(recording)
        self._rate = float(recording.facts.get("real_rate") or recording.rate) / recording.rate
        if len(anchors) > 2:
            anchors = anchors[anchors[:, 2] >= anchors[0, 2] + _SETTLED]
        times, moments = recording.t0 + anchors[:, 0] / recording.rate, anchors[:, column]
        # One anchor may be late, as an arrival may be: its neighbours tell.
        late = _middle(moments - times / self._rate)
        moments = late + times / self._rate
        later = np.append(True, np.diff(np.maximum.accumulate(moments)) > 0)
        self._times, self._moments = times[later], moments[later]

    def moment(self, times: Floats) -> Floats:
        """When samples were taken."""
        return _through(times, self._times, self._moments, 1 / self._rate)

    def nominal(self, moments: Floats) -> Floats:
        """Where samples lie that were taken then."""
        return _through(moments, self._moments, self._times, self._rate)


def _through(x: Floats, known: Floats, values: Floats, slope: float) -> Floats:
    """Interpolate between points, and go on beyond them."""
    found = np.interp(x, known, values)
    found = np.where(x < known[0], values[0] + (x - known[0]) * slope, found)
    return np.where(x > known[-1], values[-1] + (x - known[-1]) * slope, found)


def _middle(values: Floats) -> Floats:
    """Running median; at the ends of as many as there are."""
    reach = _MIDDLE // 2
    count = len(values)
    return np.array([np.median(values[max(at - reach, 0) : at + reach + 1]) for at in range(count)])


def _one_clock(one: Recording, other: Recording) -> bool:
    """Whether both have the monotonic clock of one start of one machine, all the way.

    Then a wall clock that was set, between the two starts or later, moves nothing.
    """
    boots = [each.facts.get("boot") for each in (one, other)]
    if not boots[0] or boots[0] != boots[1]:
        return False
    for each in (one, other):
        if not anchored(each):
            return False
        anchors = _anchors(each)
        if np.ptp(anchors[:, 1] - anchors[:, 2]) > _SAME:
            return False
    return True
