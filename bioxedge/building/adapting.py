"""What goes into the bridge, or the head: an encoder's features, classic ones, a wearer's baseline.

A person's windows go through the baseline in the order in which they were worn, as on a device that
knows who wears it; nothing is learnt from a window before it was answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.building.windowing import Windows
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.recipes import Recipe, Side
from bioxedge.spec import BaselineSpec, FeaturesSpec
from bioxedge.wearer import Baseline, beside, scaled

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


def baseline_of(recipe: Recipe, side: str) -> BaselineSpec | None:
    """Give a side's baseline in windows, as a manifest states it; None where there is none.

    Windows of both sides stand where the source's do.
    """
    about: Side = getattr(recipe, side)
    own = about.own
    if own is None:
        return None
    hop = recipe.source.hop / streamed_rate(recipe.source)
    settle, memory = (round(60 * minutes / hop) for minutes in (own.settle, own.memory))
    return BaselineSpec(
        settle=max(settle, 1), memory=max(memory, 1 if own.memory else 0), clip=own.clip
    )


def worn_by(windows: Windows, side: str) -> Iterator[npt.NDArray[np.intp]]:
    """Give each person's moments with a window of a side, in the order in which they were worn."""
    rows = getattr(windows, f"{side}_row")
    person = windows.person
    begins = np.full(len(windows.sessions), np.inf)
    np.minimum.at(begins, windows.session, windows.moment)
    # One after the other: sessions that nobody dated all begin at the same moment, and their own
    # order stands.
    order = np.lexsort((windows.start, windows.session, begins[windows.session]))
    held = order[rows[order] >= 0]
    for name in np.unique(person):
        yield held[person[held] == name]


def settled(recipe: Recipe, windows: Windows, side: str) -> npt.NDArray[np.bool_]:
    """Say of which moments a side's baseline has seen enough before, shape [n]."""
    spec = baseline_of(recipe, side)
    found = np.ones(len(windows), bool)
    if spec is not None:
        for own in worn_by(windows, side):
            found[own[: spec.settle]] = False
    return found


@dataclass(frozen=True)
class Given:
    """What the graph is given at every moment, and what that makes of it.

    Attributes
    ----------
    features : Tensor of float32, shape [n, features]
        Scaled by the wearer's past; NaN where there is no window.
    beside : ndarray of float32, shape [n, numbers]
        What stands beside each window (:func:`bioxedge.wearer.beside`).
    """

    features: Tensor
    beside: Singles


