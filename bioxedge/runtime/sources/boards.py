"""BrainFlow's boards: their names, presets and channels, and the library itself.

The naming rule, for every board alike: where BrainFlow names the EEG electrodes, those names
(``TP9``); and every kind of signal numbered from 1 in BrainFlow's order (``ppg_1``, ``eeg_1``,
``accel_1`` …), the kind being the descriptor's key without ``_channels``. ``exg_1`` … are all
of a board's biopotential rows, as BrainFlow counts them. On Muse 2, ``ppg_2`` is infrared.
"""

from __future__ import annotations

import difflib
import platform
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bioxedge.errors import MissingExtraError, SourceError

PRESETS = ("default", "auxiliary", "ancillary")
_EXG = ("eeg", "emg", "ecg", "eog")
# No sensors of their own: they show what another board recorded or sends.
_STAND_INS = ("NO_BOARD", "PLAYBACK_FILE_BOARD", "STREAMING_BOARD")
_BUILD = "`python3 device/brainflow/build.py` makes one, pip installs it (device/README.md)"


@dataclass(frozen=True)
class Layout:
    """Where things stand in the rows that a board gives.

    Attributes
    ----------
    board, preset : str
        As a user writes them (``muse_2``, ``ancillary``).
    board_id, preset_id : int
        As BrainFlow numbers them.
    rate : float
        Nominal rate in Hz.
    channels : dict of str to int
        Every channel's name and row.
    counter, stamp : int
        Rows of the package counter and of the time stamp.
    width : int
        Number of rows.
    """

    board: str
    preset: str
    board_id: int
    preset_id: int
    rate: float
    channels: dict[str, int]
    counter: int
    stamp: int
    width: int

    @property
    def title(self) -> str:
        """Board and preset, for messages."""
        return f"{self.board} ({self.preset} preset)"

    def rows(self, wanted: tuple[str, ...]) -> list[int]:
        """Rows of the named channels, in the order asked for.

        Raises
        ------
        SourceError
            A name that this preset does not have; tells which preset has such a signal.
        """
        missing = [name for name in wanted if name not in self.channels]
        if not missing:
            return [self.channels[name] for name in wanted]
        kind = missing[0].rpartition("_")[0] or missing[0]
        elsewhere = [
            other
            for other, layout in layouts(self.board).items()
            if other != self.preset
            and any(n == missing[0] or n.rpartition("_")[0] == kind for n in layout.channels)
        ]
        hint = f"; its {' and '.join(elsewhere)} preset has {kind}" if elsewhere else ""
        raise SourceError(
            f"{self.title} has no channel {', '.join(missing)}: "
            f"it has {_listed(self.channels)}{hint}"
        )

    def require_rate(self, rate: float) -> None:
        """Hold the board's rate to the one that is wanted.

        Raises
        ------
        SourceError
            Stating both.
        """
        if self.rate != rate:
            raise SourceError(
                f"{self.title} runs at {self.rate:g} Hz, {rate:g} Hz are wanted: use a board or "
                f"preset of {rate:g} Hz, or a bundle built for {self.rate:g} Hz"
            )


def library() -> Any:
    """Import ``brainflow.board_shim``, its own log switched off.

    Raises
    ------
    MissingExtraError
        BrainFlow is not installed.
    SourceError
        It is installed and cannot be loaded on this machine.
    """
    with explained("BrainFlow"), warnings.catch_warnings():
        # Below Python 3.12 its first call falls back to pkg_resources, which warns.
        warnings.simplefilter("ignore")
        try:
            from brainflow import board_shim
        except ModuleNotFoundError as error:
            if error.name and error.name.partition(".")[0] == "brainflow":
                raise MissingExtraError("brainflow", "brainflow") from error
            raise
        board_shim.BoardShim.disable_board_logger()
    return board_shim


