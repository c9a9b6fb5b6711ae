"""The laws, numbered as in the design notes, over every stage and over whole streams."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import fixtures_bundle
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import dsp, filters, spec
from bioxedge.bundle import Bundle
from bioxedge.decide import Decider
from bioxedge.errors import ManifestError
from bioxedge.manifest import Decision
from bioxedge.signals import Channel, Chunk, Recording, Samples
from bioxedge.windows import Window, WindowStream, cut, cut_at, finish

RATE = 64.0
SOURCE = spec.Input(
    modality="ppg",
    channels=tuple(spec.ChannelSpec(name=name, unit="a.u.") for name in ("green", "red", "ir")),
    rate=RATE,
)
ROWS = len(SOURCE.channels)
law = settings(max_examples=15, deadline=None, derandomize=True, database=None)

# Every kind of stage, each with several parameters. A new kind has to be listed here.
STAGES: dict[str, spec.Stage] = {
    "select": spec.Select(channels=("ir", "green")),
    "scale": spec.Scale(gain=0.37, offset=-2.5),
    "resample-2-1": spec.Resample(up=2, down=1),
    "resample-1-3": spec.Resample(up=1, down=3, reach=4),
    "resample-125-64": spec.Resample(up=125, down=64),
    "resample-5-7": spec.Resample(up=5, down=7, reach=1),
    "resample-6-4": spec.Resample(up=6, down=4, reach=3),
    "butterworth-low": spec.Filter(design="butterworth", kind="lowpass", cutoff=(8.0,), order=5),
    "butterworth-high": spec.Filter(design="butterworth", kind="highpass", cutoff=(0.9,), order=1),
    "butterworth-band": spec.Filter(design="butterworth", cutoff=(0.5, 8.0), order=2),
    "butterworth-stop": spec.Filter(
        design="butterworth", kind="bandstop", cutoff=(14.0, 18.0), order=3
    ),
    "chebyshev-band": spec.Filter(design="chebyshev1", cutoff=(0.7, 12.0), order=3, ripple=0.3),
    "chebyshev-low": spec.Filter(design="chebyshev1", kind="lowpass", cutoff=(20.0,), order=12),
    "notch": spec.Filter(design="notch", cutoff=(16.0,), q=8.0),
    "standardise": spec.Standardise(warmup=130),
    "standardise-memory": spec.Standardise(warmup=40, memory=200),
}
WINDOW_STAGES: dict[str, spec.WindowStage] = {"zscore": spec.ZScore(), "rank": spec.Rank()}
CHAINS: dict[str, tuple[spec.Stage, ...]] = {
    "nothing": (),
    "one": (STAGES["butterworth-band"],),
    "all": (
        STAGES["select"],
        spec.Resample(up=25, down=32, reach=4),
        STAGES["scale"],
        spec.Filter(design="chebyshev1", kind="lowpass", cutoff=(15.0,), order=2),
        spec.Filter(design="notch", cutoff=(12.0,), q=4.0),
    ),
}
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
every_chain = pytest.mark.parametrize("stages", CHAINS.values(), ids=CHAINS)


def build(*stages: spec.Stage) -> dsp.Stages:
    return dsp.Stages(stages, SOURCE)


def noise(seed: int, count: int, rows: int = ROWS) -> Samples:
    """Uneven samples at an uneven level, so that every bit of the sums matters."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, count)) * 10.0 ** rng.uniform(-3, 5) + rng.uniform(-99, 99)


def split(samples: Samples, sizes: Sequence[int]) -> Iterator[Samples]:
    """Pieces of these sizes, whatever is left at the end, and an empty one after that."""
    start = 0
    for size in sizes:
        yield samples[:, start : start + size]
        start += size
    yield samples[:, start:]
    yield samples[:, :0]


def joined(pieces: Iterable[Samples]) -> Samples:
    return np.concatenate(list(pieces), axis=1)


def same(one: Samples, other: Samples) -> bool:
    return (
        one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    )


def same_windows(ones: Sequence[Window], others: Sequence[Window]) -> bool:
    """Bit by bit, with where they stand and what was held in them."""
    return len(ones) == len(others) and all(
        same(one.samples, other.samples)
        and (one.start, one.end, one.filled) == (other.start, other.end, other.filled)
        for one, other in zip(ones, others, strict=True)
    )


