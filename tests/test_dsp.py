"""The stages against SciPy, and against what the signal is known to be."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from scipy import signal, stats

from bioxedge import dsp, spec
from bioxedge.errors import ManifestError
from bioxedge.signals import Samples
from bioxedge.windows import finish

RATE = 64.0
SOURCE = spec.Input(
    modality="ppg", channels=tuple(spec.ChannelSpec(name=n, unit="a.u.") for n in "ab"), rate=RATE
)
RATIOS = [(2, 1), (1, 2), (3, 2), (125, 64), (64, 125), (5, 7), (1, 10), (6, 4)]
each_ratio = pytest.mark.parametrize(("up", "down"), RATIOS)

FILTERS = {
    "low": spec.Filter(design="butterworth", kind="lowpass", cutoff=(8.0,), order=4),
    "high": spec.Filter(design="butterworth", kind="highpass", cutoff=(0.5,), order=3),
    "band": spec.Filter(design="butterworth", cutoff=(0.5, 8.0), order=3),
    "stop": spec.Filter(design="butterworth", kind="bandstop", cutoff=(15.0, 17.0), order=2),
    "chebyshev": spec.Filter(design="chebyshev1", cutoff=(0.5, 8.0), order=4, ripple=0.2),
    "notch": spec.Filter(design="notch", cutoff=(16.0,), q=12.0),
}
each_filter = pytest.mark.parametrize("stage", FILTERS.values(), ids=FILTERS)


def noise(count: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).standard_normal((2, count))


def build(*stages: spec.Stage, source: spec.Input = SOURCE) -> dsp.Stages:
    return dsp.Stages(stages, source)


# -- resampling ----------------------------------------------------------------------------


def taps_of(up: int, down: int, reach: int) -> Samples:
    """Kaiser-windowed low-pass at the slower Nyquist rate; each phase sums to one."""
    slower = max(up, down)
    taps = signal.firwin(2 * reach * slower + 1, 1 / slower, window=("kaiser", 8.0)) * up
    for phase in range(up):
        taps[phase::up] /= taps[phase::up].sum()
    return taps


@each_ratio
@pytest.mark.parametrize("reach", [1, 4, 10])
def test_a_resampler_gives_what_upfirdn_gives_at_the_declared_positions(
    up: int, down: int, reach: int
) -> None:
    stages = build(spec.Resample(up=up, down=down, reach=reach))
    samples = noise(4000)
    found = stages.push(samples)
    up, down = Fraction(up, down).numerator, Fraction(up, down).denominator
    taps = taps_of(up, down, reach)
    reference = signal.upfirdn(taps, samples, up, down, axis=1)
    # upfirdn's output m stands at (m · down − half) / up of the input.
    half = (len(taps) - 1) // 2
    first = (stages.position(0) * up + half) / down
    assert first.denominator == 1
    assert found.shape[1] > 100
    wanted = reference[:, int(first) :][:, : found.shape[1]]
    assert np.abs(found - wanted).max() <= 1e-12


@each_ratio
def test_a_resampler_agrees_with_scipys_own_away_from_the_ends(up: int, down: int) -> None:
    # resample_poly's filter is the same but for a shape that does not sum to one exactly.
    stages = build(spec.Resample(up=up, down=down, reach=10))
    samples = noise(3000)
    found = stages.push(samples)
    reference = signal.resample_poly(samples, up, down, axis=1, window=("kaiser", 8.0))
    first = stages.position(0) / stages.position.scale
    if first.denominator == 1:
        wanted = reference[:, int(first) :][:, : found.shape[1]]
        assert np.abs(found[:, : wanted.shape[1]] - wanted).max() <= 5e-4


@each_ratio
def test_a_slow_sine_stands_at_its_declared_time(up: int, down: int) -> None:
    stages = build(spec.Resample(up=up, down=down))
    frequency = 0.02 * min(1.0, up / down)  # cycles a sample, deep in the pass band
    samples = np.sin(2 * np.pi * frequency * np.arange(6000))[None].repeat(2, axis=0)
    found = stages.push(samples)
    where = np.array([float(stages.position(n)) for n in range(found.shape[1])])
    assert np.abs(found - np.sin(2 * np.pi * frequency * where)).max() <= 1e-4


def test_positions_of_stages_compose_exactly() -> None:
    stages = build(
        spec.Resample(up=125, down=64),
        spec.Filter(design="butterworth", cutoff=(0.5, 8.0)),
        spec.Resample(up=1, down=5),
    )
    samples = np.sin(2 * np.pi * 0.01 * np.arange(9000))[None].repeat(2, axis=0)
    steps = [
        build(spec.Resample(up=125, down=64)),
        build(spec.Resample(up=1, down=5)),
    ]
    found = stages.push(samples)
    assert stages.rate == RATE * 125 / 64 / 5
    assert stages.position.scale == Fraction(64, 125) * 5
    assert found.shape[1] > 0
    # Without the recursive filter between, the sine stands where the positions say.
    plain = steps[1].push(steps[0].push(samples))
    position = steps[1].position.after(steps[0].position)
    where = np.array([float(position(n)) for n in range(plain.shape[1])])
    assert np.abs(plain - np.sin(2 * np.pi * 0.01 * where)).max() <= 1e-4


def test_a_resampler_keeps_what_would_fold_over_out() -> None:
    stages = build(spec.Resample(up=1, down=4))
    samples = np.sin(2 * np.pi * 0.21 * np.arange(5000))[None].repeat(2, axis=0)
    assert np.abs(stages.push(samples)).max() <= 2e-4  # Kaiser beta 8: about 80 dB


@pytest.mark.parametrize("level", [1.0, -3.3, 1e5, 2.5e7])
@each_ratio
def test_a_resampler_passes_a_level_without_a_ripple(up: int, down: int, level: float) -> None:
    # A wrist sensor's light stands at 1e5 counts, its pulse at 1e2.
    found = build(spec.Resample(up=up, down=down, reach=3)).push(np.full((2, 3000), level))
    assert np.abs(found / level - 1).max() <= 1e-13
    assert not finish(found[:, :100], (spec.ZScore(),)).any()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (spec.Resample(up=3, down=3), "3/3"),
        (spec.Resample(up=10**12, down=10**12 - 1), "taps"),
        (spec.Resample(up=2, down=1, reach=10**12), "taps"),
        (spec.Resample(up=2, down=1, warmup=38), "38 .* 40"),
    ],
)
def test_a_resampler_that_cannot_be_names_its_values(stage: spec.Resample, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        build(stage)


# -- filters -------------------------------------------------------------------------------


def sections_of(stage: spec.Filter) -> Samples:
    """Design the same filter by SciPy's own functions."""
    if stage.design == "notch":
        return signal.tf2sos(*signal.iirnotch(stage.cutoff[0], stage.q, fs=RATE))
    edges = stage.cutoff if len(stage.cutoff) == 2 else stage.cutoff[0]
    if stage.design == "butterworth":
        return signal.butter(stage.order, edges, stage.kind, output="sos", fs=RATE)
    return signal.cheby1(stage.order, stage.ripple, edges, stage.kind, output="sos", fs=RATE)


