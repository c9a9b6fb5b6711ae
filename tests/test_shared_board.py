"""Several sources of one board at once, and two boards of a kind: BrainFlow's own library."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from cyton import Cyton, when

from bioxedge import SourceError
from bioxedge.runtime import BrainFlowSource
from bioxedge.runtime.sources import shared, together
from bioxedge.runtime.supervise import Supervised

pytest.importorskip("brainflow", reason="the library comes with pip install 'bioxedge[brainflow]'")

PATIENCE = 30.0  # seconds until a test gives up


@pytest.fixture(autouse=True)
def alone():
    """No source of another test lives, which would be one more that wants the board."""
    gc.collect()


def until(done, *sources, into=None):
    """Read sources in turn until something is so; their chunks."""
    chunks = [[] for _ in sources] if into is None else into
    began = time.monotonic()
    while not done(chunks):
        assert time.monotonic() - began < PATIENCE, "it does not come to pass"
        for kept, source in zip(chunks, sources, strict=True):
            chunk = source.read()
            if chunk is not None and chunk.samples.shape[1]:
                kept.append(chunk)
        time.sleep(0.002)
    return chunks


def have(samples):
    return lambda chunks: all(kept and kept[-1].end >= samples for kept in chunks)


def joined(chunks):
    """All values, missing ones NaN."""
    values = np.full((len(chunks[0].samples), chunks[-1].end), np.nan)
    for chunk in chunks:
        values[:, chunk.first : chunk.end] = chunk.samples
    return values


def synthetic(preset=None, channels=("Fz",), **options):
    return BrainFlowSource("synthetic", channels=channels, rate=250.0, preset=preset, **options)


def cyton(board, **options):
    params = {"serial_port": str(board.port)}
    return BrainFlowSource("cyton", channels=("ecg_1",), rate=250.0, params=params, **options)


# -- one board ------------------------------------------------------------------------------


def test_two_presets_of_one_board_stream_at_once():
    head, skin = synthetic(), synthetic("auxiliary", ("eda_1",))
    with head, skin:
        chunks = until(have(100), head, skin)
    for kept in chunks:
        assert np.isfinite(joined(kept)[:, kept[0].first :]).any()
    assert head.loss is not None and abs(chunks[0][-1].end - chunks[1][-1].end) < 100


def test_two_readers_of_one_preset_get_the_same_rows():
    one, other = synthetic(), synthetic(channels=("Fz", "ecg_2"))
    with one, other:
        first, second = (joined(kept) for kept in until(have(200), one, other))
    assert one.loss == other.loss == 0
    # The second began a moment later: its samples are a run of the first one's.
    offsets = [
        k for k in range(len(first[0]) - 100) if (first[0, k : k + 50] == second[0, :50]).all()
    ]
    assert len(offsets) == 1


def test_one_that_leaves_and_comes_back_does_not_tear_the_other():
    head, skin = synthetic(), synthetic("auxiliary", ("eda_1",))
    with head, skin:
        kept = until(have(50), head, skin)
        session = head._shared.session
        skin.close()
        until(lambda c: c[0][-1].end >= 150, head, into=kept[:1])
        skin.start()
        assert skin._shared.session is session and session.is_prepared()
        again = until(have(50), skin)[0]
        assert again[0].first == 0 and again[-1].end < 150  # nothing of while it was away
        until(lambda c: c[0][-1].end >= 300, head, into=kept[:1])
        assert head.loss == 0
    assert head._shared.session is None and not session.is_prepared()


def test_a_reader_who_does_not_read_keeps_no_more_than_the_ring():
    quick, slow = synthetic(ring_seconds=0.4), synthetic(ring_seconds=0.4)
    with quick, slow:
        until(have(400), quick)
        kept = until(have(350), slow)[0]
        events = slow.take_events()
    assert sum(event.kind == "gap" and "ring" in event.facts for event in events) == 1
    assert sum(chunk.samples.shape[1] for chunk in kept) < 400


def test_a_silent_board_is_released_and_prepared_once_for_both():
    head = Supervised(synthetic(stall=0.3), first_delay=0.05, longest_delay=0.1)
    skin = Supervised(
        synthetic("auxiliary", ("eda_1",), stall=0.3), first_delay=0.05, longest_delay=0.1
    )
    board = head._source._shared
    with head, skin:
        kept = until(have(50), head, skin)
        old, attempts = board.session, board._attempts
        old.stop_stream()  # as a board that is gone: it is there, and gives nothing
        ends = [one[-1].end for one in kept]
        until(
            lambda c: all(k[-1].end > e + 50 for k, e in zip(c, ends, strict=True)),
            head,
            skin,
            into=kept,
        )
        assert board.session is not old
        assert board._attempts == attempts + 1
        told = [[event.kind for event in one.take_events()] for one in (head, skin)]
    assert all("stall" in kinds and "reconnect" in kinds for kinds in told)


def test_a_preset_that_is_silent_alone_leaves_the_other_alone():
    head, skin = synthetic(), synthetic("auxiliary", ("eda_1",), stall=0.2)
    with head, skin:
        kept = until(have(50), head, skin)
        real = skin._drain
        skin._drain = lambda seat: [
            shared.Part(p.rows[:, :0], p.arrived, False) for p in real(seat)
        ]
        with pytest.raises(SourceError, match="gave nothing"):
            until(lambda c: False, head, skin, into=kept)
        skin.close()
        end = kept[0][-1].end
        until(lambda c: c[0][-1].end > end + 50, head, into=kept[:1])


def test_sources_made_before_the_start_merge_what_the_board_is_told():
    ppg = BrainFlowSource("muse_2", channels=("ppg_2",), rate=64.0)
    eeg = BrainFlowSource("muse_2", channels=("TP9",), rate=256.0)
    sent = []

    class Told:
        def __init__(self, number, params):
            sent.append(params.other_info)

        def prepare_session(self):
            pass

        def start_stream(self, ring):
            sent.append(ring)

        def get_board_data(self, preset):
            return np.empty((4, 0))

        stop_stream = release_session = prepare_session

    assert eeg._shared is ppg._shared
    eeg._shared._factory = Told
    try:
        with eeg, ppg:
            assert sent == ["p50", 180 * 256]
    finally:
        eeg._shared._factory = None


def test_what_a_closed_source_wanted_is_told_no_more():
    with synthetic(config=("first",), ring_seconds=600.0) as old:
        assert old._shared._told == ("first",)
    with synthetic(config=("second",)) as new:
        assert new._shared is old._shared
        assert (new._shared._told, new._shared._ring) == (("second",), 45_000)


def test_a_board_that_streams_is_not_told_something_else():
    first = synthetic()
    with first:
        late = synthetic("auxiliary", ("eda_1",), config=("hello",))
        with pytest.raises(SourceError, match="was not told hello: make every source of a board"):
            late.start()
        until(have(20), first)


def test_boards_connect_before_one_streams():
    one, other = synthetic(), synthetic("auxiliary", ("eda_1",))
    with together.connected([Supervised(one), other]):
        assert one._shared.session.is_prepared()
        one.start()
        other.start()
    until(have(20), one, other)
    one.close()
    other.close()
    assert one._shared.session is None


def test_what_cannot_connect_lets_go_of_the_others(tmp_path):
    one = synthetic()
    gone = BrainFlowSource(
        "cyton", channels=("ecg_1",), rate=250.0, params={"serial_port": str(tmp_path / "none")}
    )
    with pytest.raises(SourceError, match="cyton"), together.connected([one, gone]):
        pass
    assert one._shared.session is None and gone._shared.session is None


# -- two boards of one kind, by the real driver ----------------------------------------------


def test_two_cytons_one_of_which_is_unplugged_and_comes_back(tmp_path):
    with Cyton(tmp_path / "left") as left, Cyton(tmp_path / "right") as right:
        sources = [
            Supervised(cyton(board, stall=0.5), first_delay=0.2, longest_delay=0.4)
            for board in (left, right)
        ]
        with sources[0], sources[1]:
            kept = until(have(250), *sources)
            left.unplug()
            end = kept[1][-1].end
            until(lambda c: c[1][-1].end > end + 300, *sources, into=kept)
            left.plug_in()
            end = kept[0][-1].end
            until(lambda c: c[0][-1].end > end + 250, *sources, into=kept)
            told = [[event.kind for event in one.take_events()] for one in sources]
            losses = [one.loss for one in sources]
    assert "reconnect" in told[0] and "reconnect" not in told[1]
    ticks = when(joined(kept[1])[0], 1)
    assert (np.diff(ticks) == 1).all()  # the one that stayed lost nothing
    assert losses[0] > 200 and losses[1] == 0
    ticks = when(joined(kept[0])[0], 1)
    off = np.arange(len(ticks)) - (ticks - ticks[0])
    assert np.nanmax(np.abs(off)) < 25  # the one that came back lies where time put it


def test_two_sources_of_one_cyton_open_its_port_once(tmp_path):
    with Cyton(tmp_path / "port") as board:
        one, other = cyton(board), cyton(board)
        with one, other:
            kept = until(have(100), one, other)
        assert board.commands.count("b") == 1
    for chunks in kept:
        assert (np.diff(when(joined(chunks)[0], 1)) == 1).all()


def test_while_one_board_connects_the_other_is_only_read_later(tmp_path):
    """One lock of BrainFlow's: the rows wait in the ring, and none is lost."""
    with Cyton(tmp_path / "left") as left, Cyton(tmp_path / "right") as right:
        first, second = cyton(left), cyton(right)
        with first:
            kept = until(have(50), first)
            starting = threading.Thread(target=second.start, name="second")
            starting.start()
            until(lambda c: not starting.is_alive(), first, into=kept)
            starting.join()
            kept = until(lambda c: c[0][-1].end > 500, first, into=kept)
            second.close()
        assert first.loss == 0
    assert (np.diff(when(joined(kept[0])[0], 1)) == 1).all()