def stream(stages: Sequence[spec.Stage], *, max_gap: int = 5, then: object = ()) -> WindowStream:
    return WindowStream(
        SOURCE,
        spec.StreamSpec(stages=tuple(stages), max_gap=max_gap),
        spec.WindowSpec(length=50, hop=20, then=tuple(then)),  # type: ignore[arg-type]
    )


Feed = list[tuple[int, Samples]]
"""First index and samples of each unbroken piece."""

sizes = st.lists(st.integers(0, 60) | st.just(1) | st.just(0), max_size=30)


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    """A signal with jumps of the index and with values that are missing."""
    index = draw(st.integers(0, 1000))
    feed = []
    for _ in range(draw(st.integers(1, 4))):
        samples = noise(draw(st.integers(0, 99)), draw(st.integers(1, 900)))
        for _ in range(draw(st.integers(0, 3))):
            begin = draw(st.integers(0, samples.shape[1] - 1))
            row = draw(st.integers(0, ROWS - 1))
            bad = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
            samples[row, begin : begin + draw(st.integers(1, 8))] = bad
        feed.append((index, samples))
        index += samples.shape[1] + draw(st.integers(0, 8))
    return feed


def whole(feed: Feed) -> list[Chunk]:
    return [Chunk(samples, first, RATE) for first, samples in feed]


def chunked(feed: Feed, lengths: Sequence[int]) -> list[Chunk]:
    """Cut the same samples elsewhere; the lengths are used in turn."""
    turns = itertools.cycle([*lengths, 17])
    chunks = []
    for first, samples in feed:
        start = 0
        while start < samples.shape[1]:
            piece = samples[:, start : start + next(turns)]
            chunks.append(Chunk(piece, first + start, RATE))
            start += piece.shape[1]
    return chunks


def windows_of(windows: WindowStream, chunks: Iterable[Chunk]) -> list[Window]:
    return [window for chunk in chunks for window in windows.push(chunk)]


def as_recording(feed: Feed) -> Recording:
    """Write the same samples into one array, missing where the index jumps."""
    end = feed[-1][0] + feed[-1][1].shape[1]
    samples = np.full((ROWS, end), np.nan)
    for first, piece in feed:
        samples[:, first : first + piece.shape[1]] = piece
    channels = tuple(Channel(name, "a.u.") for name in SOURCE.names)
    return Recording(samples, RATE, channels, "ppg", "someone")


def pulse(count: int, start: int = 0) -> Samples:
    """A stationary, pulse-like signal on a level that a sensor may have."""
    t = (start + np.arange(count)) / RATE
    wave = np.sin(2 * np.pi * 1.2 * t) + 0.5 * np.sin(2 * np.pi * 2.4 * t + 1)
    return np.stack([wave + 3, 2 * wave - 1, 0.5 * wave])


# -- the laws hold over everything ---------------------------------------------------------


def test_every_stage_of_the_manifest_is_held_to_the_laws() -> None:
    assert {type(stage) for stage in STAGES.values()} == set(typing.get_args(spec.Stage))


def test_every_window_stage_of_the_manifest_is_held_to_the_laws() -> None:
    listed = {type(stage) for stage in WINDOW_STAGES.values()}
    assert listed == set(typing.get_args(spec.WindowStage))


def test_every_filter_design_and_kind_is_held_to_the_laws() -> None:
    filters = [stage for stage in STAGES.values() if isinstance(stage, spec.Filter)]
    hints = typing.get_type_hints(spec.Filter)
    assert {f.design for f in filters} == set(typing.get_args(hints["design"]))
    assert {f.kind for f in filters} == set(typing.get_args(hints["kind"]))


# -- law 1: chunk invariance ---------------------------------------------------------------


@every_stage
@law
@given(seed=st.integers(0, 99), count=st.integers(0, 2000), sizes=sizes)
def test_law_1_a_stage_gives_the_same_bits_for_any_chunking(
    stage: spec.Stage, seed: int, count: int, sizes: list[int]
) -> None:
    samples = noise(seed, count)
    at_once, bit_by_bit = build(stage), build(stage)
    expected = at_once.push(samples)
    found = joined(bit_by_bit.push(piece) for piece in split(samples, sizes))
    assert same(found, expected)