@each_filter
def test_a_filter_gives_what_sosfilt_gives_from_rest_at_the_first_level(
    stage: spec.Filter,
) -> None:
    stages = build(stage)
    samples = noise(5000) + 1e3
    sections = sections_of(stage)
    rest = signal.sosfilt_zi(sections)[:, None, :] * samples[None, :, :1]
    reference, _ = signal.sosfilt(sections, samples, axis=1, zi=rest)
    first = stages.position(0)
    assert first == stages.warmups[0]
    assert np.abs(stages.push(samples) - reference[:, int(first) :]).max() <= 1e-12 * 1e3


@each_filter
def test_the_warm_up_covers_all_but_a_thousandth_of_the_response(stage: spec.Filter) -> None:
    sections = sections_of(stage)
    impulse = np.zeros(60_000)
    impulse[0] = 1.0
    response = np.abs(signal.sosfilt(sections, impulse))
    (warmup,) = build(stage).warmups
    assert response[warmup:].sum() <= 1e-3 * response.sum()
    assert response[warmup - 1 :].sum() > 1e-3 * response.sum()


def test_a_band_pass_keeps_its_band_and_takes_the_rest_away() -> None:
    stages = build(FILTERS["band"])
    t = np.arange(8000) / RATE
    kept, drift, hum = (np.sin(2 * np.pi * f * t) for f in (2.0, 0.05, 25.0))
    for wave, low, high in ((kept, 0.95, 1.05), (drift, 0.0, 0.01), (hum, 0.0, 0.01)):
        stages.reset()
        found = stages.push(np.stack([wave, wave]))
        assert low <= np.abs(found[:, -640:]).max() <= high


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (spec.Filter(design="butterworth", cutoff=(0.5, 40.0)), r"\[0\.5, 40\.0\] Hz.*32 Hz"),
        (spec.Filter(design="butterworth", cutoff=(8.0, 0.5)), r"\[8\.0, 0\.5\]"),
        (spec.Filter(design="butterworth", cutoff=(8.0, 8.0)), r"\[8\.0, 8\.0\]"),
        (spec.Filter(design="butterworth", cutoff=(8.0,)), r"bandpass takes two.*\[8\.0\]"),
        (spec.Filter(design="notch", cutoff=(8.0, 9.0)), r"notch takes one.*\[8\.0, 9\.0\]"),
        (spec.Filter(design="notch", cutoff=(32.0,)), r"\[32\.0\] Hz.*32 Hz"),
        (
            spec.Filter(design="chebyshev1", kind="lowpass", cutoff=(1.0, 2.0)),
            r"lowpass takes one.*\[1\.0, 2\.0\]",
        ),
        (spec.Filter(design="butterworth", kind="highpass", cutoff=(1e-6,)), "settle"),
    ],
)
def test_a_cutoff_that_cannot_be_names_its_values_and_its_path(
    stage: spec.Filter, message: str
) -> None:
    with pytest.raises(ManifestError, match=message + r".*\$\.stream\.stages\[1\]"):
        build(spec.Scale(), stage)


