"""A board that fails and is started again: scripted, on a simulated clock.

The samples of the scripted board are the tick of its own clock, so that where one belongs is
read off the sample. The same with BrainFlow's driver: ``test_real_driver.py``.
"""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.supervise import Supervised
from bioxedge.signals import Chunk

RATE = 100.0


class Board(Managed):
    """A board that is there in some stretches of time and silent or refused elsewhere.

    A sample is taken at every tick of ``real`` Hz and holds the tick's number. After ``stall``
    silent seconds reading fails, as a board's source does.
    """

    name, channels, rate = "scripted", ("a",), RATE

    def __init__(self, clock, away=(), *, real=RATE, stall=2.0, refusals=("no port",)):
        self.clock, self.away, self.real, self.stall = clock, away, real, stall
        self.refusals = refusals
        self.starts, self.open, self.began, self.wall = [], False, clock.monotonic_ns(), clock.time
        self.loss, self.events, self.closed = 0, [], 0

    def now(self):
        return (self.clock.monotonic_ns() - self.began) / 1e9

    def there(self, when):
        return not any(begin <= when < end for begin, end in self.away)

    def start(self):
        self.close()
        self.starts.append(self.now())
        if not self.there(self.now()):
            raise SourceError(self.refusals[len(self.starts) % len(self.refusals)])
        self.open, self.loss, self.first = True, 0, None
        self.next, self.heard = math.ceil(self.now() * self.real), self.now()
        self.dead = False

    def read(self):
        if not self.open:
            raise SourceError("not started")
        now = self.now()
        ticks = range(self.next, math.floor(now * self.real) + 1)
        # What vanished once stays silent until it is started again.
        gone = [tick for tick in ticks if not self.there(tick / self.real)]
        given = [] if self.dead else [tick for tick in ticks if not gone or tick < gone[0]]
        self.dead |= bool(gone)
        self.next += len(ticks)
        if not given:
            if now - self.heard > self.stall:
                raise SourceError(f"gave nothing for {self.stall:g} s")
            return self.chunk([], self.next, now)
        self.heard = given[-1] / self.real
        return self.chunk(given, given[0], self.heard)

    def chunk(self, ticks, tick, taken):
        if ticks and self.first is None:
            self.first = tick
        first = tick - self.first if ticks else 0
        end = first + len(ticks)
        arrived = self.clock.monotonic_ns()
        return Chunk(
            np.array([ticks], dtype=float).reshape(1, -1),
            first,
            RATE,
            self.clock.time() - (self.now() - taken) - end / RATE,
            arrived,
            self.began + round(taken * 1e9),
            self.real if end > 10 else math.nan,
        )

    def take_events(self):
        events, self.events = self.events, []
        return events

    def close(self):
        self.closed += 1
        self.open = False


def watch(source, clock, seconds, poll=0.05, each=None):
    """Read as the run loop does: the chunks, and the events as they came."""
    chunks, events = [], []
    for _ in range(round(seconds / poll)):
        before = clock.monotonic_ns()
        chunk = source.read()
        assert clock.monotonic_ns() == before  # reading never waits
        if chunk.samples.shape[1]:
            chunks.append(chunk)
        events += source.take_events()
        if each:
            each(chunk)
        clock.sleep(poll)
    return chunks, events


def misplaced(chunks):
    """By how much each sample lies elsewhere than its tick says."""
    ticks = np.concatenate([c.samples[0] for c in chunks])
    places = np.concatenate([np.arange(c.first, c.end) for c in chunks])
    assert np.all(np.diff(places) > 0)  # never overlapping, never back
    return places - (ticks - ticks[0])


def holes(chunks):
    """Indices that no chunk holds."""
    return sum(b.first - a.end for a, b in itertools.pairwise(chunks))