@dataclass
class Adapted:
    """A side's features at any cut, as the bridge or the head takes them.

    Parameters
    ----------
    recipe : Recipe
    windows : Windows
    side : str
    pooled : list of Tensor, each of shape [windows, features]
        At every cut.
    fill : ndarray of float64, shape [classic features]
        What stands for a classic feature that a window does not allow.
    spread : ndarray of float64, shape [classic features], or None
        What the target's classic features are told in, as distances from ``fill``: the bridge
        imitates them, and its loss would hear a rate near 80 alone. None leaves them as they are,
        as the source's are, and those that a baseline scales.
    people : collection of str, optional
        Whose features are wanted; everybody's if left out, the others' are NaN.
    """

    recipe: Recipe
    windows: Windows
    side: str
    pooled: list[Tensor]
    fill: Floats
    spread: Floats | None = None
    people: Collection[str] | None = None
    _kept: dict[int, Given] = field(default_factory=dict)

    @property
    def about(self) -> Side:
        """The side of the recipe."""
        found: Side = getattr(self.recipe, self.side)
        return found

    @property
    def plain(self) -> bool:
        """Whether features go on as the encoder gave them."""
        return self.about.plain

    def spec(self, cut: int) -> FeaturesSpec | None:
        """State what is made at a cut, as a manifest does; None where nothing is added."""
        if self.plain:
            return None
        names = self.about.described if self.about.classic else ()
        return FeaturesSpec(
            encoder=self.pooled[cut].shape[1],
            classic=names,
            fill=tuple(self._fill().tolist()) if names else (),
            baseline=baseline_of(self.recipe, self.side),
        )

    def at(self, cut: int) -> Given:
        """Give everything at a cut."""
        cut = cut % len(self.pooled)
        if cut not in self._kept:
            self._kept[cut] = self._made(cut)
        return self._kept[cut]

    def of(self, cut: int, moments: npt.NDArray[np.intp]) -> Tensor:
        """Give the features of some moments at a cut, shape [moments, features]."""
        if self.plain:
            return self.pooled[cut][torch.from_numpy(self._rows()[moments])]
        return self.at(cut).features[torch.from_numpy(moments)]

    def described(self, moments: npt.NDArray[np.intp]) -> Floats:
        """Give classic features alone, scaled by the same baseline where there is one.

        NaN where a window does not allow one and there is no baseline.
        """
        rows, baseline = self._classic(), baseline_of(self.recipe, self.side)
        if baseline is None:
            return rows[moments]
        names = self.about.described
        alone = FeaturesSpec(encoder=0, classic=names, fill=tuple(self.fill), baseline=baseline)
        held = np.empty((int(self._rows().max()) + 1, 0), np.float32)
        found: Floats = self._worn(alone, held, rows).features[torch.from_numpy(moments)].numpy()
        return found.astype(np.float64)

    def _classic(self) -> Floats:
        """Give the side's classic features of every moment."""
        windows = self.windows
        if self.side == "source":
            return windows.classic
        if self.spread is None:
            return windows.target_classic
        return (windows.target_classic - self.fill) / self.spread

    def _fill(self) -> Floats:
        """Give what stands for a missing one, as they are told."""
        return self.fill if self.spread is None else np.zeros_like(self.fill)

    def _rows(self) -> npt.NDArray[np.int64]:
        """Give each moment's window of this side; −1 where there is none."""
        found: npt.NDArray[np.int64] = getattr(self.windows, f"{self.side}_row")
        return found

    def _made(self, cut: int) -> Given:
        """Give everything at a cut, anew."""
        spec = self.spec(cut)
        assert spec is not None
        rows = self._classic() if spec.classic else np.empty((len(self.windows), 0))
        return self._worn(spec, self.pooled[cut].numpy(), rows)

    def _worn(self, spec: FeaturesSpec, encoded: Singles, described: Floats) -> Given:
        """Pass features through each person's baseline, as they were worn.

        Parameters
        ----------
        spec : FeaturesSpec
        encoded : ndarray of float32, shape [windows, encoder's features]
        described : ndarray of float64, shape [n, classic features]
        """
        rows = self._rows()
        features = np.full((len(rows), spec.count), np.nan, np.float32)
        given = np.full((len(rows), spec.beside), np.nan, np.float32)
        for own in worn_by(self.windows, self.side):
            if self.people is not None and self.windows.person[own[0]] not in self.people:
                continue
            baseline = None if spec.baseline is None else Baseline(spec.baseline, spec.count)
            for moment in own:
                scale = None if baseline is None else baseline.scale()
                given[moment] = beside(spec, described[moment], scale)
                pooled = encoded[rows[moment]]
                whole = np.concatenate([pooled, given[moment, : len(spec.classic)]])
                if baseline is None or scale is None:
                    features[moment] = whole
                    continue
                features[moment] = scaled(whole, scale, baseline.spec.clip)
                baseline.push(np.concatenate([pooled, described[moment]]))
        return Given(torch.from_numpy(features), given)


def spread_of(rows: Floats) -> Floats:
    """Give the deviation of each classic feature over windows; 1 for one that does not vary."""
    found = np.ones(rows.shape[1])
    for number, column in enumerate(rows.T):
        real = column[np.isfinite(column)]
        if len(real) and real.std() > 0:
            found[number] = real.std()
    return found


def usual(rows: Floats) -> Floats:
    """Give the middle of each classic feature over windows; 0 for one that is never possible."""
    found = np.zeros(rows.shape[1])
    for number, column in enumerate(rows.T):
        real = column[np.isfinite(column)]
        found[number] = np.median(real) if len(real) else 0.0
    return found