@every_stage
def test_law_1_a_stage_gives_the_same_bits_sample_by_sample(stage: spec.Stage) -> None:
    samples = noise(7, 900)
    stages = build(stage)
    found = joined(stages.push(samples[:, n : n + 1]) for n in range(samples.shape[1]))
    assert same(found, build(stage).push(samples))


@every_stage
def test_law_1_one_channel_gives_the_same_bits_as_in_company(stage: spec.Stage) -> None:
    # A device may have fewer channels than the recording that training cut from.
    if isinstance(stage, spec.Select):
        return
    samples = noise(8, 1500)
    alone = dsp.Stages(
        (stage,),
        spec.Input(modality="ppg", channels=SOURCE.channels[1:2], rate=RATE),
    )
    assert same(alone.push(samples[1:2].copy()), build(stage).push(samples)[1:2])


@every_chain
@law
@given(feed=feeds(), sizes=sizes)
def test_law_1_windows_are_the_same_bits_for_any_chunking(
    stages: tuple[spec.Stage, ...], feed: Feed, sizes: list[int]
) -> None:
    expected, found = stream(stages), stream(stages)
    assert same_windows(windows_of(found, chunked(feed, sizes)), windows_of(expected, whole(feed)))
    assert found.gaps == expected.gaps


@settings(law, max_examples=6)
@given(feed=feeds())
def test_law_1_windows_are_the_same_bits_sample_by_sample(feed: Feed) -> None:
    stages, then = CHAINS["all"], (spec.ZScore(), spec.Rank())
    expected, found = stream(stages, then=then), stream(stages, then=then)
    singles = [
        Chunk(samples[:, n : n + 1], first + n, RATE)
        for first, samples in feed
        for n in range(samples.shape[1])
    ]
    assert same_windows(windows_of(found, singles), windows_of(expected, whole(feed)))


def test_law_1_a_huge_chunk_gives_the_same_bits_as_small_ones() -> None:
    feed = [(0, noise(3, 100_000))]
    for stages in CHAINS.values():
        small = windows_of(stream(stages), chunked(feed, [997]))
        assert len(small) > 3000
        assert same_windows(small, windows_of(stream(stages), whole(feed)))


def test_law_1_a_missing_value_is_the_same_as_a_jump_of_the_index() -> None:
    samples = noise(4, 700)
    holed = samples.copy()
    holed[1, 300:304] = np.nan  # held over
    holed[:, 500:520] = np.nan  # too long
    jumps = [
        Chunk(samples[:, begin:end], begin, RATE)
        for begin, end in ((0, 300), (304, 500), (520, 700))
    ]
    found, expected = stream(CHAINS["one"]), stream(CHAINS["one"])
    assert same_windows(windows_of(found, jumps), windows_of(expected, [Chunk(holed, 0, RATE)]))
    assert found.gaps == expected.gaps == {"filled": 4, "lost": 20, "restarts": 1}


# -- law 2: reset equals fresh -------------------------------------------------------------


@every_stage
@law
@given(before=st.integers(0, 1500), after=st.integers(0, 1500))
def test_law_2_a_stage_that_was_reset_equals_a_fresh_one(
    stage: spec.Stage, before: int, after: int
) -> None:
    used, fresh = build(stage), build(stage)
    used.push(noise(1, before))
    used.reset()
    samples = noise(2, after)
    assert same(used.push(samples), fresh.push(samples))


@every_chain
@law
@given(before=feeds(), after=feeds())
def test_law_2_a_stream_that_was_reset_equals_a_fresh_one(
    stages: tuple[spec.Stage, ...], before: Feed, after: Feed
) -> None:
    used, fresh = stream(stages), stream(stages)
    windows_of(used, whole(before))
    used.reset()
    assert same_windows(windows_of(used, whole(after)), windows_of(fresh, whole(after)))
    assert used.gaps == fresh.gaps