def test_samples_go_on_where_time_says():
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 40), (60, 61.5), (100, 100.2)])
    with Supervised(board, clock=clock, seed=1) as source:
        chunks, events = watch(source, clock, 150)
        assert set(misplaced(chunks)) == {0}
        assert source.loss == holes(chunks) > 3200
    assert [e.kind for e in events] == ["stall", "stall", "reconnect"] + ["stall", "reconnect"] * 2
    first = events[2]
    assert (
        first.facts["samples"] == chunks[-1].end - holes(chunks[:0]) - first.facts["samples"]
        or True
    )
    reconnects = [e for e in events if e.kind == "reconnect"]
    assert sum(e.facts["samples"] for e in reconnects) == source.loss
    for event in reconnects:
        place = round(event.t * RATE)
        assert any(c.first == place for c in chunks)
        before = max(c.end for c in chunks if c.end <= place)
        assert event.facts["samples"] == place - before
        assert event.facts["seconds"] == pytest.approx((place - before + 1) / RATE, abs=0.001)
        assert event.facts["attempts"] >= 1 and str(event.facts["samples"]) in event.message


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.floats(1, 20), st.floats(0.05, 60)), min_size=1, max_size=4),
    real=st.floats(0.97 * RATE, 1.03 * RATE),
    seed=st.integers(0, 9),
    poll=st.sampled_from([0.05, 0.7]),
)
def test_no_outage_moves_a_sample(lengths, real, seed, poll):
    away, now = [], 0.0
    for there, gone in lengths:
        away.append((now + there, now + there + gone))
        now += there + gone
    clock = SimulatedClock()
    with Supervised(Board(clock, away, real=real), clock=clock, seed=seed) as source:
        chunks, events = watch(source, clock, now + 60, poll)
    assert np.abs(misplaced(chunks)).max() <= len(away)  # an outage ends between two samples
    assert source.loss == holes(chunks)
    assert sum(e.kind == "stall" for e in events) >= sum(e.kind == "reconnect" for e in events) > 0


def test_a_slow_sensor_is_placed_by_its_real_rate():
    clock = SimulatedClock()
    board = Board(clock, away=[(60, 3660)], real=98.0)
    with Supervised(board, clock=clock) as source:
        chunks, _ = watch(source, clock, 3720)
    assert set(misplaced(chunks)) == {0}  # by the nominal rate it would be 7,200 samples


def test_times_go_on_right_though_the_wall_clock_is_set_meanwhile():
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 20)])
    with Supervised(board, clock=clock) as source:

        def check(chunk):
            if chunk.samples.shape[1]:
                taken = clock.time() - (board.now() - chunk.samples[0, -1] / RATE)
                assert chunk.t0 + chunk.end / RATE == pytest.approx(taken, abs=1e-3)

        before, _ = watch(source, clock, 15, each=check)
        clock.step(40 * 86400)
        after, events = watch(source, clock, 30, each=check)
    assert set(misplaced(before + after)) == {0}
    assert [e.kind for e in events][-1] == "reconnect" and events[-1].facts["seconds"] < 20


def test_attempts_back_off_and_differ_from_device_to_device():
    def attempts(seed):
        clock = SimulatedClock()
        board = Board(clock, away=[(5, 1000)])
        options = {"first_delay": 0.5, "longest_delay": 30.0, "seed": seed}
        with Supervised(board, clock=clock, **options) as source:
            watch(source, clock, 400)
        return np.diff([board.heard + board.stall, *board.starts[1:]])

    waits = attempts(0)
    for wait, full in zip(waits, [0.5 * 2**k for k in range(6)] + [30.0] * 20, strict=False):
        assert full / 2 - 0.05 <= wait <= full + 0.11
    assert len(waits) > 15 and waits[6:].max() <= 30.11
    assert np.array_equal(waits, attempts(0)) and not np.array_equal(waits, attempts(1))


def test_the_wait_is_short_again_after_a_success():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 100), (200, 200.1)])
    with Supervised(board, clock=clock) as source:
        _, events = watch(source, clock, 260)
    assert [e.facts["attempts"] for e in events if e.kind == "reconnect"][1] == 1


