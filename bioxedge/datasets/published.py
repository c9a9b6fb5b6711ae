"""Published sets by name: how each is read, where it is to be had, how large it usually is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bioxedge.datasets import fog, isruc, wesad
from bioxedge.datasets.session import Session
from bioxedge.recipes import Data

__all__ = ["SETS", "Published"]


@dataclass(frozen=True)
class Published:
    """One published set.

    Attributes
    ----------
    sessions : callable
        From its folder and what a recipe says of it to its sessions.
    holds : callable
        From a folder to whether the set lies in it.
    where : str
        Where its authors publish it.
    people : int
    seconds : float
        How long each person was recorded, on average.
    """

    sessions: Callable[[Path, Data], list[Session]]
    holds: Callable[[Path], bool]
    where: str
    people: int
    seconds: float


SETS = MappingProxyType(
    {
        "wesad": Published(
            lambda place, _: wesad.sessions(place),
            wesad.holds,
            "ubi29.informatik.uni-siegen.de/usi/data_wesad.html",
            15,
            6_000.0,  # S2 has 6,079 s
        ),
        "isruc": Published(
            lambda place, _: isruc.sessions(place),
            isruc.holds,
            "sleeptight.isr.uc.pt/?page_id=48, group 1: extracted channels and raw data",
            100,
            30.0 * 892,  # 89,240 epochs (Wang et al., CBraMod, ICLR 2025)
        ),
        "fog": Published(
            lambda place, data: fog.sessions(place, data.people),
            fog.holds,
            "data.mendeley.com/datasets/r8gmbtv7w2/3, the filtered data",
            12,
            13_323.0 / 12,  # 222 min 3 s in all (Zhang et al. 2022)
        ),
    }
)
