"""Which place for a bridge fits a device: what every one takes there, and what it is worth.

Nothing is trained for a place. What it is worth is what the two-stage rule goes by: first the
macro F1 of a linear probe at the source cut, then, between places of equal F1, the linear CKA of
the two cuts. It says where a bridge is likely to learn well, not how well it will answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.errors import BundleError, RecipeError
from bioxedge.kit import CALL, Plan
from bioxedge.profilefile import Measured, Profile

Floats = npt.NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Weighed:
    """What every place takes on one device under one setting, and what it is worth.

    Attributes
    ----------
    profile : Profile
    run : Measured
        The setting, and the times that were summed.
    milliseconds : ndarray of float64, shape [source cuts, target cuts]
        Predicted, of one window.
    memory : ndarray of int64, shape [source cuts, target cuts]
        Predicted resident bytes of a process that holds the engine and the model.
    f1 : ndarray of float64, shape [source cuts]
    cka : ndarray of float64, shape [source cuts, target cuts]
    budget : float or None
        In milliseconds.
    """

    profile: Profile
    run: Measured
    milliseconds: Floats
    memory: npt.NDArray[np.int64]
    f1: Floats
    cka: Floats
    budget: float | None = None

    @property
    def front(self) -> list[Pair]:
        """Places that no other beats in both worth and time, fastest first."""
        return front(self.f1, self.cka, self.milliseconds)

    @property
    def best(self) -> Pair | None:
        """The worthiest place within the budget, the fastest of equals; None if none fits."""
        fitting = [
            pair
            for pair in self.front
            if self.budget is None or self.milliseconds[pair] <= self.budget
        ]
        return fitting[-1] if fitting else None

    def refuse(self) -> None:
        """Raise a RecipeError that names the nearest place if none fits the budget."""
        if self.best is not None:
            return
        i, j = self.front[0]
        raise RecipeError(
            f"no pair of cuts meets {self.budget:g} ms on {self.profile.board} "
            f"({self.run.setting}): the nearest is source cut {i} with target cut {j}, predicted "
            f"{self.milliseconds[i, j]:.3g} ms; allow so much, or name smaller models or a "
            "shorter window"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        best = self.best
        return {
            "board": self.profile.board,
            "onnxruntime": self.profile.onnxruntime,
            "setting": msgspec.to_builtins(self.run.setting),
            "kit": self.profile.kit,
            "throttled": list(self.profile.throttled),
            "milliseconds": self.milliseconds.tolist(),
            "memory_bytes": self.memory.tolist(),
            "cka": self.cka.tolist(),
            "front": [list(pair) for pair in self.front],
            "budget_ms": self.budget,
            "best": None if best is None else list(best),
        }


@dataclass(frozen=True)
class Device:
    """A device that a place is looked for.

    Attributes
    ----------
    profile : Profile
    run : Measured
        Under the setting that is meant.
    budget : float or None
        In milliseconds.
    """

    profile: Profile
    run: Measured
    budget: float | None = None

    def weigh(self, f1: Sequence[float], cka: Floats) -> Weighed:
        """Put what was measured beside what the two-stage rule says of every place."""
        return Weighed(
            profile=self.profile,
            run=self.run,
            milliseconds=milliseconds(self.profile, self.run),
            memory=memory(self.profile),
            f1=np.asarray(f1),
            cka=cka,
            budget=self.budget,
        )


def milliseconds(profile: Profile, run: Measured) -> Floats:
    """Predict what one window takes for every pair of cuts, ``[source cuts, target cuts]``.

    The parts' medians, each less what a call costs, less what each two neighbours save where
    they stand in one graph, and one call.
    """
    call = run.times[CALL].median
    alone = {name: timing.median - call for name, timing in run.times.items()}
    found = np.full(profile.parts.shape, call)
    for pair in _pairs(profile.parts.shape):
        found[pair] += sum(max(0.0, alone[name]) for name in profile.parts.of(*pair))
        found[pair] -= sum(
            alone[one] + alone[other] - alone[seam]
            for seam, one, other in profile.parts.joined(*pair)
        )
    return found.clip(call)


def memory(profile: Profile) -> npt.NDArray[np.int64]:
    """Predict the resident bytes for every pair of cuts, ``[source cuts, target cuts]``.

    The process, the weights of all parts, and the most that one part takes beyond its weights.
    """
    about = profile.memory
    found = np.full(profile.parts.shape, about.process, np.int64)
    for pair in _pairs(profile.parts.shape):
        names = profile.parts.of(*pair)
        found[pair] += sum(about.weights[name] for name in names)
        found[pair] += max(about.working[name] for name in names)
    return found


def front(f1: Floats, cka: Floats, milliseconds: Floats) -> list[Pair]:
    """Find the places that no other place beats: as worthy and faster, or worthier and as fast.

    Worth is F1 first and CKA second, so each of them is what the two-stage rule chooses under
    some budget.

    Parameters
    ----------
    f1 : ndarray of float64, shape [source cuts]
    cka, milliseconds : ndarray of float64, shape [source cuts, target cuts]

    Returns
    -------
    list of (int, int)
        Source cut and target cut, fastest first.
    """
    fastest_first = sorted(
        _pairs(milliseconds.shape),
        key=lambda pair: (milliseconds[pair], -f1[pair[0]], -cka[pair]),
    )
    kept: list[Pair] = []
    for pair in fastest_first:
        worth = f1[pair[0]], cka[pair]
        if kept:
            last = kept[-1]
            highest = f1[last[0]], cka[last]
            twin = worth == highest and milliseconds[pair] == milliseconds[last]
            if worth <= highest and not twin:
                continue
        kept.append(pair)
    return kept


def fits(profile: Profile, plan: Plan, engine: str | None = None) -> None:
    """Hold a profile to the recipe's models, and to the engine that the device will run.

    Parameters
    ----------
    profile : Profile
    plan : Plan
        Of the recipe.
    engine : str, optional
        The version of ONNX Runtime on the device; that of this machine if left out.

    Raises
    ------
    BundleError
        Naming the first difference.
    """
    measured, wanted = msgspec.to_builtins(profile.plan), msgspec.to_builtins(plan)
    for place, found, asked in _differences(measured, wanted, "$"):
        raise BundleError(
            f"the profile of {profile.board} is of another model: {found} at `{place}` where the "
            f"recipe has {asked}; make this recipe's kit (bioxedge positions RECIPE --out OUT "
            "--kit) and measure it on the device"
        )
    engine = engine or onnxruntime.__version__
    if profile.onnxruntime != engine:
        raise BundleError(
            f"the profile of {profile.board} was measured with ONNX Runtime "
            f"{profile.onnxruntime}, not {engine}: measure again with the version that the "
            f"device will run, or say that it runs this one: --engine {profile.onnxruntime}"
        )


def _differences(one: Any, other: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Go through what differs: where, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differences(
                one.get(key, "nothing"), other.get(key, "nothing"), f"{place}.{key}"
            )
    elif one != other:
        yield place, one, other


def _pairs(shape: tuple[int, ...]) -> list[Pair]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]
