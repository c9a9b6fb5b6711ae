"""What is known of each window: the reference's value in it, or the class that fills it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.datasets.alignment import on_line
from bioxedge.errors import DatasetError
from bioxedge.marks import Mark
from bioxedge.recipes import Task
from bioxedge.signals import Recording, Samples

Floats = npt.NDArray[np.float64]


def of_reference(
    reference: Recording, columns: Sequence[str], task: Task, moments: Floats, seconds: float
) -> Floats:
    """Read a reference in windows that begin at some moments.

    Parameters
    ----------
    reference : Recording
    columns : sequence of str
        Its channel, or a column for each label.
    task : Task
    moments : ndarray of float64, shape [n]
        On the wall clock.
    seconds : float
        How long each is.

    Returns
    -------
    ndarray of float64, shape [n]
        The mean; or for classes the number of the label that fills enough of the window. NaN
        where too little is known.

    Raises
    ------
    DatasetError
        Values that are no class numbers.
    """
    track = _track(reference, columns, task)
    places = on_line(reference, moments)
    values = np.full(len(moments), np.nan)
    for number, start in enumerate(places.tolist()):
        first = math.ceil((start - reference.t0) * reference.rate)
        last = math.ceil((start + seconds - reference.t0) * reference.rate)
        inside = track[max(first, 0) : max(last, 0)]
        known = inside[np.isfinite(inside)]
        if len(known) == 0:
            continue
        wanted = task.coverage * (last - first)
        if task.rule != "classes":
            if len(known) >= wanted:
                values[number] = known.mean()
            continue
        classes, counts = np.unique(known, return_counts=True)
        if counts.max() >= wanted:
            values[number] = classes[counts.argmax()]
    return values


def _track(reference: Recording, columns: Sequence[str], task: Task) -> Samples:
    """Give one value for each sample of a reference: its own, or a label's number."""
    rows = reference.samples[reference.rows(tuple(columns))]
    if len(rows) > 1:
        finite = np.isfinite(rows).all(axis=0)
        rows = np.where(finite, rows, 0.0)
        best = rows.argmax(axis=0).astype(np.float64)
        return np.where(finite & (rows.max(axis=0) > 0), best, np.nan)
    track: Samples = rows[0]
    if task.rule != "classes":
        return track
    whole = track[np.isfinite(track)]
    odd = whole[(whole != np.floor(whole)) | (whole < 0)]
    if len(odd):
        raise DatasetError(
            f"{columns[0]} of {reference.person}'s reference holds {odd[0]:g}: classes are whole "
            'numbers from 0 on; write rule = "bands" for a value that is to be cut into bands'
        )
    renamed = _by_text(reference, columns[0], task)
    if renamed is None:
        return track
    out = np.full(len(track), np.nan)
    for number, label in renamed.items():
        out[track == number] = label
    return out


def _by_text(reference: Recording, column: str, task: Task) -> dict[int, int] | None:
    """Say which label each class number stands for, where the reference names its classes.

    None where it does not: then numbers count. Numbers of named classes mean nothing by
    themselves, since each table counts its own texts. A label that this reference lacks is one
    that this person did not show.
    """
    texts = reference.facts.get("labels", ())
    if isinstance(texts, dict):
        texts = texts.get(column, ())
    texts = [str(text) for text in texts] if isinstance(texts, list | tuple) else []
    if not texts or all(text.strip().isdecimal() for text in texts):
        return None
    found = {text: number for number, text in enumerate(texts)}
    lacking = [label for label in task.labels if label not in found]
    alike = {text.strip().casefold() for text in texts if text not in task.labels}
    spelled = [label for label in lacking if label.strip().casefold() in alike]
    if spelled or len(lacking) == len(task.labels):
        raise DatasetError(
            f"{reference.person}'s reference names {', '.join(texts)}, the recipe "
            f"{', '.join(spelled or lacking)}: write `$.task.labels` as they stand there, or name "
            "the people that are meant with `people`"
        )
    return {found[label]: number for number, label in enumerate(task.labels) if label in found}


def of_marks(marks: Sequence[Mark], task: Task, moments: Floats, seconds: float) -> Floats:
    """Read marks in windows that begin at some moments; parameters and values as for a reference.

    A mark that does not say how long it holds holds until the next one that stands for a label,
    or for ever.
    """
    labels = {label: number for number, label in enumerate(task.labels)}
    held = [
        (mark, labels[task.texts[mark.text]])
        for mark in sorted(marks, key=lambda mark: mark.start)
        if mark.text in task.texts
    ]
    if not held:
        return np.full(len(moments), np.nan)
    begins = np.array([mark.start for mark, _ in held])
    nexts = [*begins[1:].tolist(), math.inf]
    ends = np.array(
        [
            mark.start + mark.seconds if mark.seconds else over
            for (mark, _), over in zip(held, nexts, strict=True)
        ]
    )
    filled = np.zeros((len(labels), len(moments)))
    for begin, end, (_, label) in zip(begins, ends, held, strict=True):
        inside = np.minimum(moments + seconds, end) - np.maximum(moments, begin)
        filled[label] += np.clip(inside, 0.0, None)
    enough = filled.max(axis=0) >= task.coverage * seconds - 1e-9
    return np.where(enough, filled.argmax(axis=0).astype(np.float64), np.nan)
