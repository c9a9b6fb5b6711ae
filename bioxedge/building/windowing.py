"""Windows of all sessions on disk: cut once, recording by recording, read where they are used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge import dsp
from bioxedge.atomic import write_file
from bioxedge.bridging.features import readonly
from bioxedge.bridging.loop import Report
from bioxedge.building.books import ROWS, book_name, holds, packed, read_book, sound_book
from bioxedge.building.store import Store, digest_of, key_of
from bioxedge.datasets import cutting, noncausal
from bioxedge.datasets.choosing import Chosen, Left
from bioxedge.datasets.session import Part
from bioxedge.errors import DatasetError
from bioxedge.recipes import Data, Recipe, Side

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

_UNUSED = ("board", "preset", "same_as")  # of a sensor: for the device, not for windows


@dataclass(frozen=True)
class Windows:
    """Windows of all sessions, and where each comes from.

    Attributes
    ----------
    source, target : Tensor of float32, shape [windows, channels, samples]
        Mapped; what was worn alone stands in one of them only.
    source_row, target_row : ndarray of int64, shape [n]
        For each moment its window in both; −1 where there is none.
    session : ndarray of int64, shape [n]
        Number of the session that it is of.
    sessions : tuple of Chosen
    start, moment : ndarray of float64, shape [n]
        Where each begins: seconds on the session's nominal line, and Unix time.
    seconds : ndarray of float64, shape [n]
        How long each is.
    measures : ndarray of float64, shape [n, channels, measures]
        What the judge of signals measured of the raw source; NaN where it was not worn.
    classic : ndarray of float64, shape [n, features]
        Classic features of the raw source; NaN where one is not possible.
    target_classic : ndarray of float64, shape [n, features]
        Those of the raw target, where the recipe asks for them; no features where it does not.
    left : tuple of Left
        What serves for nothing, and why.
    clocks : dict of str to str
        What was found of both clocks, in words, by session.
    key : str
        Of the step that cut them.
    """

    source: Tensor
    target: Tensor
    source_row: Whole
    target_row: Whole
    session: Whole
    sessions: tuple[Chosen, ...]
    start: Floats
    moment: Floats
    seconds: Floats
    measures: Floats
    classic: Floats
    target_classic: Floats
    left: tuple[Left, ...]
    clocks: dict[str, str]
    key: str

    def __len__(self) -> int:
        return len(self.start)

    @property
    def person(self) -> npt.NDArray[np.str_]:
        """Who each is of, shape [n]."""
        names = np.array([one.person for one in self.sessions], dtype=np.str_)
        return names[self.session]

    @property
    def name(self) -> npt.NDArray[np.str_]:
        """Which session each is of, shape [n]."""
        return np.array([one.name for one in self.sessions], dtype=np.str_)[self.session]

    def serving(self, role: str) -> npt.NDArray[np.bool_]:
        """Which of them are of sessions that may serve for a role, shape [n]."""
        able = np.array([role in one.roles for one in self.sessions], dtype=bool)
        return able[self.session]

    def step_of(self, number: int) -> float:
        """Seconds from one window of a session to the next, by which minutes are counted."""
        starts = np.sort(self.start[self.session == number])
        return float(np.median(np.diff(starts))) if len(starts) > 1 else float(self.seconds.max())


def windows_of(
    recipe: Recipe, chosen: Sequence[Chosen], left: Sequence[Left], store: Store
) -> Windows:
    """Cut all sessions, or take what was cut before.

    Parameters
    ----------
    recipe : Recipe
    chosen, left
        What :func:`bioxedge.datasets.choosing.choose` gave.
    store : Store

    Raises
    ------
    DatasetError
        No session holds a window that serves.
    BioxedgeError
        Recordings that cannot be read, or are not what the recipe says.
    """
    key = key_of("windows", _facts(recipe), [_identity(one) for one in chosen])

    def fill(report: Report, folder: Path) -> None:
        if store.world.first:
            _fill(recipe, chosen, folder, report)

    folder = store.files("windows", "Recordings cut into windows", key, fill)
    found = _read(recipe, chosen, folder)
    books = [read_book(folder / book_name(number)) for number in range(len(chosen))]
    missing = [
        Left(one.name, one.person, each.why, each.windows, each.seconds)
        for one, book in zip(chosen, books, strict=True)
        for each in book.left
    ]
    if not len(found["start"]):
        why = f"; {missing[0].name}: {missing[0].why}" if missing else ""
        raise DatasetError(
            f"no recording holds a whole window that serves ({recipe.source.length} and "
            f"{recipe.target.length} samples, settled){why}: record longer, or shorten the windows"
        )
    return Windows(
        **found,
        sessions=tuple(chosen),
        left=(*left, *missing),
        clocks={
            one.name: book.clocks for one, book in zip(chosen, books, strict=True) if book.clocks
        },
        key=key,
    )


def _facts(recipe: Recipe) -> list[Any]:
    """What of a recipe decides what windows are."""
    sides = []
    for name in ("source", "target"):
        about: Side = getattr(recipe, name)
        side = msgspec.to_builtins(about)
        # A baseline changes no window; the source's classic features are there whatever it says,
        # those of breathing where it says so.
        for later in ("model", "preprocessing", "baseline"):
            del side[later]
        if name == "source" and not about.breathing:
            del side["classic"]
        if about.preprocessing != "streaming":  # what is done to whole recordings is the model's
            side["preprocessing"] = noncausal.said(about)
        for key in _UNUSED:
            side["sensor"].pop(key, None)
        sides.append(side)
    return [*sides, msgspec.to_builtins(recipe.align), recipe.quality]


def _identity(one: Chosen) -> list[Any]:
    """What of a session decides what windows are."""
    picked = [msgspec.to_builtins(one.data.source), msgspec.to_builtins(one.data.target)]
    facts = [one.name, digest_of_part(one.source, one.data, one.session.name),
             digest_of_part(one.target, one.data, one.session.name), picked]  # fmt: skip
    mine, theirs = one.marks
    if mine and theirs:  # they may tell how the clocks differ
        facts.append([[[mark.start, mark.text] for mark in side] for side in (mine, theirs)])
    return facts


def digest_of_part(part: Part | None, data: Data, session: str) -> str:
    """Hash one recording of a session, or what it is made from; empty where there is none."""
    if part is None:
        return ""
    if data.dataset == "simulated":
        return f"{part.name} {session} {data.wearers} {data.minutes} {data.seed}{part.altered}"
    return digest_of(list(part.files)) + part.altered


def _fill(recipe: Recipe, chosen: Sequence[Chosen], folder: Path, report: Report) -> None:
    """Cut what is not cut yet; a session counts as soon as its book stands."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.f32" for name in ("source", "target")}
    sizes = [4 * int(np.prod(_shape(getattr(recipe, name)))) for name in files]
    done, counts = 0, [0, 0]
    while done < len(chosen) and (book := sound_book(folder / book_name(done))) is not None:
        found = [int(value) for value in book.arrays["counts"]]
        held = zip(files.values(), sizes, found, strict=True)
        if not all(holds(path, size * count) for path, size, count in held):
            break  # a file was cut short: what its books say is not there
        done, counts = done + 1, found
    # Books beyond what is sound say nothing: their windows are about to be cut off.
    for path in folder.glob("session-*.npz"):
        if path.name >= book_name(done):
            path.unlink()
    report(done, len(chosen))
    with ExitStack() as stack:
        open_ = [stack.enter_context(path.open("ab")) for path in files.values()]
        for file, size, count in zip(open_, sizes, counts, strict=True):
            file.truncate(size * count)
        puts = [_putter(file, counts, number) for number, file in enumerate(open_)]
        for number, (_, cut) in enumerate(cutting.each(chosen[done:], recipe, *puts), done):
            for file in open_:
                file.flush()
                os.fsync(file.fileno())
            write_file(folder / book_name(number), packed(cut, counts))
            report(number + 1, len(chosen))


