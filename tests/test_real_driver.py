"""BrainFlow's own Cyton driver on a pseudo-terminal: losses, damage, silence, unplugging, signals.

The board is ``cyton.py``. Its samples say when they were taken, so each test reads off a sample
where it belongs; what the board lost is known to the board alone.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from cyton import RATE, TURN, Cyton, when
from fixtures_bundle import make_bundle

from bioxedge import SourceError
from bioxedge.runtime import BrainFlowSource, Stream, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.supervise import Supervised

pytest.importorskip("brainflow", reason="the driver comes with pip install 'bioxedge[brainflow]'")

CYTON, DAISY = ("ecg_1", "ecg_2", "ecg_8"), ("ecg_1", "ecg_8", "ecg_9", "ecg_16")
PATIENCE = 30.0  # seconds until a test gives up; nothing waits so long where all is well


class Tap:
    """A source and what came out of it, with a hand on the board while it is read.

    The script goes on by a step at every read; where it returns True, the source has ended.
    """

    def __init__(self, source, script):
        self.source, self.script = source, script(self)
        self.chunks, self.events, self.began = [], [], time.monotonic()

    def __getattr__(self, name):
        return getattr(self.source, name)

    def read(self):
        assert time.monotonic() - self.began < PATIENCE, "the run does not come to its end"
        try:
            next(self.script)
        except StopIteration as over:
            if over.value:
                return None
        chunk = self.source.read()
        if chunk is not None and chunk.samples.shape[1]:
            self.chunks.append(chunk)
        return chunk

    def take_events(self):
        events = self.source.take_events()
        self.events += events
        return events

    @property
    def end(self):
        return self.chunks[-1].end if self.chunks else 0

    def told(self, kind):
        return sum(event.kind == kind for event in self.events)


@dataclass
class Keep:
    """A sink that keeps what comes."""

    name: str = "kept"
    records: list = field(default_factory=list)

    def open(self, run):
        pass

    def emit(self, record):
        self.records.append(record)

    def close(self):
        pass


class Ran:
    """What a run gave, on a common index."""

    def __init__(self, tap, kept, tally, bundle):
        self.tap, self.tally = tap, tally
        self.predictions = [one for one in kept.records if not isinstance(one, Event)]
        self.events = [one for one in kept.records if isinstance(one, Event)]
        self.max_gap = bundle.manifest.stream.max_gap
        self.rate = bundle.manifest.input.rate
        self.end = tally.samples
        self.values = np.full((len(tap.channels), tap.end), np.nan)
        for chunk in tap.chunks:
            self.values[:, chunk.first : chunk.end] = chunk.samples
        self.values = self.values[:, : self.end]
        self.ticks = np.stack(
            [
                when(row, int(name.rpartition("_")[2]))
                for name, row in zip(tap.channels, self.values, strict=True)
            ]
        )

    @property
    def missing(self):
        """Indices at which no channel has a value."""
        return np.flatnonzero(np.isnan(self.ticks).all(axis=0))

    def displaced(self):
        """By how many rows each sample lies elsewhere than the board took it."""
        begin = self.ticks[:, 0]
        assert len(set(begin)) == 1
        off = (np.arange(self.end) - (self.ticks - begin[0])) % TURN
        return np.where(off > TURN / 2, off - TURN, off)

    def check_windows(self):
        """Every window says what it holds, and none lies over a hole that is too long."""
        assert self.predictions
        holes = np.isnan(self.ticks).any(axis=0)
        gone = np.isnan(self.ticks).all(axis=0)
        for one in self.predictions:
            span = slice(round(one.t_start * self.rate), round(one.t_end * self.rate))
            assert one.gap == holes[span].sum()
            assert one.quality.real == pytest.approx(1 - one.gap / (span.stop - span.start))
            if not one.gap:
                assert one.loss == 0
            elif gone[span].any():
                assert one.loss >= gone[span].sum()
            long = "1" * (self.max_gap + 1)
            assert long not in "".join("01"[int(hole)] for hole in holes[span])


def bundle_for(folder, channels):
    rate = 125.0 if channels is DAISY else 250.0
    return make_bundle(
        folder, modality="ecg", channels=channels, rate=rate, stages=(), length=100, hop=25
    )


def drive(folder, board, samples=None, *, script=lambda tap: iter(()), supervise=None, **options):
    """Run a bundle on the board until so many samples or the script's end; what came of it."""
    channels, kind = (DAISY, "cyton_daisy") if board.daisy else (CYTON, "cyton")
    bundle = bundle_for(folder / f"bundle-{time.monotonic_ns()}", channels)
    rate = bundle.manifest.input.rate
    params = {"serial_port": str(board.port)}
    source = BrainFlowSource(kind, channels=channels, rate=rate, params=params, **options)
    tap = Tap(source if supervise is None else Supervised(source, **supervise), script)
    kept = Keep()
    tally = loop.run(tap, Stream(bundle), [kept], seconds=samples and samples / rate)
    return Ran(tap, kept, tally, bundle)


