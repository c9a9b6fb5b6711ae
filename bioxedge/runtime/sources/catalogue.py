"""What is known of every board: how it is reached, what it needs, how its losses show.

The words come from ``data/boards.json``, read in BrainFlow's source and measured where it could
be. Presets, channels and rates are asked from BrainFlow's library where it is there; else those
of the file hold. What a counter shows comes from :mod:`~bioxedge.runtime.sources.counters`, by
which the stream itself goes.
"""

from __future__ import annotations

import difflib
import functools
from importlib import resources

import msgspec

from bioxedge.errors import MissingExtraError, SourceError
from bioxedge.runtime.sources import boards
from bioxedge.runtime.sources.brainflow import STARTUP
from bioxedge.runtime.sources.counters import Pattern, Stamps, pattern

SIGNALS = ("ppg", "ecg", "emg", "eeg", "eda")
"""Kinds of signals that a board is listed for."""
_STAMPS: dict[Stamps, str] = {
    "row": "the host's clock as each row is read",
    "burst": "the host's clock; the rows of a packet have nearly the same",
    "spread": "a packet's arrival, its rows laid evenly since the one before",
    "device": "the device's clock, moved to the host's",
    "recorded": "true sample times",
    "unknown": "not to be used",
}


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one preset of a board gives.

    Attributes
    ----------
    rate : float
        Nominal, in Hz.
    signals : dict of str to int
        How many channels of each kind: ``{"ppg": 3}`` stands for ``ppg_1`` to ``ppg_3``.
    electrodes : tuple of str
        Names of the EEG channels, where BrainFlow names them.
    """

    rate: float
    signals: dict[str, int]
    electrodes: tuple[str, ...] = ()


class Board(msgspec.Struct, frozen=True):
    """What is known of a board.

    Attributes
    ----------
    name : str
        As a user writes it.
    number : int
        BrainFlow's.
    presets : dict of str to Preset
    title : str
    link : str
        ``Bluetooth``, ``dongle`` (Bluetooth through a BLED112), ``serial``, ``Wi-Fi``, ``USB``,
        ``SPI``, ``none``; ``?`` where nothing is known.
    where : str
        The systems it works on; empty where on all.
    needs, may : dict of str to str
        Parameters that it must have, with an example, and may have, with what for.
    config : dict of str to str
        Commands for ``--command``, and what they do.
    unit : str
    losses, notes : tuple of str
        How its losses show beyond what the counter says; what else to know.
    seen_as : tuple of str
        How its Bluetooth name begins.
    """

    name: str
    number: int
    presets: dict[str, Preset]
    title: str = ""
    link: str = "?"
    where: str = ""
    needs: dict[str, str] = {}
    may: dict[str, str] = {}
    config: dict[str, str] = {}
    unit: str = ""
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seen_as: tuple[str, ...] = ()

    def startup(self, preset: str) -> str:
        """Give what ``run`` sends by itself (``other_info``) so that a preset streams."""
        return STARTUP.get(self.name, "") if preset == "ancillary" else ""

    def having(self, signal: str | None = None) -> dict[str, Preset]:
        """Give the presets with a kind of signal, or with any that a board is listed for."""
        wanted = set(SIGNALS if signal is None else [signal])
        return {name: one for name, one in self.presets.items() if wanted & set(one.signals)}


class Catalogue(msgspec.Struct, frozen=True):
    """All boards, and who says what they have.

    Attributes
    ----------
    boards : dict of str to Board
    origin : str
        ``library`` or ``shipped``.
    version : str
        BrainFlow's: the library's own, or that of the shipped descriptors.
    why : str
        Why the library was not asked; empty where it was.
    """

    boards: dict[str, Board]
    origin: str
    version: str
    why: str = ""

    def find(self, name: str) -> Board:
        """Find a board in any spelling.

        Raises
        ------
        SourceError
            No such board; names the nearest.
        """
        wanted = name.strip().lower().replace("-", "_").removesuffix("_board")
        if wanted in self.boards:
            return self.boards[wanted]
        near = difflib.get_close_matches(wanted, self.boards, n=4, cutoff=0.5)
        near += [other for other in self.boards if wanted and wanted in other and other not in near]
        hint = f"did you mean {', '.join(near[:6])}?" if near else "see bioxedge boards"
        raise SourceError(f"there is no board {name!r} with sensors: {hint}")


class _Described(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    presets: dict[str, Preset]


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    """Fields of :class:`Board` that several boards share."""

    boards: tuple[str, ...]
    title: str = ""
    link: str = ""
    where: str = ""
    unit: str = ""
    needs: dict[str, str] = {}
    may: dict[str, str] = {}
    config: dict[str, str] = {}
    losses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seen_as: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    brainflow: str
    boards: dict[str, _Described]
    facts: tuple[_Facts, ...]


def catalogue() -> Catalogue:
    """Gather all boards: from BrainFlow's library where it loads, else as they are shipped."""
    try:
        described, version = from_library()
    except (MissingExtraError, SourceError) as error:
        file = _file()
        return Catalogue(shipped(), "shipped", file.brainflow, str(error))
    known = shipped()
    gathered = {}
    for name, one in described.items():
        facts = known.get(name, Board(name, one.number, {}))
        gathered[name] = msgspec.structs.replace(facts, number=one.number, presets=one.presets)
    return Catalogue(gathered, "library", version)


