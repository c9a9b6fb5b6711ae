"""Windows over gaps, and where they stand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from bioxedge import spec
from bioxedge.errors import SignalError
from bioxedge.gaps import SampleStream
from bioxedge.signals import Channel, Chunk, Recording, Samples
from bioxedge.windows import Window, WindowStream, cut, cut_at

RATE = 64.0
SOURCE = spec.Input(
    modality="ppg",
    channels=(spec.ChannelSpec(name="a", unit="a.u."), spec.ChannelSpec(name="b", unit="a.u.")),
    rate=RATE,
)
MAX_GAP = 4
BAND = spec.Filter(design="butterworth", kind="lowpass", cutoff=(8.0,), order=2)
HALF = spec.Resample(up=1, down=2, reach=3)


def make(*stages: spec.Stage, length: int = 10, hop: int = 5) -> WindowStream:
    return WindowStream(
        SOURCE,
        spec.StreamSpec(stages=stages, max_gap=MAX_GAP),
        spec.WindowSpec(length=length, hop=hop),
    )


def counting(first: int, count: int) -> Samples:
    """Samples that tell their own index: exact in float32."""
    numbers = np.arange(first, first + count, dtype=np.float64)
    return np.stack([numbers, -numbers])


def chunk(first: int, count: int) -> Chunk:
    return Chunk(counting(first, count), first, RATE)


def holed(count: int, begin: int, end: int, *, row: int | None = None) -> Chunk:
    samples = counting(0, count)
    samples[slice(None) if row is None else row, begin:end] = np.nan
    return Chunk(samples, 0, RATE)


def spans(windows: list[Window]) -> list[tuple[Fraction, Fraction]]:
    return [(window.start, window.end) for window in windows]


# -- without gaps --------------------------------------------------------------------------


def test_windows_follow_each_other_by_the_hop() -> None:
    windows = make().push(chunk(0, 30))
    assert spans(windows) == [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]
    for window in windows:
        expected = counting(int(window.start), 10)
        assert np.array_equal(window.samples, expected)
        assert window.samples.dtype == np.float32
        assert window.samples.flags.c_contiguous
        assert window.filled == 0


def test_a_window_leaves_with_its_last_sample() -> None:
    stream = make()
    assert stream.push(chunk(0, 9)) == []
    assert len(stream.push(chunk(9, 1))) == 1
    assert stream.push(chunk(10, 4)) == []
    assert len(stream.push(chunk(14, 1))) == 1


@pytest.mark.parametrize("hop", [1, 10, 11, 37])
def test_a_hop_may_be_shorter_or_longer_than_a_window(hop: int) -> None:
    at_once = make(hop=hop).push(chunk(0, 200))
    stream = make(hop=hop)
    singles = [window for n in range(200) for window in stream.push(chunk(n, 1))]
    assert spans(singles) == spans(at_once) == [(n, n + 10) for n in range(0, 191, hop)]
    assert all(np.array_equal(w.samples, counting(int(w.start), 10)) for w in singles)


def test_windows_are_anchored_to_the_first_sample_that_came() -> None:
    assert spans(make().push(chunk(1003, 12))) == [(1003, 1013)]


def test_positions_are_exact_fractions_of_input_samples() -> None:
    stages = (spec.Resample(up=2, down=3, reach=2), BAND)
    windows = make(*stages, length=7, hop=3).push(chunk(100, 4000))
    assert len(windows) > 100
    first = windows[0].start
    assert isinstance(first, Fraction)
    for number, window in enumerate(windows):
        assert window.start == first + number * Fraction(9, 2)
        assert window.end == window.start + Fraction(21, 2)


def test_a_position_is_where_a_ramp_says_it_is() -> None:
    # A linear-phase filter of unit gain passes a straight line as it is.
    windows = make(HALF, length=4, hop=4).push(chunk(0, 500))
    for window in windows:
        where = [float(window.start) + 2 * n for n in range(4)]
        assert np.abs(window.samples[0] - where).max() <= 1e-3


# -- short gaps ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 2, MAX_GAP])
def test_a_short_gap_is_held_over_and_counted(missing: int) -> None:
    stream = make()
    windows = stream.push(chunk(0, 12)) + stream.push(chunk(12 + missing, 20))
    assert stream.gaps == {"filled": missing, "lost": 0, "restarts": 0}
    assert spans(windows)[:3] == [(0, 10), (5, 15), (10, 20)]
    assert [window.filled for window in windows[:3]] == [0, min(missing, 3), missing]
    expected = counting(10, 10)
    expected[:, 2 : 2 + missing] = counting(11, 1)
    assert np.array_equal(windows[2].samples, expected)


def test_a_value_missing_in_one_channel_is_missing_in_all() -> None:
    for row in (0, 1, None):
        stream = make()
        windows = stream.push(holed(30, 12, 14, row=row))
        assert stream.gaps["filled"] == 2
        assert np.array_equal(windows[2].samples[:, 2:4], counting(11, 1).repeat(2, axis=1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_value_that_is_not_finite_is_missing(value: float) -> None:
    samples = counting(0, 30)
    samples[1, 12] = value
    windows = make().push(Chunk(samples, 0, RATE))
    assert all(np.isfinite(window.samples).all() for window in windows)
    assert windows[2].filled == 1


def test_a_window_counts_only_what_was_held_within_it() -> None:
    stream = make(length=10, hop=10)
    samples = counting(0, 60)
    for begin, end in ((8, 12), (25, 26), (27, 29), (40, 41)):
        samples[:, begin:end] = np.nan
    windows = stream.push(Chunk(samples, 0, RATE))
    assert [window.filled for window in windows] == [2, 2, 3, 0, 1, 0]
    assert stream.gaps["filled"] == 8


def test_several_gaps_that_touch_are_one() -> None:
    # Two missing values, a jump of two and one more missing value: five in a row.
    stream = make()
    before, after = counting(0, 20), counting(22, 20)
    before[:, 18:] = np.nan
    after[:, 0] = np.nan
    windows = stream.push(Chunk(before, 0, RATE)) + stream.push(Chunk(after, 22, RATE))
    assert stream.gaps == {"filled": 0, "lost": 5, "restarts": 1}
    assert spans(windows) == [(0, 10), (5, 15), (23, 33), (28, 38)]


def test_what_is_missing_is_held_only_once_its_end_is_known() -> None:
    stream = make()
    assert len(stream.push(holed(12, 9, 12))) == 0
    assert stream.gaps == {"filled": 0, "lost": 0, "restarts": 0}
    assert len(stream.push(chunk(12, 1))) == 1
    assert stream.gaps["filled"] == 3


def test_held_samples_go_through_the_stages() -> None:
    samples = counting(0, 400)
    held = samples.copy()
    held[:, 300:303] = held[:, 299:300]
    samples[:, 300:303] = np.nan
    found = make(BAND).push(Chunk(samples, 0, RATE))
    expected = make(BAND).push(Chunk(held, 0, RATE))
    assert spans(found) == spans(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.samples.tobytes() == other.samples.tobytes()


@pytest.mark.parametrize("stage", [HALF, spec.Resample(up=2, down=3, reach=2)])
@pytest.mark.parametrize("begin", range(200, 206))
def test_delay_is_taken_off_before_held_samples_are_counted(
    stage: spec.Resample, begin: int
) -> None:
    samples = counting(0, 400)
    samples[:, begin : begin + MAX_GAP] = np.nan
    windows = make(stage, length=7, hop=3).push(Chunk(samples, 0, RATE))
    for window in windows:
        held = [n for n in range(begin, begin + MAX_GAP) if window.start <= n < window.end]
        assert window.filled == len(held)
    assert max(window.filled for window in windows) == MAX_GAP


# -- long gaps -----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [MAX_GAP + 1, 1000])
@pytest.mark.parametrize("stages", [(), (BAND,), (HALF, BAND)])
def test_no_window_spans_a_long_gap(missing: int, stages: tuple[spec.Stage, ...]) -> None:
    stream = make(*stages)
    here = 500 + missing
    windows = stream.push(chunk(0, 500)) + stream.push(chunk(here, 500))
    assert stream.gaps == {"filled": 0, "lost": missing, "restarts": 1}
    assert any(end <= 500 for _, end in spans(windows))
    assert any(start >= here for start, _ in spans(windows))
    assert all(end <= 500 or start >= here for start, end in spans(windows))


def test_a_stream_without_tolerance_restarts_at_every_gap() -> None:
    strict = WindowStream(SOURCE, spec.StreamSpec(), spec.WindowSpec(length=3, hop=3))
    windows = strict.push(holed(9, 4, 5))
    assert strict.gaps == {"filled": 0, "lost": 1, "restarts": 1}
    assert spans(windows) == [(0, 3), (5, 8)]


def test_what_is_missing_before_the_first_sample_is_no_gap() -> None:
    stream = make()
    windows = stream.push(holed(40, 0, 20)) + stream.push(chunk(40, 5))
    assert stream.gaps == {"filled": 0, "lost": 0, "restarts": 0}
    assert spans(windows)[0] == (20, 30)


def test_a_stream_in_which_nothing_is_real_gives_nothing() -> None:
    stream = make()
    for n in range(5):
        assert stream.push(Chunk(np.full((2, 50), np.nan), 50 * n, RATE)) == []
    assert spans(stream.push(chunk(250, 10))) == [(250, 260)]


def test_a_gap_of_a_year_takes_no_memory() -> None:
    stream = make()
    stream.push(chunk(0, 20))
    year = 2 * 10**9
    assert spans(stream.push(chunk(year, 10))) == [(year, year + 10)]
    assert stream.gaps["lost"] == year - 20


# -- what does not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (chunk(19, 5), "sample 19.*up to 20"),
        (chunk(0, 20), "sample 0.*up to 20"),
        (Chunk(counting(20, 5), 20, 65.0), "64 Hz.*65 Hz"),
        (Chunk(counting(20, 5)[:1], 20, RATE), "2 channels.*has 1"),
        (Chunk(np.zeros((0, 0)), 20, RATE), "2 channels.*has 0"),
    ],
)
def test_a_chunk_that_does_not_fit_leaves_the_stream_as_it_was(wrong: Chunk, message: str) -> None:
    disturbed, calm = make(BAND), make(BAND)
    for stream in (disturbed, calm):
        stream.push(chunk(0, 20))
    for _ in range(2):
        with pytest.raises(SignalError, match=message):
            disturbed.push(wrong)
    found, expected = disturbed.push(chunk(22, 300)), calm.push(chunk(22, 300))
    assert expected
    assert spans(found) == spans(expected)
    assert [w.samples.tobytes() for w in found] == [w.samples.tobytes() for w in expected]
    assert [w.filled for w in found] == [w.filled for w in expected]
    assert disturbed.gaps == calm.gaps


@pytest.mark.parametrize(
    ("samples", "first", "rate", "message"),
    [
        (np.zeros(5), 0, RATE, "dimensions"),
        (np.zeros((1, 1, 5)), 0, RATE, "dimensions"),
        (np.zeros((1, 5)), -1, RATE, "-1"),
        (np.zeros((1, 5)), 0, 0.0, "positive"),
        (np.zeros((1, 5)), 0, float("nan"), "positive"),
        (np.zeros((1, 5)), 0, float("inf"), "positive"),
    ],
)
def test_a_chunk_that_cannot_be_is_refused(
    samples: Samples, first: int, rate: float, message: str
) -> None:
    with pytest.raises(SignalError, match=message):
        Chunk(samples, first, rate)


def test_a_chunk_takes_other_layouts_and_types() -> None:
    numbers = np.arange(40, dtype=np.int16).reshape(20, 2).T
    found = make().push(Chunk(numbers, 0, RATE))
    assert np.array_equal(found[0].samples, numbers[:, :10])


# -- recordings ----------------------------------------------------------------------------


def record(samples: Samples, *, rate: float = RATE, t0: float = 0.0) -> Recording:
    return Recording(samples, rate, (Channel("a"), Channel("b")), "ppg", "someone", t0)


STREAM = spec.StreamSpec(max_gap=MAX_GAP)
WINDOW = spec.WindowSpec(length=10, hop=5)


def test_a_recording_of_another_rate_is_refused() -> None:
    with pytest.raises(SignalError, match=r"someone.*125 Hz.*64 Hz"):
        cut(record(counting(0, 50), rate=125.0), SOURCE, STREAM, WINDOW)


def test_a_recording_without_a_channel_is_refused() -> None:
    other = Recording(counting(0, 50), RATE, (Channel("a"), Channel("c")), "ppg", "someone")
    with pytest.raises(SignalError, match="no channel b"):
        cut(other, SOURCE, STREAM, WINDOW)


def test_windows_at_given_times_are_the_nearest_samples() -> None:
    recording = record(counting(0, 100), t0=1000.0)
    times = [1000 + n / RATE for n in (0, 7, 7.4, 7.6, 90, 90.6, -1)]
    found = cut_at(recording, SOURCE, STREAM, WINDOW, times)
    starts = [None if window is None else int(window[0, 0]) for window in found]
    assert starts == [0, 7, 7, 8, 90, None, None]


def test_times_need_no_order_and_may_repeat() -> None:
    recording = record(counting(0, 100))
    found = cut_at(recording, SOURCE, STREAM, WINDOW, [n / RATE for n in (50, 3, 50)])
    assert [int(window[0, 0]) for window in found if window is not None] == [50, 3, 50]
    assert found[0] is not None
    found[0][:] = 0
    assert found[2] is not None
    assert found[2].any()


def test_a_time_within_a_long_gap_or_before_the_warm_up_has_no_window() -> None:
    samples = counting(0, 600)
    samples[:, 300:320] = np.nan
    causal = spec.StreamSpec(stages=(BAND,), max_gap=MAX_GAP)
    times = [n / RATE for n in range(600)]
    found = cut_at(record(samples), SOURCE, causal, WINDOW, times)
    there = [n for n, window in enumerate(found) if window is not None]
    warmup = there[0]
    assert warmup > 0
    assert there == [*range(warmup, 291), *range(320 + warmup, 591)]


def test_no_times_give_no_windows() -> None:
    assert cut_at(record(counting(0, 50)), SOURCE, STREAM, WINDOW, []) == []


def test_a_stream_of_samples_says_where_each_one_stands() -> None:
    stream = SampleStream(SOURCE, STREAM)
    segments = list(stream.push(holed(30, 10, 20)))
    assert [segment.index for segment in segments] == [0, 0]
    assert stream.locate(0) == 20
    assert stream.nearest(Fraction(45, 2)) in (2, 3)


@pytest.mark.parametrize("rewound", [False, True])
def test_a_gap_at_a_chunks_edge_counts_whatever_was_gone_back_to(rewound: bool) -> None:
    """A gap that ends exactly where the next chunk begins is new, also after a rewind."""
    x = np.random.default_rng(0).standard_normal((len(SOURCE.channels), 400))
    x[:, 390:] = np.nan
    stream = SampleStream(SOURCE, spec.StreamSpec(max_gap=2))
    list(stream.push(Chunk(x, 0, SOURCE.rate)))
    if rewound:
        stream.rewind(300, "it was no signal")
        list(stream.push(Chunk(x[:, 300:], 300, SOURCE.rate)))
    list(stream.push(Chunk(np.ones_like(x), 400, SOURCE.rate)))
    assert (stream.lost, stream.restarts) == (10, 2 if rewound else 1)
