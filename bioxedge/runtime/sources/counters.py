"""How each board numbers its rows: what BrainFlow 5.23 passes on, read in its source.

A counter gives a number that goes up by ``step`` until ``modulus``, and ``rows`` rows of one
packet share it. Where the number is made on the host, it looks perfect whatever is lost: such
a board is called blind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Stamps = Literal["row", "burst", "spread", "device", "recorded", "unknown"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pattern:
    """How a counter goes.

    Parameters
    ----------
    modulus : int or None
        Numbers are below it; None where it never comes round.
    step : int, optional
        From one number to the next. The first one after a turn is ``base``, wherever the last
        one stood: 0, 5 … 255 and then 0 again is a turn of 52 numbers.
    rows : int, optional
        Rows that share a number.
    base : int, optional
        The smallest number.
    stamps : str, optional
        What the time stamps are. ``row``: the host's clock as each row is parsed. ``burst``: the
        same for a packet of several. ``spread``: a packet's rows laid evenly over the time since
        the one before. ``device``: the device's clock, moved to the host's. ``recorded``: true
        sample times, out of a file. ``unknown``: not to be used.
    blind : bool, optional
        Written by the host, or never: it cannot show a loss.
    low_byte : bool, optional
        Only the number's low byte counts this preset's packets.
    stale : tuple of int, optional
        Rows of the table that hold old values where a row comes with its forerunner's number.
    others : tuple of Pattern, optional
        What the same board may do instead, by its firmware or mode: the stream decides.
    """

    modulus: int | None
    step: int = 1
    rows: int = 1
    base: int = 0
    stamps: Stamps = "row"
    blind: bool = False
    low_byte: bool = False
    stale: tuple[int, ...] = ()
    others: tuple[Pattern, ...] = ()

    @property
    def turn(self) -> int | None:
        """Rows until the numbers come round; None where they never do."""
        if self.modulus is None:
            return None
        return ((self.modulus - 1 - self.base) // self.step + 1) * self.rows

    def ordinals(self, numbers: Floats) -> Ints:
        """Count packets within a turn: 0 for ``base``, and -1 for what is no such number."""
        most = 2.0**53 if self.modulus is None else float(self.modulus)
        if self.low_byte:
            finite = np.where(np.isfinite(numbers), numbers, -1.0)
            numbers = np.where(finite >= 0, finite % 256, -1.0)
        place: Floats = numbers - self.base
        if self.step != 1:
            place = place / self.step
        whole = (numbers >= self.base) & (numbers < most) & (place == np.floor(place))
        return np.where(whole, place, -1.0).astype(np.int64)

    def __str__(self) -> str:
        """Write it for people: ``0–255, 2 rows a number``."""
        if self.blind:
            return "a counter that shows no loss"
        most = "" if self.modulus is None else str(self.modulus - 1)
        step = "" if self.step == 1 else f" in steps of {self.step}"
        rows = "" if self.rows == 1 else f", {self.rows} rows a number"
        return f"{self.base}–{most}{step}{rows}"


BYTE = Pattern(256)
BURST = Pattern(256, stamps="burst")
HOST = Pattern(None, blind=True)
HOST_BURST = Pattern(None, blind=True, stamps="burst")
SILENT = Pattern(None, blind=True, stamps="spread")
WORD = 65536

_MUSE = {
    "default": Pattern(WORD, rows=12, stamps="spread"),
    "auxiliary": Pattern(WORD, rows=3, stamps="spread"),
    # Written by BrainFlow's wheel 5.23.0 and by BLED; an older core leaves it at 0 (#860).
    "ancillary": Pattern(WORD, rows=6, stamps="spread", others=(SILENT,)),
}
_GANGLION = Pattern(
    100, rows=2, stamps="burst", others=(Pattern(200, rows=2, base=100, stamps="burst"),)
)


def _athena(*rows: int) -> Pattern:
    """Two numbers in one: packets of all kinds × 256 + blocks of this kind."""
    first, *others = (Pattern(256, rows=k, stamps="burst", low_byte=True) for k in rows)
    return Pattern(**{**vars(first), "others": tuple(others)})


def _explore(rows: int) -> dict[str, Pattern]:
    return {"default": Pattern(256, rows=rows, stamps="spread")}


# What is not here is learnt from the stream: irregular (emotibit), not told by BrainFlow's
# source (notion, crown, ant_neuro, unicorn), or another number of rows each time.
_TABLE: dict[str, dict[str, Pattern]] = {
    "synthetic": {"default": BYTE, "auxiliary": BYTE},
    "cyton": {"default": BYTE},
    # The number is that of a pair's even packet. Without that packet, the row comes all the
    # same: with the pair's number before, and channels 9 to 16 as they were.
    "cyton_daisy": {"default": Pattern(256, step=2, stale=tuple(range(9, 17)))},
    "cyton_wifi": {"default": BYTE},
    "cyton_daisy_wifi": {"default": BYTE},
    "ganglion": {"default": _GANGLION},
    "ganglion_native": {"default": _GANGLION},
    "ganglion_wifi": {"default": BYTE},
    "galea": {
        "default": Pattern(256, stamps="device"),
        "auxiliary": Pattern(256, step=5, stamps="device"),
    },
    **{f"muse_{kind}": _MUSE for kind in ("2", "s", "2_bled", "s_bled")},
    **{
        f"muse_{kind}": {k: p for k, p in _MUSE.items() if k != "ancillary"}
        for kind in ("2016", "2016_bled")
    },
    "muse_s_athena": {
        "default": _athena(4, 2),
        "auxiliary": _athena(3),
        "ancillary": _athena(3, 2, 1),
    },
    "brainbit": {"default": HOST},
    "brainbit_bled": {"default": Pattern(2048, rows=2, stamps="burst")},
    "callibri_eeg": {"default": HOST},
    "callibri_emg": {"default": HOST},
    "callibri_ecg": {"default": HOST},
    "enophone": {"default": Pattern(WORD)},
    "freeeeg32": {"default": BYTE},
    "freeeeg128": {"default": BYTE},
    "ironbci_32": {"default": BYTE},
    "explore_4_chan": _explore(33),
    "explore_8_chan": _explore(16),
    "explore_plus_8_chan": _explore(16),
    "explore_plus_32_chan": _explore(4),
    "ntl_wifi": {"default": BYTE},
    "aavaa_v3": {"default": BURST},
    "brainalive": {"default": BURST},
    "pieeg": {"default": HOST},
    "neuropawn_knight": {"default": BYTE},
    "neuropawn_knight_board_imu": {"default": BYTE},
    # The SDK marks made-up samples and BrainFlow drops the mark: no loss can be seen.
    **{
        f"{kind}_channels": {"default": HOST_BURST}
        for kind in (
            "synchroni_trio_3",
            "synchroni_octo_8",
            "synchroni_pento_8",
            "synchroni_uno_1",
            "ob5000_8",
            "ob3000_24",
        )
    },
    "biolistener": {
        "default": Pattern(2**32, stamps="unknown"),
        "auxiliary": Pattern(2**32, stamps="unknown"),
    },
    "shimmer3": {"default": HOST},
    "gforce_pro": {"default": HOST_BURST},
    "gforce_dual": {"default": HOST_BURST},
}


def pattern(board: str, preset: str) -> Pattern | None:
    """Look a board's preset up; None where its counter has to be learnt.

    Examples
    --------
    >>> pattern("galea", "auxiliary").turn
    52
    """
    return _TABLE.get(board, {}).get(preset)
