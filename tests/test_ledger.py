"""One truth on every path: losses, a stall and a clock that is set give the same ledger.

The same samples go through a board's rows, are pushed, come over the real liblsl, and are recorded
beside those runs and replayed. What a path cannot know stands in its row of the table.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from scripted import FieldClock, Script, ScriptedSource
from test_runtime_stream import Keep, Spy

from bioxedge import Stream, spec
from bioxedge.runtime import PushSource, loop
from bioxedge.runtime.hostclock import SYSTEM
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.signals import Chunk

RATE, PACKET = 250.0, 10
TOTAL, SEEN = 2050, 2000  # samples that are sent, and after which the run ends
LOST = ((1000, 1100), (1250, 1260))  # beyond what is held over, and less
STALL = (1400, 1550)  # these come at once when they are all there
STEP = (1750, 3600.0)  # from this sample on a clock is an hour ahead
SAMPLES = pulse(1, TOTAL, RATE, seed=4)


@dataclass(frozen=True)
class Path:
    """A way in, and what it cannot know.

    Attributes
    ----------
    how : str
        What numbers the samples.
    clock : str
        Whose clock is set; the one that stamps, where there is a choice.
    says : str
        What kind of event tells of it; empty where it shows nowhere, and does no harm.
    blind : float
        Seconds from the start in which losses may be unknown.
    """

    how: str
    clock: str
    says: str
    blind: float = 0.0


PATHS = {
    "a board": Path("a byte", "host", "clock_step"),
    "pushed, a counter a sample": Path("counter a sample", "host", "clock_step"),
    "pushed, a counter a packet": Path("counter a packet", "host", "clock_step"),
    # Stamps show a loss once the sender's rate and scatter are learnt.
    "pushed, stamps; the host's clock": Path("stamps a sample", "host", "clock_step", 3.0),
    "pushed, stamps; the sender's clock": Path("stamps a sample", "sender", "contradiction", 3.0),
    "pushed, a stamp a packet": Path("stamp a packet", "sender", "contradiction", 3.0),
    # This machine's clock is not for a test to set.
    "LSL": Path("stamps a sample", "sender", "contradiction", 3.0),
}


@dataclass
class Ledger:
    """What a run made of the samples."""

    windows: list[bytes]
    gaps: dict[str, int]
    loss: int | None
    events: list[tuple[str, float, int | None]]  # of samples: kind, seconds, how many
    kinds: set[str]
    unknown: list[float] = field(default_factory=list)  # starts of windows of unknown loss
    told: list[tuple[object, ...]] = field(default_factory=list)  # all predictions


def run(bundle, source, clock):
    engine, sink = Spy(bundle), Keep()
    stream = Stream(bundle, engine=engine, clock=clock)
    tally = loop.run(source, stream, [sink], clock=clock, seconds=SEEN / RATE)
    return Ledger(
        [window.tobytes() for window in engine.windows],
        tally.gaps,
        tally.loss,
        [
            (event.kind, event.t, event.facts.get("samples"))
            for event in sink.events
            if event.kind in ("gap", "restart")
        ],
        {event.kind for event in sink.events},
        [p.t_start for p in sink.predictions if p.loss is None],
        [(p.t_start, p.t_end, p.label, p.gap, p.loss, p.quality.real) for p in sink.predictions],
    )


def sent():
    """Packets as they reach the host: seconds, and indices."""
    for first in range(0, TOTAL, PACKET):
        if not any(begin <= first < end for begin, end in LOST):
            last = first + PACKET
            last = STALL[1] if STALL[0] <= first < STALL[1] else last
            yield last / RATE + 0.01, np.arange(first, first + PACKET)


class Pushed(PushSource):
    """Packets are pushed as time passes them."""

    def __init__(self, path, clock):
        super().__init__(("x",), RATE, clock=clock)
        self.path, self.ticks, self.left = path, clock, list(sent())

    def read(self):
        while self.left and self.left[0][0] <= self.ticks.seconds:
            _, index = self.left.pop(0)
            later = STEP[1] if self.path.clock == "sender" else 0.0
            stamps = 7e5 + (index + 1) / RATE + later * (index >= STEP[0])
            witness = {
                "counter a sample": {"counter": index},
                "counter a packet": {"counter": index[0] // PACKET},
                "stamps a sample": {"stamps": stamps},
                "stamp a packet": {"stamps": stamps[-1]},
            }
            self.push(SAMPLES[:, index], **witness[self.path.how])
        if not self.left:
            self.end()
        return super().read()


def by_board(clock):
    packets = list(sent())
    at = np.concatenate([np.full(PACKET, when) for when, _ in packets])
    index = np.concatenate([index for _, index in packets])
    script = Script(index, index % 256.0, at, shapes={1: SAMPLES[0, index]})
    source = ScriptedSource(script, board="cyton", clock=clock)
    source.channels = ("x",)
    return source


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "b"
    band = (spec.Filter(design="butterworth", cutoff=(5.0, 40.0), order=2),)  # settles soon
    return make_bundle(
        path, channels=("x",), rate=RATE, stages=band, max_gap=20, length=150, hop=25
    )


@pytest.fixture(scope="module")
def truth(tested):
    """The same samples, given to a stream by their true indices."""
    engine = Spy(tested)
    stream = Stream(tested, engine=engine)
    edges = [0, *(edge for lost in LOST for edge in lost), SEEN]
    events = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        stream.push(Chunk(SAMPLES[:, begin:end], begin, RATE))
        events += stream.take_events()
    return [window.tobytes() for window in engine.windows], stream.gaps, events


@pytest.fixture(scope="module", params=PATHS)
def runs(request, tested, tmp_path_factory):
    """A live run on a path, recorded beside; and its replay."""
    name, path = request.param, PATHS[request.param]
    folder = tmp_path_factory.mktemp("recorded") / "s"
    if name == "LSL":
        if importlib.util.find_spec("pylsl") is None:
            pytest.skip("pylsl is missing: pip install 'bioxedge[lsl]'")
        from test_lsl import LslSource, Sender

        told = {"name": "ledger"}
        with Sender(
            "ledger", SAMPLES, rate=RATE, labels=("x",), units=("a.u.",), lost=LOST, stall=STALL,
            step=STEP, ends=False,
        ):  # fmt: skip
            source = LslSource(told, channels=("x",), rate=RATE, timeout=5.0)
            live = run(tested, Recorded(source, folder), SYSTEM)
    else:
        steps = [(STEP[0] / RATE, STEP[1])] if path.clock == "host" else ()
        clock = FieldClock((0.02,), steps=steps)
        if name == "a board":
            pytest.importorskip("brainflow", reason="pip install 'bioxedge[brainflow]'")
        source = by_board(clock) if name == "a board" else Pushed(path, clock)
        live = run(tested, Recorded(source, folder, clock=clock), clock)
    clock = FieldClock()
    again = run(tested, LogReplay(folder, speed=float("inf"), clock=clock), clock)
    return path, live, again


def test_windows_and_the_ledger_are_the_true_ones(runs, truth):
    windows, gaps, _ = truth
    assert gaps == {"filled": 10, "lost": 100, "restarts": 1}
    for ledger in runs[1:]:
        assert ledger.windows == windows
        assert ledger.gaps == gaps
        assert ledger.loss == 110  # the stall and the clock cost nothing
        for sample in (LOST[1][0], *STALL, STEP[0]):  # and windows lie over them
            assert any(start * RATE < sample < end * RATE - 10 for start, end, *_ in ledger.told)


def test_what_was_lost_is_told_where_it_was(runs):
    for ledger in runs[1:]:
        gaps = [(t, samples) for kind, t, samples in ledger.events if kind == "gap"]
        assert gaps == [(begin / RATE, end - begin) for begin, end in LOST]
        assert [kind for kind, _, _ in ledger.events].count("restart") == 1


def test_the_clock_that_was_set_is_told_and_what_a_path_cannot_know(runs):
    path, *ledgers = runs
    for ledger in ledgers:
        odd = ledger.kinds & {"clock_step", "contradiction", "stall", "swap", "duplicate"}
        assert odd == {path.says}
        assert all(start < path.blind for start in ledger.unknown)


def test_a_replay_is_the_run(runs):
    _, live, again = runs
    assert again == live