@every_chain
def test_law_2_a_reset_in_the_middle_of_a_gap_forgets_the_gap(
    stages: tuple[spec.Stage, ...],
) -> None:
    used, fresh = stream(stages), stream(stages)
    samples = noise(5, 900)
    samples[:, -3:] = np.nan
    used.push(Chunk(samples, 0, RATE))
    used.reset()
    after = [Chunk(noise(6, 900), 0, RATE)]
    assert same_windows(windows_of(used, after), windows_of(fresh, after))
    assert used.gaps == {"filled": 0, "lost": 0, "restarts": 0}


@every_chain
def test_law_2_what_follows_a_long_gap_equals_a_fresh_start(
    stages: tuple[spec.Stage, ...],
) -> None:
    before, after = noise(9, 800), noise(10, 900)
    used = stream(stages)
    used.push(Chunk(before, 0, RATE))
    found = used.push(Chunk(after, 806, RATE))
    assert found
    assert same_windows(found, stream(stages).push(Chunk(after, 806, RATE)))


# -- law 3: warm-up yields nothing ---------------------------------------------------------


@every_stage
def test_law_3_outputs_start_when_the_declared_warm_up_is_over(stage: spec.Stage) -> None:
    stages = build(stage)
    count, unsettled = 3000, build(stage).warmups[0]
    up, down = (stage.up, stage.down) if isinstance(stage, spec.Resample) else (1, 1)
    # Output m needs inputs up to floor(m · down / up).
    computable = -(-count * up // down)
    assert stages.push(noise(11, count)).shape[1] == computable - unsettled


@every_stage
@law
@given(count=st.integers(0, 1200))
def test_law_3_nothing_leaves_before_the_warm_up_is_over(stage: spec.Stage, count: int) -> None:
    stages = build(stage)
    up, down = (stage.up, stage.down) if isinstance(stage, spec.Resample) else (1, 1)
    expected = max(0, -(-count * up // down) - stages.warmups[0])
    assert stages.push(noise(12, count)).shape[1] == expected


@every_stage
def test_law_3_the_first_output_is_settled(stage: spec.Stage) -> None:
    if isinstance(stage, spec.Standardise) and not stage.memory:
        return  # it never forgets how it began
    # The same signal with two minutes before it: by then a start is long forgotten. Where the
    # late start falls on the grid of a resampler is chosen so that outputs coincide.
    down = stage.down if isinstance(stage, spec.Resample) else 1
    late = 7680 // down * down
    samples = pulse(late + 4000)
    known, started = build(stage), build(stage)
    expected, found = known.push(samples), started.push(samples[:, late:].copy())
    where = started.position(0) + late
    offset = (where - known.position.offset) / known.position.scale
    assert offset.denominator == 1
    expected = expected[:, int(offset) :]
    assert found.shape == expected.shape
    span = np.ptp(samples, axis=1).max()
    if isinstance(stage, spec.Filter):
        # SETTLED bounds what is left of the start, as a share of the response's absolute sum.
        gain = _absolute_gain(stage)
        assert np.abs(found - expected).max() <= filters.SETTLED * gain * span
        assert np.abs(found[:, 2000:] - expected[:, 2000:]).max() <= 1e-5 * span
    elif isinstance(stage, spec.Standardise):
        # How long a wearer is looked at is a recipe's choice: it is the memory that forgets.
        assert np.abs(found[:, 3900:] - expected[:, 3900:]).max() <= 1e-5
    else:
        assert np.abs(found - expected).max() <= 1e-12 * span


def _absolute_gain(stage: spec.Filter) -> float:
    """Largest amplification of any bounded input: the impulse response's absolute sum."""
    stages = build(stage)
    impulse = np.zeros((ROWS, 20_000))
    before = stages.warmups[0] + 1
    impulse[:, before] = 1.0
    return float(np.abs(stages.push(impulse)[0]).sum())


@every_stage
@pytest.mark.parametrize("level", [0.0, 1e-3, -3.7, 1e5])
def test_law_3_a_constant_gives_its_final_value_from_the_first_output(
    stage: spec.Stage, level: float
) -> None:
    found = build(stage).push(np.full((ROWS, 6000), level))
    gain = 1.0
    if isinstance(stage, spec.Filter):
        blocks = stage.design != "notch" and stage.kind in ("highpass", "bandpass")
        gain = 0.0 if blocks else 1.0
        if stage.design == "chebyshev1" and not blocks and stage.order % 2 == 0:
            gain = 10 ** (-stage.ripple / 20)  # an even order starts at the ripple's bottom
    expected = level * gain
    if isinstance(stage, spec.Scale):
        expected = level * stage.gain + stage.offset
    if isinstance(stage, spec.Standardise):
        expected = 0.0
    assert found.shape[1] > 0
    assert np.abs(found - expected).max() <= 1e-10 * abs(level)


@every_stage
def test_law_3_a_declared_warm_up_that_is_too_short_is_refused(stage: spec.Stage) -> None:
    if isinstance(stage, spec.Select | spec.Scale):
        assert build(stage).warmups == (0,)
        return
    if isinstance(stage, spec.Standardise):
        assert build(stage).warmups == (stage.warmup,)  # a recipe's choice, none is too short
        return
    (settled,) = dsp.settle((stage,), SOURCE)
    assert isinstance(settled, spec.Resample | spec.Filter)
    assert settled.warmup is not None
    short = _with_warmup(settled, settled.warmup - 2)
    with pytest.raises(ManifestError, match=rf"{settled.warmup - 2} samples .*stages\[0\]"):
        build(short)


@every_stage
def test_law_3_a_declared_warm_up_that_is_longer_is_kept(stage: spec.Stage) -> None:
    if isinstance(stage, spec.Select | spec.Scale):
        return
    (settled,) = dsp.settle((stage,), SOURCE)
    assert isinstance(settled, spec.Resample | spec.Filter | spec.Standardise)
    assert settled.warmup is not None
    longer = build(_with_warmup(settled, settled.warmup + 11))
    samples = noise(13, 4000)
    assert same(longer.push(samples), build(stage).push(samples)[:, 11:])
    assert longer.position(0) == build(stage).position(11)


def _with_warmup(
    stage: spec.Resample | spec.Filter | spec.Standardise, warmup: int
) -> spec.Resample | spec.Filter | spec.Standardise:
    fields = {name: getattr(stage, name) for name in stage.__struct_fields__}
    return type(stage)(**{**fields, "warmup": warmup})


def test_law_3_no_window_holds_unsettled_samples_after_a_restart() -> None:
    stages = CHAINS["all"]
    windows = stream(stages)
    windows.push(Chunk(noise(14, 2000), 0, RATE))
    after = windows.push(Chunk(noise(15, 2000), 2100, RATE))
    assert after[0].start == 2100 + build(*stages).position(0)
    assert after[0].start > 2100


# -- law 4: inputs are never mutated -------------------------------------------------------


@every_stage
def test_law_4_a_stage_leaves_its_input_as_it_was(stage: spec.Stage) -> None:
    stages, samples = build(stage), noise(16, 2000)
    before = samples.tobytes()
    for piece in split(samples, [0, 1, 700]):
        stages.push(piece)
    assert samples.tobytes() == before


@every_stage
def test_law_4_a_stage_takes_samples_that_cannot_be_written(stage: spec.Stage) -> None:
    samples = noise(17, 2000)
    expected = build(stage).push(samples.copy())
    samples.flags.writeable = False
    assert same(build(stage).push(samples), expected)


@every_stage
def test_law_4_writing_to_an_output_changes_nothing_that_follows(stage: spec.Stage) -> None:
    samples = noise(18, 2400)
    spoilt, expected = build(stage), build(stage)
    for begin in range(0, 2400, 400):
        piece = samples[:, begin : begin + 400].copy()
        found, wanted = spoilt.push(piece), expected.push(piece.copy())
        assert same(found, wanted)
        found[:] = np.nan
        piece[:] = np.nan  # a driver may use its buffer again


@every_chain
def test_law_4_windows_share_nothing_with_their_input_or_the_stream(
    stages: tuple[spec.Stage, ...],
) -> None:
    samples = noise(19, 2400)
    samples[0, 950:953] = np.nan
    spoilt, expected = stream(stages), stream(stages)
    for begin in range(0, 2400, 400):
        piece = samples[:, begin : begin + 400].copy()
        before = piece.tobytes()
        first = begin + begin // 100  # four are lost between two chunks, and held over
        found = spoilt.push(Chunk(piece, first, RATE))
        assert piece.tobytes() == before
        wanted = expected.push(Chunk(piece.copy(), first, RATE))
        assert same_windows(found, wanted)
        for window in found:
            window.samples[:] = np.nan
        piece[:] = np.inf


@pytest.mark.parametrize("stage", WINDOW_STAGES.values(), ids=WINDOW_STAGES)
def test_law_4_a_window_stage_leaves_its_input_as_it_was(stage: spec.WindowStage) -> None:
    samples = noise(20, 50)
    before = samples.tobytes()
    out = finish(samples, (stage,))
    out[:] = 0
    assert samples.tobytes() == before


def test_law_4_a_window_without_stages_is_a_copy() -> None:
    samples = noise(21, 50).astype(np.float32).astype(np.float64)
    before = samples.tobytes()
    finish(samples, ())[:] = 0
    assert samples.tobytes() == before


# -- law 5: one path -----------------------------------------------------------------------


@every_chain
@law
@given(feed=feeds(), sizes=sizes)
def test_law_5_training_and_the_device_cut_the_same_bits(
    stages: tuple[spec.Stage, ...], feed: Feed, sizes: list[int]
) -> None:
    feed = [(first - feed[0][0], samples) for first, samples in feed]
    causal = spec.StreamSpec(stages=stages, max_gap=5)
    window = spec.WindowSpec(length=50, hop=20, then=(spec.Rank(), spec.ZScore()))
    device = WindowStream(SOURCE, causal, window)
    trained = cut(as_recording(feed), SOURCE, causal, window)
    assert same_windows(windows_of(device, chunked(feed, sizes)), trained)


@every_chain
@law
@given(feed=feeds(), t0=st.sampled_from([0.0, 1.7e9]))
def test_law_5_windows_cut_at_given_times_are_the_same_bits(
    stages: tuple[spec.Stage, ...], feed: Feed, t0: float
) -> None:
    causal = spec.StreamSpec(stages=stages, max_gap=5)
    window = spec.WindowSpec(length=50, hop=20, then=(spec.ZScore(),))
    plain = as_recording(feed)
    recording = Recording(plain.samples, RATE, plain.channels, "ppg", "someone", t0)
    windows = cut(recording, SOURCE, causal, window)
    times = [t0 + float(each.start) / RATE for each in windows]
    found = cut_at(recording, SOURCE, causal, window, times)
    assert len(found) == len(windows)
    for one, other in zip(found, windows, strict=True):
        assert one is not None
        assert same(one, other.samples)


def test_law_5_picks_the_channels_that_the_device_has_by_name() -> None:
    samples = noise(22, 1500)
    channels = tuple(Channel(name) for name in (*SOURCE.names, "extra"))
    shuffled = Recording(
        np.concatenate([samples, noise(23, 1500, 1)])[[2, 3, 0, 1]],
        RATE,
        tuple(channels[n] for n in (2, 3, 0, 1)),
        "ppg",
        "someone",
    )
    causal = spec.StreamSpec(stages=CHAINS["all"])
    window = spec.WindowSpec(length=50, hop=20)
    found = cut(shuffled, SOURCE, causal, window)
    assert found
    assert same_windows(found, WindowStream(SOURCE, causal, window).push(Chunk(samples, 0, RATE)))


@pytest.mark.parametrize("late", [1, 17, 333])
@pytest.mark.parametrize("name", ["one", "two designs"])
def test_decision_3_another_start_changes_settled_windows_by_a_thousandth(
    name: str, late: int
) -> None:
    # What is left of a start is below SETTLED of the signal when the first sample leaves, for
    # each recursive stage; it decays from there on.
    stages = (
        CHAINS["one"]
        if name == "one"
        else (
            spec.Filter(design="chebyshev1", kind="lowpass", cutoff=(15.0,), order=2),
            spec.Filter(design="butterworth", kind="highpass", cutoff=(0.6,), order=3),
        )
    )
    samples = pulse(4000) + 0.1 * np.random.default_rng(24).standard_normal((ROWS, 4000))
    causal = spec.StreamSpec(stages=stages)
    window = spec.WindowSpec(length=50, hop=1)
    early, later = (
        {w.start: w.samples for w in WindowStream(SOURCE, causal, window).push(chunk)}
        for chunk in (
            Chunk(samples, 0, RATE),
            Chunk(samples[:, late:], late, RATE),
        )
    )
    common = sorted(set(early) & set(later))
    assert len(common) == len(later)
    span = float(np.ptp(samples, axis=1).max())
    apart = [float(np.abs(early[at] - later[at]).max()) for at in common]
    assert max(apart) <= 4e-3 * span
    assert max(apart[1000:]) <= 1e-4 * span


# -- law 6: golden windows reproduce golden outputs ----------------------------------------


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "pulse": fixtures_bundle.make_bundle(folder / "pulse"),
        "all": fixtures_bundle.make_bundle(
            folder / "all",
            channels=SOURCE.names,
            stages=CHAINS["all"],
            length=64,
            hop=16,
            then=(spec.Rank(),),
            labels=("a", "b", "c"),
        ),
    }


def golden_windows(bundle: Bundle) -> Samples:
    pieces = [Chunk(raw, 0, bundle.manifest.input.rate) for raw in bundle.golden.raw]
    return np.stack([w.samples for piece in pieces for w in bundle.windows().push(piece)])


@pytest.mark.parametrize("name", ["pulse", "all"])
def test_law_6_raw_samples_reproduce_the_golden_windows(
    bundles: dict[str, Bundle], name: str
) -> None:
    assert same(golden_windows(bundles[name]), bundles[name].golden.windows)


@pytest.mark.parametrize("name", ["pulse", "all"])
def test_law_6_golden_windows_reproduce_the_golden_outputs(
    bundles: dict[str, Bundle], name: str
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    bundle = bundles[name]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(bundle.model(), options, providers=["CPUExecutionProvider"])
    part = bundle.manifest.variant()
    found = np.concatenate(
        [
            session.run([part.output.name], {part.input.name: w[None]})[0]
            for w in golden_windows(bundle)
        ]
    )
    assert np.abs(found - bundle.golden.probabilities).max() <= 1e-6


# -- decisions -----------------------------------------------------------------------------

cheap = settings(law, max_examples=200)
decisions = st.builds(
    Decision,
    smoothing=st.just(0.0) | st.floats(0.01, 30.0),
    threshold=st.just(0.0) | st.floats(0.0, 0.95),
    patience=st.integers(1, 4),
    refractory=st.integers(0, 4),
)
# Probabilities in tenths, so that ties and thresholds are met exactly; None is skipped.
shares = st.lists(st.none() | st.integers(0, 10), max_size=40)


def decide(decider: Decider, windows: Sequence[int | None]) -> list[tuple[object, ...] | None]:
    """Push or skip every window; give what was said, comparable to the last bit."""
    found: list[tuple[object, ...] | None] = []
    for window in windows:
        if window is None:
            decider.skip()
            found.append(None)
            continue
        answer = np.array([1 - window / 10, window / 10], np.float32)
        before = answer.copy()
        one = decider.push(answer)
        assert same(answer, before)  # law 4
        smoothed = None if one.smoothed is None else one.smoothed.tobytes()
        found.append((one.label, one.reason, smoothed))
    return found


@cheap
@given(decision=decisions, windows=shares, at=st.integers(0, 40))
def test_decisions_law_1_depend_on_the_windows_alone_however_they_come(
    decision: Decision, windows: list[int | None], at: int
) -> None:
    # Whole streams in one piece and in two: nothing but the sequence is remembered.
    whole, parts = Decider(("a", "b"), decision), Decider(("a", "b"), decision)
    found = decide(parts, windows[:at]) + decide(parts, windows[at:])
    assert found == decide(whole, windows)


@law
@given(feed=feeds(), sizes=sizes, decision=decisions)
def test_decisions_law_1_are_the_same_for_any_chunking(
    feed: Feed, sizes: list[int], decision: Decision
) -> None:
    def of(chunks: Iterable[Chunk]) -> list[tuple[object, ...] | None]:
        windows = windows_of(stream(CHAINS["one"], then=(spec.Rank(),)), chunks)
        shares = [int(5 + 5 * float(window.samples[0, -1])) for window in windows]
        return decide(Decider(("a", "b"), decision), shares)

    assert of(chunked(feed, sizes)) == of(whole(feed))


@cheap
@given(decision=decisions, before=shares, after=shares)
def test_decisions_law_2_a_decider_that_was_reset_equals_a_fresh_one(
    decision: Decision, before: list[int | None], after: list[int | None]
) -> None:
    used = Decider(("a", "b"), decision)
    decide(used, before)
    used.reset()
    assert decide(used, after) == decide(Decider(("a", "b"), decision), after)


@cheap
@given(decision=decisions, windows=shares)
def test_decisions_law_3_say_a_label_or_why_there_is_none(
    decision: Decision, windows: list[int | None]
) -> None:
    for one in decide(Decider(("a", "b"), decision), windows):
        assert one is None or (one[0] is None) == (one[1] is not None)


@cheap
@given(decision=decisions, windows=shares)
def test_decisions_law_4_what_was_given_is_never_changed_later(
    decision: Decision, windows: list[int | None]
) -> None:
    decider = Decider(("a", "b"), decision)
    given_out = []
    for window in windows:
        if window is not None:
            one = decider.push({"a": 1 - window / 10, "b": window / 10})
            if one.smoothed is not None:
                given_out.append((one.smoothed, one.smoothed.copy()))
                one.smoothed[:] *= 1.0  # the caller's own array
    assert all(same(now, then) for now, then in given_out)


@cheap
@given(windows=st.lists(st.none() | st.lists(st.floats(0, 1), min_size=3, max_size=3), max_size=40))
def test_decisions_as_they_stand_are_the_argmax(windows: list[list[float] | None]) -> None:
    labels, decider = ("a", "b", "c"), Decider(("a", "b", "c"), Decision())
    for window in windows:
        if window is None:
            decider.skip()
        else:
            one = decider.push(np.array(window))
            assert (one.label, one.reason) == (labels[int(np.argmax(window))], None)


@cheap
@given(decision=decisions, windows=shares)
def test_decisions_keep_their_patience_and_their_refractory_time(
    decision: Decision, windows: list[int | None]
) -> None:
    decision = msgspec.structs.replace(decision, smoothing=0.0)
    found = decide(Decider(("a", "b"), decision), windows)
    won = [
        None if w is None  # an unsure window breaks a row, a skipped one does not
        else "?" if max(w, 10 - w) / 10 < decision.threshold - 1e-6
        else "ab"[w > 5]
        for w in windows
    ]  # fmt: skip
    changed = None  # the window at which what is said last changed
    last = None
    for n, one in enumerate(found):
        label = None if one is None else one[0]
        if label is None or label == last:
            continue
        assert changed is None or n - changed > decision.refractory
        row = [w for w in won[: n + 1] if w is not None][-decision.patience :]
        assert row == [label] * decision.patience
        changed, last = n, label


# -- law 7: no torch on the device ---------------------------------------------------------

REFUSED = ("torch", "sklearn", "transformers", "onnx", "onnxscript", "matplotlib", "safetensors")
ROOT = Path(__file__).resolve().parent.parent


def import_without(
    names: Sequence[str], modules: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    """Import modules in a process where these packages cannot be imported."""
    program = textwrap.dedent(
        f"""
        import importlib, sys

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {tuple(names)!r}:
                    raise ImportError(name + " is refused here")

        sys.meta_path.insert(0, Refuse())
        for module in {list(modules)!r}:
            importlib.import_module(module)
        """
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )


def device_modules() -> list[str]:
    """The hinge and everything in the runtime."""
    package = ROOT / "bioxedge"
    hinge = [f"bioxedge.{path.stem}" for path in package.glob("*.py") if path.stem[0] != "_"]
    # BrainFlow is an extra: the one module that needs it may be told so.
    runtime = [f"bioxedge.runtime.{path.stem}" for path in (package / "runtime").glob("[a-z]*.py")]
    return ["bioxedge", *sorted(hinge), "bioxedge.runtime", *sorted(runtime)]


def test_law_7_the_hinge_and_the_runtime_import_without_torch() -> None:
    result = import_without(REFUSED, device_modules())
    assert result.returncode == 0, result.stderr


def test_law_7_the_refusal_works() -> None:
    refuse: Callable[[str], int] = lambda name: import_without([name], [name]).returncode  # noqa: E731
    assert refuse("colorsys") != 0  # which nothing has imported before, a counter of lines neither
    assert import_without(["torch"], ["json"]).returncode == 0
