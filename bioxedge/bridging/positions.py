"""Where to build the bridge: the two-stage choice of a source cut and a target cut.

Li et al., *BioX-Bridge*, ICLR 2026 (arXiv 2510.02276): the source cut whose pooled features
tell the teacher's labels best, then the target cut that resembles it most.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bioxedge.errors import MissingExtraError, ModelError

__all__ = ["Positions", "alignments", "linear_cka", "select_positions"]

Features = NDArray[np.floating[Any]]

_SAME = 1e-9  # scores that differ by less are those of one answer
_ROUNDING = 1e-6  # of a mean: what float32 makes of a feature that does not vary


@dataclass(frozen=True)
class Positions:
    """The two cuts and what they were chosen by.

    Attributes
    ----------
    source_cut, target_cut : int
        Indices into the lists of features, that is cuts.
    source_scores : tuple of float
        Macro F1 of each source cut, the mean over folds.
    target_scores : tuple of float
        Linear CKA of each target cut with the chosen source cut.
    source_folds : tuple of tuple of float
        Macro F1 of each source cut in each fold.
    standardised_scores : tuple of float
        As ``source_scores``, of the same probe on features that are scaled to a deviation of 1
        by each fold's training part.
    remark : str
        What people must know of the choice; empty where it is the published rule's.
    """

    source_cut: int
    target_cut: int
    source_scores: tuple[float, ...]
    target_scores: tuple[float, ...]
    source_folds: tuple[tuple[float, ...], ...]
    standardised_scores: tuple[float, ...] = ()
    remark: str = ""


def select_positions(
    source_features: Sequence[ArrayLike],
    target_features: Sequence[ArrayLike],
    pseudo_labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: int = 5,
) -> Positions:
    """Choose where to cut both models.

    Parameters
    ----------
    source_features, target_features : sequence of array
        For each cut the token means over the pairs, ``[pairs, features]``, unscaled.
    pseudo_labels : array
        The teacher's classes, ``[pairs]`` (the argmax of its logits).
    groups : array, optional
        The person of each pair. With it no person stands on both sides of a fold; without
        it (as published) scores within a person flatter a cut: the probe knows the person.
    folds : int
        Unshuffled, stratified by pseudo-label.

    Returns
    -------
    Positions
        The first of the best on a tie.

    Raises
    ------
    ModelError
        If lengths differ, a value is not finite, the pseudo-labels hold one class only or
        too few of a kind, or there are fewer groups than folds.
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    The classifier is an L2 logistic regression, C = 1, at most 1000 iterations, on raw
    features. A fold whose training part holds one class predicts that class. Features that are
    small beside C leave it at the majority class: then all cuts score the same, and the choice is
    that of the same probe on standardised features; where that tells none apart either, the last
    cut is taken. Both are said in ``remark``.
    """
    labels = np.asarray(pseudo_labels)
    if labels.ndim != 1:
        raise ModelError(
            f"pseudo_labels have shape {labels.shape}: give one class a pair, logits.argmax(1)"
        )
    source = _checked(source_features, len(labels), "source")
    target = _checked(target_features, len(labels), "target")
    splits = _splits(labels, None if groups is None else np.asarray(groups), folds)
    from threadpoolctl import threadpool_limits  # scikit-learn depends on it

    with threadpool_limits(1):  # matrices this small wait for threads
        published = [[_probe(x, labels, *split) for split in splits] for x in source]
        scaled = [
            [_probe(_scaled(x, split[0]), labels, *split) for split in splits] for x in source
        ]
    f1 = np.array([[one.f1 for one in row] for row in published])
    standardised = np.array([[one.f1 for one in row] for row in scaled]).mean(axis=1)
    best, remark = int(f1.mean(axis=1).argmax()), ""
    if _blind(published) and len(source) > 1:
        best, remark = _otherwise(f1.mean(axis=1), standardised, _blind(scaled))
    cka = [linear_cka(source[best], y) for y in target]
    return Positions(
        source_cut=best,
        target_cut=int(np.argmax(cka)),
        source_scores=tuple(f1.mean(axis=1).tolist()),
        target_scores=tuple(cka),
        source_folds=tuple(tuple(row) for row in f1.tolist()),
        standardised_scores=tuple(standardised.tolist()),
        remark=remark,
    )


@dataclass(frozen=True)
class _Probed:
    """What a probe reached in one fold, and whether it answered one class only."""

    f1: float
    one_class: bool


def _blind(probed: Sequence[Sequence[_Probed]]) -> bool:
    """Say whether a probe answered one class, at every cut and in every fold."""
    means = [float(np.mean([one.f1 for one in row])) for row in probed]
    return max(means) - min(means) <= _SAME and all(one.one_class for row in probed for one in row)


def _otherwise(
    published: NDArray[np.float64], standardised: NDArray[np.float64], blind: bool
) -> tuple[int, str]:
    """Choose a source cut where the published probe sees nothing, and say so."""
    said = (
        f"the published probe answers one class at every source cut (macro F1 {published[0]:.3f}) "
        f"and tells none apart"
    )
    if blind:
        last = len(published) - 1
        return last, (
            f"{said}, nor does it on standardised features: cut {last} was taken, the last, "
            f"which keeps all of the source model"
        )
    best = int(standardised.argmax())
    return best, f"{said}: cut {best} was chosen by the same probe on standardised features"


def _scaled(x: Features, train: NDArray[np.intp]) -> Features:
    """Scale each feature by what a fold trains on; one that only rounding moves is left small."""
    x = x.astype(np.float64)
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    scaled: Features = (x - mean) / np.where(spread > _ROUNDING * np.abs(mean), spread, 1.0)
    return scaled


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment of two sets of features of the same rows.

    ``‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖)`` with centred columns and Frobenius norms, in float64
    (Kornblith et al., ICML 2019): the feature-space form, whose cost is linear in rows.

    Parameters
    ----------
    x, y : array
        ``[rows, features]``; the numbers of features may differ.

    Returns
    -------
    float
        Between 0 and 1; 0 if one of them does not vary.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not len(a):
        raise ModelError(f"CKA takes two [rows, features] of the same rows: {a.shape}, {b.shape}")
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / spread) if spread > 0 else 0.0


def alignments(
    source_features: Sequence[ArrayLike], target_features: Sequence[ArrayLike]
) -> NDArray[np.float64]:
    """Linear CKA of every source cut with every target cut, ``[source cuts, target cuts]``.

    As :func:`linear_cka` of each pair, bit for bit; each cut is centred and normed once.
    """
    sides = []
    for features in (source_features, target_features):
        arrays = [np.asarray(cut, np.float64) for cut in features]
        centred = [array - array.mean(axis=0) for array in arrays]
        sides.append([(array, np.linalg.norm(array.T @ array)) for array in centred])
    found = np.zeros((len(sides[0]), len(sides[1])))
    for i, (a, own) in enumerate(sides[0]):
        for j, (b, theirs) in enumerate(sides[1]):
            if own * theirs > 0:
                found[i, j] = np.linalg.norm(a.T @ b) ** 2 / (own * theirs)
    return found


def _checked(cuts: Sequence[ArrayLike], pairs: int, side: str) -> list[Features]:
    arrays: list[Features] = [np.asarray(cut) for cut in cuts]
    if not arrays:
        raise ModelError(f"{side}_features is empty: give one array for each cut")
    for k, array in enumerate(arrays):
        if array.ndim != 2 or len(array) != pairs:
            raise ModelError(
                f"{side} cut {k} has shape {array.shape}: give [{pairs}, features], one row "
                f"for each pseudo-label"
            )
        if not np.isfinite(array).all():
            raise ModelError(f"{side} cut {k} holds values that are not finite: look at its input")
    return arrays


def _splits(
    labels: NDArray[Any], groups: NDArray[Any] | None, folds: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    try:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    except ModuleNotFoundError as error:
        raise MissingExtraError("sklearn", "train") from error

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ModelError(
            f"the teacher gives every pair the class {classes.tolist()}: a cut cannot be "
            f"chosen by one class; look at the teacher, or fix the cuts in the recipe"
        )
    if folds < 2 or counts.max() < folds:
        raise ModelError(
            f"{folds} folds do not fit {counts.max()} pairs of the most frequent class: "
            f"take 2 to {counts.max()}"
        )
    with warnings.catch_warnings():
        # A class rarer than the folds is missing from some of them: its F1 is not counted there.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        if groups is None:
            return list(StratifiedKFold(folds).split(labels, labels))
        if groups.shape != labels.shape:
            raise ModelError(
                f"groups have shape {groups.shape}: give one for each of {len(labels)}"
            )
        if (people := len(np.unique(groups))) < folds:
            raise ModelError(f"{folds} folds need as many groups, got {people}: take fewer folds")
        return list(StratifiedGroupKFold(folds).split(labels, labels, groups))


def _probe(
    x: Features, labels: NDArray[Any], train: NDArray[np.intp], test: NDArray[np.intp]
) -> _Probed:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    if len(classes := np.unique(labels[train])) == 1:
        predicted = np.full(len(test), classes[0])
    else:
        with warnings.catch_warnings():
            # 1000 iterations are the published bound, reached or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted = (
                LogisticRegression(max_iter=1000).fit(x[train], labels[train]).predict(x[test])
            )
    found = f1_score(labels[test], predicted, average="macro", zero_division=0)
    return _Probed(float(found), len(np.unique(predicted)) < 2)