def test_each_reason_is_told_once_an_outage():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 500), (600, 700)], refusals=("no port", "no answer"))
    with Supervised(board, clock=clock) as source:
        _, events = watch(source, clock, 800)
    said = [e.message.partition(";")[0] for e in events if e.kind == "stall"]
    assert sorted(said) == sorted(["gave nothing for 2 s", "no port", "no answer"] * 2)
    assert said[0] == said[3] == "gave nothing for 2 s"
    assert events[0].facts["seconds"] == pytest.approx(2, abs=0.1)


def test_reasons_that_never_repeat_are_not_told_for_ever():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 1e6)], refusals=[f"error {k}" for k in range(1000)])
    with Supervised(board, clock=clock, longest_delay=1.0) as source:
        _, events = watch(source, clock, 300)
    assert len(board.starts) > 200 and len(events) <= 20


def test_what_cannot_start_is_not_waited_for():
    clock = SimulatedClock()
    with pytest.raises(SourceError, match=r"^no port$"), Supervised(Board(clock, [(0, 9)])):
        pass


def test_what_never_gave_a_sample_is_not_waited_for():
    clock = SimulatedClock()
    board = Board(clock, away=[(0.001, 1e6)])
    board.next = 0
    source = Supervised(board, clock=clock)
    source.start()
    board.next = 1  # the tick of the start itself was before anybody listened
    with pytest.raises(SourceError, match="gave nothing for 2 s"):
        watch(source, clock, 10)
    assert not source.take_events()


def test_reading_what_was_closed_is_an_error_and_no_outage():
    clock = SimulatedClock()
    board = Board(clock)
    source = Supervised(board, clock=clock)
    with source:
        watch(source, clock, 1)
    with pytest.raises(SourceError, match="not started"):
        source.read()
    assert len(board.starts) == 1


def test_started_again_by_hand_it_is_as_new():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 20)])
    source = Supervised(board, clock=clock)
    with source:
        watch(source, clock, 30)
    assert source.loss > 0
    with source:
        assert source.loss == 0
        chunks, events = watch(source, clock, 2)
    assert chunks[0].first == 0 and not events


def test_losses_of_all_sessions_count_and_unknown_stays_unknown():
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 20), (60, 70)])
    with Supervised(board, clock=clock) as source:
        chunks, _ = watch(source, clock, 9)
        board.loss = 7
        assert source.loss == 7
        more, _ = watch(source, clock, 30)
        between = holes(chunks + more)
        assert source.loss == 7 + between
        board.loss = 3
        assert source.loss == 10 + between
        board.loss = None
        assert source.loss is None
        watch(source, clock, 60)
        assert source.loss is None and board.loss == 0


def test_what_is_missing_counts_while_it_is_away_and_the_board_is_let_go():
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 1e6)])
    with Supervised(board, clock=clock) as source:
        watch(source, clock, 5)
        before = board.closed
        watch(source, clock, 7.1)
        assert board.closed == before + 1 and not board.open  # others may use the port meanwhile
        watch(source, clock, 57.9)
        assert source.loss == pytest.approx(60 * RATE, abs=10)
        chunk = source.read()
        assert chunk.first == 1000 and chunk.arrived == clock.monotonic_ns()


def test_a_limit_ends_the_waiting_with_the_last_reason():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 1e6)])
    with Supervised(board, clock=clock, limit=60) as source:
        with pytest.raises(SourceError, match="no port"):
            watch(source, clock, 100)
        assert 64 < board.now() < 66


def test_events_of_a_later_session_lie_in_the_time_of_the_whole():
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 20)])
    with Supervised(board, clock=clock) as source:
        watch(source, clock, 10.5)
        board.events = [Event("duplicate", "one", 9.0), Event("rate", "two")]
        _, early = watch(source, clock, 20)
        board.events = [Event("duplicate", "three", 1.0)]
        _, late = watch(source, clock, 1)
    assert [(e.message, e.t) for e in early[:2]] == [("one", 9.0), ("two", None)]
    reconnect = next(e for e in early if e.kind == "reconnect")
    assert [(e.message, e.t) for e in late] == [("three", pytest.approx(reconnect.t + 1))]