def until(what):
    """Wait for something, not for a time."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# -- losses ---------------------------------------------------------------------------------

LOSSES = {200: 1, 290: 40, 400: 64, 530: 255, 860: 256, 1190: 300}


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    lost = {at + k for at, many in LOSSES.items() for k in range(many)}
    with Cyton(folder / "tty", lost=lost) as board:
        ran = drive(folder, board, 1560, config=("x1060110X", "~6"))
        until(lambda: "s" in board.commands)
        return ran, board.commands


def test_every_value_is_where_it_was_taken_and_every_loss_is_counted(losses):
    ran, _ = losses
    there = np.isfinite(ran.ticks)
    assert set(ran.displaced()[there]) == {0}
    assert set(ran.missing) == {at + k for at, many in LOSSES.items() for k in range(many)}
    assert ran.tally.loss == sum(LOSSES.values())
    assert not {"contradiction", "duplicate", "garbled", "swap"} & {e.kind for e in ran.events}
    told = [e.facts["samples"] for e in ran.events if e.kind == "gap"]
    assert told == list(LOSSES.values())


def test_windows_over_a_loss_say_so_or_are_not_given(losses):
    ran, _ = losses
    ran.check_windows()
    assert any(one.gap == 1 for one in ran.predictions)
    assert ran.tally.gaps["restarts"] == 5 and ran.tally.gaps["filled"] == 1
    assert ran.tally.gaps["lost"] == sum(LOSSES.values()) - 1


def test_commands_reach_the_board_in_order_before_the_stream_and_the_stop_after_it(losses):
    assert losses[1] == ["v", "d", "x1060110X", "~6", "b", "s"]


# -- damage on the cable --------------------------------------------------------------------


def noise(many, seed):
    """Bytes among which no packet begins."""
    made = random.Random(seed)
    return bytes(b for b in made.randbytes(2 * many) if b != 0xA0)[:many]


DAMAGE = {
    300: lambda packet: packet[:20] + packet[21:],  # a lost byte also eats the packet after it
    360: lambda packet: noise(50, 1) + packet,
    420: lambda packet: packet + packet,
    480: lambda packet: packet[:-1] + b"\x00",
    540: lambda packet: packet[:1] + b"\xc8" + packet[2:],  # its number says 200
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    with Cyton(folder / "tty", damage=DAMAGE) as board:
        return drive(folder, board, 700)


def test_what_the_cable_garbles_is_missing_and_moves_nothing_else(damaged):
    there = np.isfinite(damaged.ticks)
    assert set(damaged.displaced()[there]) == {0}
    assert set(damaged.missing) == {300, 301, 480, 540}
    assert damaged.tally.loss == 4
    damaged.check_windows()


def test_what_the_cable_garbles_is_told(damaged):
    told = Counter(e.kind for e in damaged.events)
    assert told["duplicate"] == 1 and told["garbled"] == 1 and told["gap"] == 2


# -- the Daisy ------------------------------------------------------------------------------

# Packets by what is lost: an even one, an odd one, a row, 25 rows, more than a turn of the counter.
EVEN, ODD = 400, 501
ROWS = [(300, 1), (350, 25), (420, 150)]


@pytest.fixture(scope="module")
def daisy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("daisy")
    rows = {2 * first + k for first, many in ROWS for k in range(2 * many)}
    with Cyton(folder / "tty", daisy=True, lost={EVEN, ODD} | rows) as board:
        return drive(folder, board, 650)


def test_daisy_an_even_packet_lost_is_no_gap_but_half_a_row_is_stale(daisy):
    row = daisy.ticks[:, EVEN // 2]
    assert np.isfinite(row[:2]).all() and np.isnan(row[2:]).all()
    assert [e.facts["samples"] for e in daisy.events if e.kind == "stale"] == [1]


def test_daisy_losses_are_counted_in_rows(daisy):
    there = np.isfinite(daisy.ticks)
    assert set(daisy.displaced()[there]) == {0}
    expected = {ODD // 2} | {first + k for first, many in ROWS for k in range(many)}
    assert set(daisy.missing) == expected
    assert daisy.tally.loss == len(expected)
    assert [e.facts["samples"] for e in daisy.events if e.kind == "gap"] == [1, 1, 25, 150]
    daisy.check_windows()


# -- gone -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["silent", "unplugged"])
def test_a_board_that_is_gone_is_an_error_and_can_be_used_again(tmp_path, how):
    with Cyton(tmp_path / "tty") as board:

        def script(tap):
            while tap.end < 60:
                yield
            if how == "silent":
                board.reachable = False
            else:
                board.unplug()

        with pytest.raises(SourceError, match=r"cyton.* gave nothing for 0\.4 s"):
            drive(tmp_path, board, 5000, stall=0.4, script=script)
        board.reachable = True
        if how == "unplugged":
            board.plug_in()
        assert drive(tmp_path, board, 30).tally.loss == 0


def test_a_failed_attempt_does_not_release_the_session_after_it(tmp_path):
    """BrainFlow's own finalizer does: it asks for a session by its board and parameters."""
    with Cyton(tmp_path / "tty") as board:
        board.unplug()
        with pytest.raises(SourceError) as failed:
            drive(tmp_path, board, 30)

        def script(tap):
            nonlocal failed
            while tap.end < 30:
                yield
            failed = None
            gc.collect()

        board.plug_in()
        assert drive(tmp_path, board, 90, script=script).tally.loss == 0