@contextmanager
def explained(what: str, cure: str = "") -> Iterator[None]:
    """Turn what BrainFlow raises into one line that names the cure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise SourceError(
            f"BrainFlow cannot be loaded: {error.name} is missing; pip install 'setuptools<82'"
        ) from error
    except OSError as error:
        raise SourceError(
            f"BrainFlow's library cannot be loaded on this machine ({platform.machine()}): its "
            f"wheel holds none for Linux ARM64: {_BUILD}"
        ) from error
    except Exception as error:
        # BrainFlowError by name: the class lives in a package that may be missing.
        if type(error).__name__ != "BrainFlowError":
            raise
        said = " ".join(str(error).split())
        raise SourceError(f"{what}: {said}{'; ' + cure if cure else ''}") from error


def board_names() -> dict[str, int]:
    """Every board with sensors of its own, as a user writes it, and BrainFlow's number.

    Raises
    ------
    MissingExtraError, SourceError
        See :func:`library`.
    """
    return {
        _short(member.name): int(member)
        for member in library().BoardIds
        if member.name not in _STAND_INS
    }


def find_board(name: str) -> tuple[str, int]:
    """Find a board by BrainFlow's name, in any case, with or without ``_BOARD``.

    Returns
    -------
    tuple of str and int
        The short name and BrainFlow's number.

    Raises
    ------
    SourceError
        No such board; lists the nearest names.
    """
    known = board_names()
    wanted = _short(name.strip().replace("-", "_"))
    if wanted in known:
        return wanted, known[wanted]
    near = difflib.get_close_matches(wanted, known, n=4, cutoff=0.5)
    near += [other for other in known if wanted and wanted in other and other not in near]
    if f"{wanted.upper()}_BOARD" in _STAND_INS:
        hint = "it has no sensor of its own; play a recording with playback:FOLDER"
    else:
        hint = (
            f"did you mean {', '.join(near[:6])}?"
            if near
            else "bioxedge boards lists those with sensors"
        )
    raise SourceError(f"BrainFlow has no board {name!r} to stream from: {hint}")


def layouts(board: str) -> dict[str, Layout]:
    """Every preset of a board.

    Raises
    ------
    SourceError
        No such board.
    """
    shim = library()
    short, number = find_board(board)
    found = {}
    # Only what is there: asking for another preset's descriptor adds an empty one to BrainFlow's
    # own table, and from then on the board does not start (5.23.0, measured).
    for preset_id in sorted(map(int, shim.BoardShim.get_board_presets(number))):
        preset = PRESETS[preset_id]
        about = shim.BoardShim.get_board_descr(number, preset_id)
        found[preset] = Layout(
            board=short,
            preset=preset,
            board_id=number,
            preset_id=preset_id,
            rate=float(about["sampling_rate"]),
            channels=_names(about),
            counter=int(about["package_num_channel"]),
            stamp=int(about["timestamp_channel"]),
            width=int(about["num_rows"]),
        )
    return found


def layout(board: str, preset: str | None = None, channels: tuple[str, ...] = ()) -> Layout:
    """Find one preset of a board.

    Parameters
    ----------
    board : str
    preset : str, optional
        ``default``, ``auxiliary`` or ``ancillary``; left out, the first one that has all the
        channels, and ``default`` where none has.
    channels : tuple of str, optional

    Raises
    ------
    SourceError
        No such board, or no such preset of it.
    """
    found = layouts(board)
    if preset is None:
        having = [one for one in found.values() if set(channels) <= set(one.channels)]
        return having[0] if having else next(iter(found.values()))
    if preset.lower() not in found:
        raise SourceError(
            f"{find_board(board)[0]} has no preset {preset!r}: it has {', '.join(found)}"
        )
    return found[preset.lower()]


def channel_names(board: str, preset: str | None = None) -> dict[str, int]:
    """Names and rows of a board's channels, by the rule that this module states.

    Examples
    --------
    >>> channel_names("muse_2", "ancillary")["ppg_2"]
    2
    """
    return dict(layout(board, preset).channels)


def fitting(channels: tuple[str, ...], rate: float) -> list[Layout]:
    """Every board and preset that gives these channels at this rate."""
    return [
        one
        for board in board_names()
        for one in layouts(board).values()
        if one.rate == rate and set(channels) <= set(one.channels)
    ]


def _listed(names: Iterable[str]) -> str:
    """Write channel names shortly: ``eeg_1–8`` for eight in a row."""
    last: dict[str, int] = {}
    for name in names:
        kind, _, number = name.rpartition("_")
        last[kind if number.isdigit() else name] = int(number) if number.isdigit() else 0
    return ", ".join(
        name if not n else f"{name}_1" + (f"–{n}" if n > 1 else "") for name, n in last.items()
    )


def _short(name: str) -> str:
    """``MUSE_2_BOARD`` -> ``muse_2``."""
    return name.lower().removesuffix("_board")


def _names(about: dict[str, Any]) -> dict[str, int]:
    """Apply the naming rule to a descriptor."""
    kinds = {
        key.removesuffix("_channels"): rows
        for key, rows in about.items()
        if key.endswith("_channels")
    }
    exg = sorted({row for kind in _EXG for row in kinds.get(kind, ())})
    electrodes = [name for name in about.get("eeg_names", "").split(",") if name]
    names = dict(zip(electrodes, kinds.get("eeg", ()), strict=False))
    for kind, rows in sorted(kinds.items()) + ([("exg", exg)] if exg else []):
        names.update({f"{kind}_{number}": row for number, row in enumerate(rows, 1)})
    return names
