"""What a teacher says of a pair, as its mean over a span of the recording around it.

Where a state lasts for minutes, one window's answer errs by what that window happens to show; the
neighbours err otherwise. A device cannot look ahead. Training can: what is imitated may be told
from both sides of a pair, and what imitates still sees its own window alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_EDGE = 1e-6  # s: a neighbour exactly half a span away is in it on every machine


def over_span(
    values: Tensor,
    session: npt.NDArray[np.int64],
    start: npt.NDArray[np.float64],
    seconds: float,
) -> Tensor:
    """Give each window the mean over those of its session that begin within half a span of it.

    Parameters
    ----------
    values : Tensor of float32, shape [n, features]
    session : ndarray of int64, shape [n]
        Means never reach from one recording into another.
    start : ndarray of float64, shape [n]
        In seconds, on the session's line.
    seconds : float
        The whole span, half of it before and half after.

    Returns
    -------
    Tensor of float32, shape [n, features]
        At a recording's ends the mean is over what there is.
    """
    found = np.empty(tuple(values.shape), np.float32)
    given = values.double().numpy()
    for one in np.unique(session):
        own = np.flatnonzero(session == one)
        own = own[np.argsort(start[own], kind="stable")]
        at, reach = start[own], seconds / 2 + _EDGE
        first = np.searchsorted(at, at - reach)
        after = np.searchsorted(at, at + reach, side="right")
        sums = np.concatenate([np.zeros((1, given.shape[1])), given[own].cumsum(axis=0)])
        found[own] = (sums[after] - sums[first]) / (after - first)[:, None]
    return torch.from_numpy(found)