def test_an_unplugged_or_power_cycled_board_is_started_again(tmp_path):
    with Cyton(tmp_path / "tty") as board:

        def script(tap):
            while tap.end < 200:
                yield
            board.unplug()
            while tap.told("stall") < 2:  # it is silent; it cannot be opened
                yield
            board.plug_in()
            while tap.told("reconnect") < 1:
                yield
            back = tap.end
            while tap.end < back + 150:
                yield
            board.power(False)
            board.power(True)
            while tap.told("reconnect") < 2:
                yield
            back = tap.end
            while tap.end < back + 150:
                yield
            return True

        ran = drive(
            tmp_path,
            board,
            script=script,
            stall=0.7,
            supervise={"first_delay": 0.1, "longest_delay": 0.4, "seed": 3},
        )
        until(lambda: board.commands[-1] == "s")
        # It was told to start three times: silent behind its live port it needs that.
        assert board.commands.count("b") == 3
    kinds = [e.kind for e in ran.events if e.kind in ("stall", "reconnect")]
    assert kinds == ["stall", "stall", "reconnect", "stall", "reconnect"]
    assert "UNABLE_TO_OPEN_PORT" in [e for e in ran.events if e.kind == "stall"][1].message
    # Where time says: within what this machine took to notice a row (generous: it may be busy).
    assert np.nanmax(np.abs(ran.displaced())) < RATE / 2
    assert ran.tally.loss == len(ran.missing) > RATE
    told = [e.facts["samples"] for e in ran.events if e.kind == "reconnect"]
    assert sum(told) == ran.tally.loss and ran.tally.gaps["restarts"] == 2
    ran.check_windows()
    # Within a session nothing moves at all.
    inside = np.diff(ran.displaced()[0][np.isfinite(ran.ticks[0])])
    assert np.count_nonzero(inside) <= 2


# -- signals --------------------------------------------------------------------------------


def test_sigterm_ends_cleanly_stops_the_board_and_frees_the_port(tmp_path):
    bundle = bundle_for(tmp_path / "bundle", CYTON)
    out = tmp_path / "labels.jsonl"
    with Cyton(tmp_path / "tty") as board:
        command = [
            *(sys.executable, "-m", "bioxedge", "run", str(bundle.path)),
            *("--source", "brainflow:cyton", "--param", f"serial_port={board.port}"),
            *("--sink", f"jsonl:{out}"),
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                until(lambda: process.poll() is not None or _windows(out) >= 2)
                process.send_signal(signal.SIGTERM)
                said, errors = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        assert process.returncode == 143, errors
        assert "Traceback" not in errors and "windows" in said
        assert board.commands == ["v", "d", "b", "s"] and not board.streaming
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(lines) >= 3
        assert drive(tmp_path, board, 30).tally.loss == 0


def _windows(path):
    return path.read_text().count('"label"') if path.exists() else 0