def test_a_cutoff_is_held_to_the_rate_that_reaches_the_filter() -> None:
    stage = spec.Filter(design="butterworth", kind="lowpass", cutoff=(20.0,))
    build(stage)
    build(spec.Resample(up=2, down=3), stage)
    with pytest.raises(ManifestError, match="16 Hz"):
        build(spec.Resample(up=1, down=2), stage)


# -- selection and scale -------------------------------------------------------------------


def test_channels_are_picked_by_name_in_the_order_asked_for() -> None:
    stages = build(spec.Select(channels=("b", "a")), spec.Select(channels=("b",)))
    samples = noise(9)
    assert stages.channels == ("b",)
    assert np.array_equal(stages.push(samples), samples[1:])


def test_a_channel_that_is_gone_is_named() -> None:
    with pytest.raises(ManifestError, match=r"no channel a.*\$\.stream\.stages\[1\]"):
        build(spec.Select(channels=("b",)), spec.Select(channels=("a",)))


def test_scale_is_gain_then_offset() -> None:
    assert np.array_equal(
        build(spec.Scale(gain=2.0, offset=1.0)).push(np.array([[1.0, 2.0], [3.0, 4.0]])),
        [[3.0, 5.0], [7.0, 9.0]],
    )


def test_settling_fills_every_warm_up_in_and_keeps_those_that_are_there() -> None:
    stages = (spec.Scale(), spec.Resample(up=2, down=1), FILTERS["band"])
    settled = dsp.settle(stages, SOURCE)
    assert [getattr(stage, "warmup", 0) for stage in settled] == list(build(*stages).warmups)
    assert dsp.settle(settled, SOURCE) == settled


