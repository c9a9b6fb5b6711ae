"""What is said after the recipe's smoothing, as on the device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bioxedge.bridging import verdict
from bioxedge.building import beside
from bioxedge.building.learnt import Learnt
from bioxedge.decide import Mean

Floats = npt.NDArray[np.float64]
Moments = npt.NDArray[np.intp]

AFTER = "smoothed"


def told(learnt: Learnt, sizes: dict[str, int]) -> dict[str, Floats]:
    """Smooth the bridge's answers, and those of classic features, over all that was worn.

    Parameters
    ----------
    learnt : Learnt
    sizes : dict of str to int
        Parameters by row; those of the new rows are put beside them.

    Returns
    -------
    dict of str to ndarray of float64, shape [test windows, classes]
        Empty where the recipe smooths nothing, or tells a value.
    """
    recipe, prepared = learnt.recipe, learnt.prepared
    windows = prepared.windows
    if not recipe.decision.smoothing or recipe.task.rule == "value":
        return {}
    tested = prepared.of("test")
    # A device smooths over windows of which nobody knows the label, too.
    worn = np.flatnonzero(
        np.isin(windows.person, list(prepared.people.test))
        & windows.serving("test")
        & (windows.source_row >= 0)
        & prepared.settled["source"]
    )

    def bridged(moments: Moments) -> Floats:
        found: Floats = (
            learnt.calibration.apply(learnt.bridged(moments)).softmax(1).double().numpy()
        )
        return found

    def described(moments: Moments) -> Floats:
        source, pair = learnt.seen.adapted["source"], prepared.of("pair")
        labels = learnt.seen.teacher("pair").argmax(1).numpy()
        asked = source.described(moments)
        return beside.linear(source.described(pair), labels, asked, len(recipe.task.labels))[0]

    makers: dict[str, Callable[[Moments], Floats]] = {verdict.BRIDGE: bridged}
    if windows.classic.shape[1]:
        makers[verdict.CLASSIC] = described
    found = {}
    for name, make in makers.items():
        row = f"{name}, {AFTER}"
        found[row] = _over_time(learnt, worn, make(worn))[np.searchsorted(worn, tested)]
        sizes[row] = sizes[name]
    return found


def _over_time(learnt: Learnt, moments: Moments, answers: Floats) -> Floats:
    """Smooth answers session by session; a window that was left out counts as time."""
    windows, smoothing = learnt.prepared.windows, learnt.recipe.decision.smoothing
    found = np.empty_like(answers)
    for session in np.unique(windows.session[moments]):
        own = np.flatnonzero(windows.session[moments] == session)
        own = own[np.argsort(windows.start[moments[own]], kind="stable")]
        hop, mean, before = windows.step_of(int(session)), Mean(smoothing), None
        for place in own:
            start = windows.start[moments[place]]
            missed = 0 if before is None else round((start - before) / hop) - 1
            for _ in range(max(missed, 0)):
                mean.skip()
            found[place] = mean.take(answers[place])
            before = start
    return found