def _putter(file: BinaryIO, counts: list[int], number: int) -> cutting.Put:
    """Give what appends a window to a file."""

    def put(window: npt.NDArray[np.float32]) -> int:
        file.write(np.ascontiguousarray(window, np.float32).tobytes())
        counts[number] += 1
        return counts[number] - 1

    return put


def _shape(side: Side) -> tuple[int, int]:
    """Channels and samples of a side's windows."""
    return len(dsp.Stages(side.streamed, side.sensor.input).channels), side.length


def _read(recipe: Recipe, chosen: Sequence[Chosen], folder: Path) -> dict[str, Any]:
    """Put the sessions' books together, and map their windows."""
    books = [read_book(folder / book_name(number)).arrays for number in range(len(chosen))]
    found: dict[str, Any] = {
        name: np.concatenate([book[name] for book in books]) for name in (*ROWS, "seconds")
    }
    sizes = [len(book["start"]) for book in books]
    found["session"] = np.repeat(np.arange(len(books)), sizes)
    for name in ("measures", "classic", "target_classic"):
        held = [
            book.get(name, np.empty((size, 0))) for book, size in zip(books, sizes, strict=True)
        ]
        shape = next((one.shape[1:] for one in held if one.shape[-1]), (0,))
        rows = [
            one if one.shape[1:] == shape else np.full((size, *shape), np.nan)
            for one, size in zip(held, sizes, strict=True)
        ]
        found[name] = np.concatenate(rows)
    last = books[-1]["counts"] if books else (0, 0)
    for number, name in enumerate(("source", "target")):
        shape = (int(last[number]), *_shape(getattr(recipe, name)))
        found[name] = (
            readonly(np.memmap(folder / f"{name}.f32", np.float32, "r", shape=shape))
            if shape[0]
            else torch.empty(shape)
        )
    return found