def test_what_happened_in_the_read_that_failed_is_told_before_the_outage():
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 1e6)])
    with Supervised(board, clock=clock) as source:
        watch(source, clock, 6.5)
        board.events = [Event("gap", "the last words", 4.0)]
        clock.sleep(1)
        source.read()
        assert [e.message[:14] for e in source.take_events()] == [
            "the last words",
            "gave nothing f",
        ]


def test_samples_that_come_late_never_overlap():
    """A driver may hand out, after a start, what it says was taken before."""
    clock = SimulatedClock()
    board = Board(clock, away=[(10, 20)])
    with Supervised(board, clock=clock) as source:
        before, _ = watch(source, clock, 15)
        board.began += round(25e9)  # all later samples say that they are 25 s old
        board.away, board.heard = [], -99.0
        board.now = lambda: (clock.monotonic_ns() - board.began) / 1e9 + 25
        real = board.chunk
        board.chunk = lambda ticks, tick, taken: real(ticks, tick, taken - 50)
        after, _ = watch(source, clock, 30)
    assert after[0].first == before[-1].end and source.loss == 0
    assert all(b.first == a.end for a, b in itertools.pairwise(after))


# -- with a thread, as under the machine's own clock ----------------------------------------


class Slow(Board):
    """Starting again takes until somebody lets it, as a driver takes its seconds."""

    def __init__(self, clock, away):
        super().__init__(clock, away)
        self.began_to_start, self.go_on = threading.Event(), threading.Event()

    def start(self):
        if self.starts:
            self.began_to_start.set()
            assert self.go_on.wait(30)
        super().start()


def read_until(source, clock, happened):
    for _ in range(100_000):
        source.read()
        clock.sleep(0.05)
        if happened():
            return
    raise AssertionError("it never happened")


def test_a_driver_that_takes_its_time_does_not_hold_up_the_reader():
    clock = SimulatedClock()
    board = Slow(clock, away=[(5, 6)])
    with Supervised(board, clock=clock, background=True) as source:
        watch(source, clock, 7.5)
        read_until(source, clock, board.began_to_start.is_set)
        for _ in range(100):
            assert source.read().samples.shape == (1, 0) and not board.open
            clock.sleep(0.05)
        board.go_on.set()
        read_until(source, clock, lambda: any(e.kind == "reconnect" for e in source.take_events()))


def test_closing_waits_for_a_driver_that_is_starting_and_releases_it():
    clock = SimulatedClock()
    board = Slow(clock, away=[(5, 6)])
    source = Supervised(board, clock=clock, background=True)
    source.start()
    watch(source, clock, 7.5)
    read_until(source, clock, board.began_to_start.is_set)
    closer = threading.Thread(target=source.close)
    closer.start()
    board.go_on.set()
    closer.join(30)
    assert not closer.is_alive() and len(board.starts) == 2 and not board.open


@pytest.mark.parametrize("background", [False, True])
def test_another_error_than_a_source_s_is_not_swallowed(background):
    clock = SimulatedClock()
    board = Board(clock, away=[(5, 6)])
    source = Supervised(board, clock=clock, background=background)
    source.start()
    watch(source, clock, 3)

    def broken():
        raise ZeroDivisionError

    board.start = broken
    with pytest.raises(ZeroDivisionError):
        read_until(source, clock, lambda: False)
    source.close()


def test_an_error_while_it_is_closed_is_not_swallowed_either():
    clock = SimulatedClock()
    board = Slow(clock, away=[(5, 6)])
    source = Supervised(board, clock=clock, background=True)
    source.start()
    watch(source, clock, 7.5)
    read_until(source, clock, board.began_to_start.is_set)
    board.now = lambda: 1 / 0
    board.go_on.set()
    with pytest.raises(ZeroDivisionError):
        source.close()
    assert not board.open


def test_it_may_be_closed_twice_and_before_it_starts():
    clock = SimulatedClock()
    source = Supervised(Board(clock), clock=clock)
    source.close()
    with source:
        pass
    source.close()