def shipped() -> dict[str, Board]:
    """Give every board as ``data/boards.json`` has it."""
    file = _file()
    return {name: _with_facts(name, one, file.facts) for name, one in file.boards.items()}


def from_library() -> tuple[dict[str, _Described], str]:
    """Ask BrainFlow's library for every board's presets, and for its version.

    Raises
    ------
    MissingExtraError, SourceError
        It is not installed, or cannot be loaded.
    """
    shim = boards.library()
    found = {}
    for name, number in boards.board_names().items():
        presets = {one.preset: _preset(one) for one in boards.layouts(name).values()}
        found[name] = _Described(number, presets)
    return found, str(shim.BoardShim.get_version())


def losses(board: Board, preset: str) -> list[str]:
    """Say how a preset's counter shows losses, in sentences.

    They are made of the same pattern that the stream goes by; what goes beyond a counter is in
    :attr:`Board.losses`.
    """
    how = pattern(board.name, preset)
    if how is None:
        return ["How its counter goes is learnt from the stream."]
    return _sentences(how, board.presets[preset].rate)


def brief(board: str, preset: str) -> str:
    """Say in a word or two how a preset's losses show."""
    how = pattern(board, preset)
    if how is None:
        return "learnt"
    if how.blind:
        return "unseen"
    return "seen" if how.rows == 1 else f"{how.rows} rows"


def _sentences(how: Pattern, rate: float) -> list[str]:
    said = []
    if how.blind:
        said.append("A loss is not seen: the numbers do not come from the device, or never change.")
    else:
        said.append(f"A loss shows as a jump of the counter, which goes {how}.")
        if how.rows > 1:
            said.append(f"Rows are lost by packets of {how.rows}.")
        if how.low_byte:
            said.append("Of the number, only the low byte counts this preset's packets.")
        if how.turn is not None:
            seconds = how.turn / rate
            took = f"{seconds:.3g} s" if seconds < 600 else f"{seconds / 60:.0f} min"
            turn = f"{how.turn} rows ({took})"
            said.append(f"It comes round after {turn}: losses of whole turns are told by time.")
    if how.stale:
        rows = f"{how.stale[0]}–{how.stale[-1]}"
        said.append(f"A row with the number of the one before is no loss: its rows {rows} are old.")
    if how.others:
        others = "; or ".join(map(str, how.others))
        said.append(f"By firmware or mode it may also be {others}: the stream decides.")
    said.append(f"Its stamps are {_STAMPS[how.stamps]}.")
    return said


def _with_facts(name: str, described: _Described, facts: tuple[_Facts, ...]) -> Board:
    """Gather what is said of a board: of single words the last, of lists all."""
    board = Board(name, described.number, described.presets)
    for fact in facts:
        if name not in fact.boards:
            continue
        changes = {}
        for field in msgspec.structs.fields(_Facts):
            new = getattr(fact, field.name)
            if field.name == "boards" or not new:
                continue
            old = getattr(board, field.name)
            if isinstance(new, dict):
                new = {**old, **new}
            elif isinstance(new, tuple):
                new = (*old, *new)
            changes[field.name] = new
        board = msgspec.structs.replace(board, **changes)
    return board


def _preset(layout: boards.Layout) -> Preset:
    """Count a layout's channels by kind; ``exg`` counts what the others count already."""
    signals: dict[str, int] = {}
    electrodes = []
    for name in layout.channels:
        kind, _, number = name.rpartition("_")
        if kind and number.isdigit():
            signals[kind] = max(signals.get(kind, 0), int(number))
        else:
            electrodes.append(name)
    signals.pop("exg", None)
    return Preset(layout.rate, signals, tuple(electrodes))


@functools.cache
def _file() -> _File:
    raw = (resources.files("bioxedge") / "data" / "boards.json").read_bytes()
    return msgspec.json.decode(raw, type=_File)
