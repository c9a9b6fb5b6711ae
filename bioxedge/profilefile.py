"""What the parts of two models cost on one device: the small file that comes back from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bioxedge.atomic import write_file
from bioxedge.errors import BundleError
from bioxedge.kit import CALL, Parts, Plan
from bioxedge.regular import read_file
from bioxedge.spec import Count, Positive, Struct, Text

Milliseconds = Annotated[float, Meta(ge=0)]


class Timing(Struct, frozen=True):
    """Of one part: milliseconds of ``repeats`` runs, the middle one and the quartiles."""

    median: Milliseconds
    low: Milliseconds
    high: Milliseconds
    repeats: Positive


class Setting(Struct, frozen=True):
    """How the parts were run: provider by its short name, threads, precision."""

    provider: Text
    threads: Positive
    precision: Literal["fp32"] = "fp32"

    def __str__(self) -> str:
        return f"{self.provider}, {self.threads} thread{'s' if self.threads > 1 else ''}"


class Measured(Struct, frozen=True):
    """Every part under one setting."""

    setting: Setting
    times: dict[Text, Timing]


class Memory(Struct, frozen=True):
    """Resident bytes.

    ``process`` is Python and the engine before any model; ``weights`` those of each part;
    ``working`` what a part took beyond its weights.
    """

    process: Count
    weights: dict[Text, Count]
    working: dict[Text, Count]


class Profile(Struct, frozen=True):
    """What one device said.

    ``machine`` is that of :class:`bioxedge.measuring.machine.Machine`, as plain values;
    ``throttled`` lists what the board said against the figures, and is empty where it said
    nothing; ``kit`` is the digest of what was measured.
    """

    bioxedge: Text
    onnxruntime: Text
    made: Text
    machine: dict[str, Any]
    kit: Text
    plan: Plan
    parts: Parts
    runs: Annotated[tuple[Measured, ...], Meta(min_length=1)]
    memory: Memory
    throttled: tuple[Text, ...] = ()
    format: Literal[1] = 1

    @property
    def board(self) -> str:
        """What the device calls itself."""
        return str(self.machine.get("board", "a device that is not named"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def lines(self) -> list[str]:
        """Say the whole of both models, and how sure it is, for people."""
        about = f"{self.board}, ONNX Runtime {self.onnxruntime}"
        said = [f"{len(self.memory.weights)} parts on {about}"]
        for each in self.runs:
            total = sum(timing.median for timing in each.times.values())
            spread = sum(timing.high - timing.low for timing in each.times.values())
            said.append(
                f"  {each.setting}: {total:,.3g} ms once through all "
                f"(between quartiles {spread / total:.0%}), a call {each.times[CALL].median:.3g} ms"
            )
        if self.throttled:
            said.append(
                f"  not to be trusted: the board said {', '.join(self.throttled)}; cool it, or "
                "give it a stronger supply, and measure again"
            )
        return said

    def run(self, threads: int | None = None, provider: str | None = None) -> Measured:
        """Find what was measured under a setting; the first where nothing is asked for.

        Raises
        ------
        BundleError
            That was not measured, naming what was.
        """
        for each in self.runs:
            wanted = (threads or each.setting.threads, provider or each.setting.provider)
            if wanted == (each.setting.threads, each.setting.provider):
                return each
        asked = ", ".join(
            said
            for said in (provider, None if threads is None else f"{threads} threads")
            if said is not None
        )
        has = "; ".join(f"{each.setting}" for each in self.runs)
        raise BundleError(
            f"the profile of {self.board} holds nothing for {asked}: it has {has}; measure that "
            "on the device with bioxedge profile"
        )


def write(path: str | Path, profile: Profile) -> None:
    """Write a profile whole or not at all."""
    raw = msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n"
    write_file(Path(path), raw)


def read(path: str | Path) -> Profile:
    """Read a profile strictly.

    Raises
    ------
    BundleError
        No such file, not a profile, or one whose parts contradict each other.
    """
    path = Path(path)
    if not path.exists():
        raise BundleError(f"{path} is not there: bioxedge profile KIT --out FILE makes one")
    try:
        profile = msgspec.json.decode(
            read_file(path.parent, path.name, what="profile"), type=Profile
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path} is no profile: {error}; copy it again, or measure again"
        ) from error
    known = profile.parts.names | {CALL}
    try:
        profile.parts.check(known)
    except BundleError as error:
        raise BundleError(f"{path}: {error}; measure again") from error
    rows: dict[str, Any] = {f"{each.setting}": each.times for each in profile.runs}
    rows |= {"weights": profile.memory.weights, "working memory": profile.memory.working}
    for what, row in rows.items():
        if odd := ", ".join(sorted(known ^ set(row))):
            raise BundleError(f"{path}: {what} and the parts differ in {odd}; measure again")
    for each in profile.runs:
        for name, timing in each.times.items():
            if not math.isfinite(timing.median):
                raise BundleError(f"{path}: {name} took {timing.median} ms; measure again")
    return profile