def test_settled_sections_are_the_design_to_the_last_bit_through_json() -> None:
    stages = (spec.Resample(up=2, down=1), *FILTERS.values())
    settled = msgspec.json.encode(spec.StreamSpec(stages=dsp.settle(stages, SOURCE)))
    read = msgspec.json.decode(settled, type=spec.StreamSpec).stages
    samples = noise(9000) + 1e3
    assert build(*read).push(samples).tobytes() == build(*stages).push(samples).tobytes()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ((1.0, 0.0, 0.0, 2.0, 0.0, 0.0), "the fourth of them 1"),
        ((1.0, 0.0, 0.0, 1.0, -2.5, 1.2), "unstable"),
    ],
)
def test_sections_that_are_no_filter_are_refused(section: spec.Section, message: str) -> None:
    stage = msgspec.structs.replace(FILTERS["band"], sections=(section,))
    with pytest.raises(ManifestError, match=message + r".*\$\.stream\.stages\[0\]"):
        build(stage)


def test_what_is_settled_runs_without_scipys_designs() -> None:
    stages = (spec.Resample(up=125, down=64), FILTERS["band"])
    settled = msgspec.json.encode(spec.StreamSpec(stages=dsp.settle(stages, SOURCE)))
    code = f"""
        import sys
        import msgspec
        import numpy as np
        from bioxedge import dsp, spec

        stream = msgspec.json.decode({settled!r}, type=spec.StreamSpec)
        channels = tuple(spec.ChannelSpec(name=name, unit="uV") for name in "ab")
        source = spec.Input(modality="ppg", channels=channels, rate={RATE})
        out = dsp.Stages(stream.stages, source).push(np.ones((2, 5000)))
        assert out.shape[1] and "scipy.signal" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# -- whole windows -------------------------------------------------------------------------


def test_zscore_is_the_formula() -> None:
    samples = noise(256) * 40 + 7
    mean, deviation = samples.mean(axis=1, keepdims=True), samples.std(axis=1, keepdims=True)
    found = finish(samples, (spec.ZScore(),))
    assert found.dtype == np.float32
    assert np.abs(found - (samples - mean) / deviation).max() <= 1e-6


@pytest.mark.parametrize("level", [0.0, 0.1, -1 / 3, 1e5 + 0.1, 1e-30])
@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_zscore_of_a_constant_is_zero(level: float, length: int) -> None:
    assert not finish(np.full((2, length), level), (spec.ZScore(),)).any()


def test_zscore_treats_channels_apart() -> None:
    samples = noise(100)
    samples[1] = 5.0
    found = finish(samples, (spec.ZScore(),))
    assert abs(found[0].std() - 1) <= 1e-6
    assert not found[1].any()


def test_rank_is_scipys_average_rank() -> None:
    samples = np.round(noise(301) * 3)  # many ties
    ranks = stats.rankdata(samples, method="average", axis=1)
    expected = 2 * (ranks - 1) / (samples.shape[1] - 1) - 1
    assert np.abs(finish(samples, (spec.Rank(),)) - expected).max() <= 1e-7


def test_rank_lies_between_minus_one_and_one() -> None:
    found = finish(noise(50), (spec.Rank(),))
    assert found.min() == -1.0
    assert found.max() == 1.0


@pytest.mark.parametrize("length", [1, 2, 9])
def test_rank_of_a_constant_has_no_direction(length: int) -> None:
    found = finish(np.full((2, length), 3.5), (spec.Rank(),))
    assert found.min() == found.max()
    assert length == 1 or not found.any()


def test_rank_is_what_openecg_does() -> None:
    openecg = pytest.importorskip("openecg.dsp")
    samples = np.round(noise(250)[:1], 1)
    expected = np.asarray(openecg.rank_normalize(samples[0]), dtype=np.float32)
    assert np.abs(finish(samples, (spec.Rank(),))[0] - expected).max() <= 1e-6


def test_window_stages_follow_each_other_in_order() -> None:
    samples = noise(60)
    both = finish(samples, (spec.Rank(), spec.ZScore()))
    assert abs(both[0].std() - 1) <= 1e-6
    assert np.array_equal(
        finish(samples, (spec.ZScore(), spec.Rank())), finish(samples, (spec.Rank(),))
    )
