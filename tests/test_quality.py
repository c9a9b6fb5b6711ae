"""Is this a signal at all: the judge's laws, its faults, its refusals, through real pushes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import spec
from bioxedge.datasets import bidmc, simulated
from bioxedge.errors import DatasetError, SignalError
from bioxedge.quality import Judge, Verdict, memory_for
from bioxedge.quality.measures import MEASURES, measure
from bioxedge.quality.misfit import STRANGE
from bioxedge.signals import Channel, Chunk, Recording, Samples
from bioxedge.windows import WindowStream

RATE = 64.0
NAMES = ("a", "b", "c")
SOURCE = spec.Input(
    modality="eeg", channels=tuple(spec.ChannelSpec(name=n, unit="uV") for n in NAMES), rate=RATE
)
PLAIN = spec.StreamSpec()
WINDOW = spec.WindowSpec(length=160, hop=64)
law = settings(max_examples=25, deadline=None, derandomize=True, database=None)
Fitted = tuple[spec.Input, spec.WindowSpec, tuple[spec.Expect, ...], spec.QualitySpec]


def signal(seed: int, n: int) -> Samples:
    """Draw something alive, with missing samples here and there."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal((len(NAMES), n)), axis=1)
    x[1, rng.integers(0, n, n // 40)] = np.nan
    x[2, n // 3 : n // 2] = 7.0
    return x


def pushed(x: Samples, cuts: list[int], skip: set[int]) -> list[Chunk]:
    """Cut samples into chunks at the places given; chunks of some numbers never come."""
    edges = sorted({0, x.shape[1], *(cut % x.shape[1] for cut in cuts)})
    chunks = [Chunk(x[:, a:b], a, RATE) for a, b in itertools.pairwise(edges)]
    return [chunk for number, chunk in enumerate(chunks) if number not in skip or number == 0]


def plain_judge(memory: int = 400) -> Judge:
    return Judge(SOURCE, (), spec.QualitySpec(), memory=memory)


def exact(verdict: Verdict) -> object:
    """Give a verdict for comparison to the last bit."""
    return [
        (one.channel, one.fault, {k: float(v).hex() for k, v in one.measures.items()})
        for one in verdict.channels
    ]


# -- the laws -----------------------------------------------------------------------------


@law
@given(
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(1, 1199), max_size=40),
    skip=st.sets(st.integers(1, 40), max_size=3),
)
def test_law_1_a_verdict_is_the_same_bitwise_for_every_chunking(
    seed: int, cuts: list[int], skip: set[int]
) -> None:
    chunks = pushed(signal(seed, 1200), cuts, skip)
    present = np.full((len(NAMES), 1200), np.nan)
    for chunk in chunks:
        present[:, chunk.first : chunk.end] = chunk.samples
    whole, parts = plain_judge(), plain_judge()
    whole.push(Chunk(present, 0, RATE))
    start = 0
    for chunk in chunks:
        parts.push(chunk)
        while start + 150 <= chunk.end:
            assert exact(parts.verdict(start, start + 150)) == exact(
                whole.verdict(start, start + 150)
            )
            start += 37


@law
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 799), max_size=20))
def test_law_2_a_reset_judge_is_a_fresh_one(seed: int, cuts: list[int]) -> None:
    used, fresh = plain_judge(), plain_judge()
    for chunk in pushed(signal(seed + 1, 700), cuts, set()):
        used.push(replace(chunk, first=chunk.first + 10_000))
    used.verdict(10_500, 10_650)
    used.reset()
    for chunk in pushed(signal(seed, 800), cuts, set()):
        used.push(chunk)
        fresh.push(chunk)
    assert exact(used.verdict(600, 800)) == exact(fresh.verdict(600, 800))
    with pytest.raises(SignalError, match="cannot be judged"):
        used.verdict(10_500, 10_650)


@law
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 799), max_size=20))
def test_law_4_inputs_are_never_mutated_nor_held_on_to(seed: int, cuts: list[int]) -> None:
    judge = plain_judge(900)
    for chunk in pushed(signal(seed, 800), cuts, set()):
        before = chunk.samples.copy()
        judge.push(chunk)
        judge.verdict(chunk.first, chunk.end)
        assert np.array_equal(chunk.samples, before, equal_nan=True)
        said = exact(judge.verdict(0, chunk.end))
        chunk.samples[:] = -1.0  # the caller's own, to do with as it likes
        assert exact(judge.verdict(0, chunk.end)) == said


@law
@given(
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(1, 3999), max_size=60),
    skip=st.sets(st.integers(1, 60), max_size=3),
    stages=st.sampled_from(
        [
            (),
            (spec.Resample(up=1, down=3),),
            (spec.Resample(up=125, down=64), spec.Resample(up=1, down=2)),
            (spec.Filter(design="butterworth", cutoff=(0.5, 8.0)),),
        ]
    ),
    max_gap=st.sampled_from([0, 5, 90]),
)
def test_every_window_that_the_stream_gives_can_be_judged(
    seed: int, cuts: list[int], skip: set[int], stages: tuple[spec.Stage, ...], max_gap: int
) -> None:
    stream = spec.StreamSpec(stages=stages, max_gap=max_gap)
    windows = WindowStream(SOURCE, stream, WINDOW)
    judge = plain_judge(memory_for(SOURCE, stream, WINDOW))
    for chunk in pushed(signal(seed, 4000), cuts, skip):
        judge.push(chunk)
        for window in windows.push(chunk):
            verdict = judge.verdict(window.start, window.end)
            assert [one.channel for one in verdict.channels] == list(NAMES)


def test_memory_is_bounded_over_a_day_and_over_a_jump_of_a_year() -> None:
    judge = plain_judge(400)
    chunk = np.random.default_rng(0).standard_normal((len(NAMES), 16))
    sizes = set()
    for number in range(20_000):
        judge.push(Chunk(chunk, number * 16, RATE))
        sizes.add(judge._room.nbytes)
    assert max(sizes) <= len(NAMES) * 8 * 4 * (2 * 400 + 16)
    judge.push(Chunk(np.zeros((len(NAMES), 100_000)), 20_000 * 16, RATE))
    end = 20_000 * 16 + 100_000 + int(365 * 86_400 * RATE)
    judge.push(Chunk(chunk, end, RATE))
    assert judge._room.nbytes <= max(sizes)
    assert judge.verdict(end - 300, end + 16).reason == "a is missing, b is missing, c is missing"


def test_what_cannot_be_judged_is_refused_and_nothing_changes() -> None:
    judge = plain_judge(100)
    with pytest.raises(SignalError, match="cannot be judged"):
        judge.verdict(0, 10)
    judge.push(Chunk(signal(0, 300), 50, RATE))
    said = exact(judge.verdict(60, 300))
    for chunk, why in (
        (Chunk(np.zeros((2, 5)), 350, RATE), "3 channels"),
        (Chunk(np.zeros((3, 5)), 350, 63.0), "64 Hz"),
        (Chunk(np.zeros((3, 5)), 349, RATE), "pushed already"),
    ):
        with pytest.raises(SignalError, match=why):
            judge.push(chunk)
    for start, end in ((0, 60), (300, 351), (90, 90)):
        with pytest.raises(SignalError, match="cannot be judged"):
            judge.verdict(start, end)
    assert exact(judge.verdict(60, 300)) == said
    with pytest.raises(SignalError, match="one for each channel"):
        Judge(SOURCE, (_expect("a"),), spec.QualitySpec(), memory=10)
    partial = tuple(
        msgspec.structs.replace(one, measures={"span": one.measures["span"]})
        for one in map(_expect, NAMES)
    )
    with pytest.raises(SignalError, match="a lacks level, hiss"):
        Judge(SOURCE, partial, spec.QualitySpec(), memory=10)
    with pytest.raises(SignalError, match="memory is 0"):
        Judge(SOURCE, (), spec.QualitySpec(), memory=0)


def _expect(channel: str) -> spec.Expect:
    even = spec.Quantiles(least=1.0, low=1.0, middle=1.0, high=1.0, most=1.0)
    measures = dict.fromkeys(MEASURES, even)
    return spec.Expect(channel=channel, samples=1, windows=1, people=1, measures=measures)


def test_what_a_channel_looks_like_does_not_depend_on_its_neighbours() -> None:
    x = signal(3, 500)
    together = measure(x, RATE)
    many = measure(np.repeat(x, 50, axis=0), RATE)
    for row in range(len(NAMES)):
        assert measure(x[row : row + 1], RATE)[0] == together[row] == many[50 * row + 7]


# -- faults -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people() -> dict[str, list[Recording]]:
    """Simulated wearers' ECG (mV, 250 Hz) and PPG (a.u., 64 Hz)."""
    pairs = simulated.wearers(count=6, minutes=3.0)
    return {"ecg": [pair.target for pair in pairs], "ppg": [pair.source for pair in pairs]}


def fit(recordings: list[Recording], seconds: float = 10.0) -> Fitted:
    """Fit expectations as a build does."""
    pytest.importorskip("torch", exc_type=ImportError)  # the package of the builder has it
    from bioxedge.building.expect import expectations, quality_of

    one = recordings[0]
    channels = tuple(spec.ChannelSpec(name=c.name, unit=c.unit) for c in one.channels)
    source = spec.Input(modality=one.modality, channels=channels, rate=one.rate)
    window = spec.WindowSpec(length=round(seconds * one.rate), hop=round(seconds * one.rate))
    expect = expectations(recordings, source, PLAIN, window)
    return source, window, expect, quality_of(source)


@pytest.fixture(scope="module")
def ecg(people: dict[str, list[Recording]]) -> Fitted:
    return fit(people["ecg"][:4])


def run(fitted: Fitted, samples: Samples, **changed: object) -> tuple[Judge, list[Verdict]]:
    """Judge windows as a device does: chunks of a tenth of a second, each window as it ends."""
    source, window, expect, quality = fitted
    quality = msgspec.structs.replace(quality, **changed)
    judge = Judge(source, expect, quality, memory=memory_for(source, PLAIN, window))
    windows = WindowStream(source, spec.StreamSpec(max_gap=10**6), window)
    step, found = max(1, round(source.rate / 10)), []
    for first in range(0, samples.shape[1], step):
        chunk = Chunk(samples[:, first : first + step].copy(), first, source.rate)
        judge.push(chunk)
        found += [judge.verdict(one.start, one.end) for one in windows.push(chunk)]
    return judge, found


def time_of(x: Samples, rate: float) -> Samples:
    return np.arange(x.shape[1]) / rate


def broken(kind: str, x: Samples, rate: float) -> Samples:
    """Break a whole recording [1, n] of about 1 mV."""
    rng, t = np.random.default_rng(1), time_of(x, rate)
    hum = np.sin(2 * np.pi * 50.1 * t)
    return {
        "flat": np.full_like(x, 0.3),
        "flat nearly": 1e-3 * rng.standard_normal(x.shape),
        "railed": np.minimum(x, np.quantile(x, 0.6)),
        "no contact": x * 0.2 + 3 * hum + 2 * np.sin(2 * np.pi * 0.1 * t),
        "noise": x + rng.standard_normal(x.shape),
        "amplitude": x * 40,
        "missing": np.where(t % 10 < 6, np.nan, x),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["flat", "flat nearly", "railed", "no contact", "noise", "amplitude"]
)
def test_each_fault_is_named_with_its_channel(
    kind: str, ecg: Fitted, people: dict[str, list[Recording]]
) -> None:
    x = people["ecg"][5].samples
    _, found = run(ecg, broken(kind, x, 250.0))
    assert len(found) == 18
    fault = kind.split(" nearly")[0]
    faults = [verdict.channels[0].fault for verdict in found]
    assert faults.count(fault) >= 16
    assert None not in faults
    assert all("II" in str(verdict.reason) for verdict in found)
    named = "no contact" if fault == "no contact" else "size" if fault == "amplitude" else fault
    assert any(named in str(verdict.reason) for verdict in found)


def test_mostly_missing_is_no_signal(ecg: Fitted, people: dict[str, list[Recording]]) -> None:
    source, _, expect, quality = ecg
    x = broken("missing", people["ecg"][5].samples, 250.0)
    judge = Judge(source, expect, quality, memory=2500)
    judge.push(Chunk(x, 0, 250.0))
    assert judge.verdict(0, 2500).reason == "II is missing"
    judge.push(Chunk(np.full((1, 2500), np.nan), x.shape[1], 250.0))
    nothing = judge.verdict(x.shape[1], x.shape[1] + 2500)
    assert nothing.reason == "II is missing"
    assert judge.misfit(nothing) is None
    patient = msgspec.structs.replace(quality, min_real=0.3, off=("missing",))
    judge = Judge(source, expect, patient, memory=2500)
    judge.push(Chunk(np.full((1, 2500), np.nan), 0, 250.0))
    assert judge.misfit(judge.verdict(0, 2500)) is None
    patient = msgspec.structs.replace(quality, min_real=0.3)
    judge = Judge(source, expect, patient, memory=2500)
    judge.push(Chunk(x, 0, 250.0))
    assert judge.verdict(0, 2500).reason is None


@pytest.mark.parametrize("kind", ["ecg", "ppg"])
def test_other_people_are_good(kind: str, people: dict[str, list[Recording]]) -> None:
    fitted = fit(people[kind][:4])
    for recording in people[kind][4:]:
        judge, found = run(fitted, recording.samples)
        assert judge.misfit(found[0]) is None
        assert sum(verdict.reason is None for verdict in found) >= len(found) - 1


def test_one_bad_electrode_of_four_is_named_and_no_other(
    people: dict[str, list[Recording]],
) -> None:
    def four(one: Recording) -> Recording:
        channels = tuple(replace(one.channels[0], name=f"e{i}") for i in range(4))
        rng = np.random.default_rng(7)
        noise = 0.02 * rng.standard_normal((4, one.samples.shape[1]))
        return replace(one, samples=np.repeat(one.samples, 4, axis=0) + noise, channels=channels)

    fitted = fit([four(one) for one in people["ecg"][:4]])
    x = four(people["ecg"][5]).samples.copy()
    x[2] = -1.25
    _, found = run(fitted, x)
    assert {verdict.reason for verdict in found} == {"e2 is flat"}


def test_a_check_can_be_switched_off_and_a_bound_overridden(
    ecg: Fitted, people: dict[str, list[Recording]]
) -> None:
    large = people["ecg"][5].samples * 40
    assert all(v.reason for v in run(ecg, large)[1])
    assert not any(v.reason for v in run(ecg, large, off=("amplitude",))[1])
    assert not any(v.reason for v in run(ecg, large, amplitude_margin=100.0)[1])
    assert not any(v.reason for v in run(ecg, large, amplitude=False)[1])


def test_skin_conductance_near_zero_is_no_contact_and_its_slowness_no_fault() -> None:
    rng = np.random.default_rng(5)

    def wrist(name: str) -> Recording:
        slow = 2 + np.cumsum(rng.standard_normal((1, 4800)) * 0.01, axis=1)
        steps = np.round(np.abs(slow) / 0.00128) * 0.00128
        return Recording(steps, 4.0, (Channel("EDA", "uS"),), "eda", name)

    people = [wrist(name) for name in "abcdefgh"]
    fitted = fit(people[:7], seconds=60)
    assert not any(verdict.reason for verdict in run(fitted, people[7].samples)[1])
    off = np.round(rng.standard_normal((1, 4800))) * 0.00128
    judge, found = run(fitted, off)
    assert {verdict.channels[0].fault for verdict in found} <= {"no contact", "flat"}
    lifted = people[7].samples - people[7].samples.mean() + 0.0
    assert "EDA has no contact" in {verdict.reason for verdict in run(fitted, lifted)[1]}
    assert [judge.misfit(verdict) for verdict in found] == [None] * len(found)


# -- units and modalities -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "wanted"),
    [
        (1e-3, "volts where mV are expected? say --scale II=1e3"),
        (1e3, "microvolts where mV are expected? say --scale II=1e-3"),
        (1e6, "nanovolts where mV are expected? say --scale II=1e-6"),
        (1e-6, "kilovolts where mV are expected? say --scale II=1e6"),
    ],
)
def test_another_unit_is_refused_with_the_gain_that_puts_it_right(
    gain: float, wanted: str, ecg: Fitted, people: dict[str, list[Recording]]
) -> None:
    for recording in people["ecg"][4:]:
        judge, found = run(ecg, recording.samples * gain)
        line = str(judge.misfit(found[0]))
        assert wanted in line
        assert "\n" not in line
        assert found[0].reason is not None  # no label even where nobody asks
        suggested = float(line.split("=")[1])
        assert run(ecg, recording.samples * gain * suggested)[1][0].reason is None


def test_volts_for_microvolts_are_told_for_every_channel() -> None:
    rng = np.random.default_rng(0)
    recordings = [
        Recording(
            20 * np.cumsum(rng.standard_normal((2, 6400)), axis=1) % 90,
            RATE, (Channel("Fp1", "uV"), Channel("Fp2", "uV")), "eeg", name,
        )
        for name in "xyz"
    ]  # fmt: skip
    fitted = fit(recordings)
    judge, found = run(fitted, recordings[0].samples * 1e-6)
    line = str(judge.misfit(found[0]))
    assert line.startswith("Fp1 spans 1e-06 of what was trained on: volts where uV are expected?")
    assert line.endswith("--scale Fp1=1e6 --scale Fp2=1e6")


@pytest.mark.parametrize("kind", ["flat", "flat nearly", "railed", "no contact", "noise"])
def test_a_fault_is_never_taken_for_a_unit_or_a_modality(
    kind: str, ecg: Fitted, people: dict[str, list[Recording]]
) -> None:
    judge, found = run(ecg, broken(kind, people["ecg"][5].samples, 250.0))
    assert [judge.misfit(verdict) for verdict in found] == [None] * len(found)


def test_an_arbitrary_unit_is_never_refused(people: dict[str, list[Recording]]) -> None:
    fitted = fit(people["ppg"][:4])
    x = people["ppg"][5].samples
    for gain in (1e-6, 1e-3, 1e3, 1e6):
        judge, found = run(fitted, x * gain)
        assert judge.misfit(found[0]) is None
        assert [v.reason for v in found] == [v.reason for v in run(fitted, x)[1]]


def test_another_modality_is_refused_before_any_label(people: dict[str, list[Recording]]) -> None:
    slow = [
        replace(one, samples=np.ascontiguousarray(one.samples[:, ::4]), rate=62.5)
        for one in people["ecg"]
    ]
    ppg = [replace(one, rate=62.5) for one in people["ppg"]]
    fitted = fit(ppg[:4])
    judge, found = run(fitted, slow[5].samples)
    said = [judge.misfit(verdict) for verdict in found]
    assert said[: STRANGE - 1] == [None] * (STRANGE - 1)
    assert all(verdict.reason for verdict in found[:STRANGE])
    assert "does not look like the PPG that this bundle was trained on" in str(said[STRANGE - 1])
    judge.reset()
    assert judge.misfit(found[0]) is None


# -- what training saw ----------------------------------------------------------------------


def test_expectations_go_through_a_manifest_and_close_it_to_slips(ecg: Fitted) -> None:
    _, window, expect, quality = ecg
    raw = msgspec.json.encode(expect)
    assert msgspec.json.decode(raw, type=tuple[spec.Expect, ...]) == expect
    assert expect[0].samples == window.length
    assert expect[0].people == 4
    assert set(expect[0].measures) == set(MEASURES)
    for spread in expect[0].measures.values():
        values = [spread.least, spread.low, spread.middle, spread.high, spread.most]
        assert values == sorted(values)
        assert all(math.isfinite(value) for value in values)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw.replace(b'"hiss"', b'"hizz"'), type=tuple[spec.Expect, ...])
    raw = msgspec.json.encode(quality)
    assert msgspec.json.decode(raw, type=spec.QualitySpec) == quality
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"noise": 1.5}', type=spec.QualitySpec)


def test_every_person_weighs_the_same_and_bad_windows_teach_nothing(
    people: dict[str, list[Recording]],
) -> None:
    once = fit(people["ecg"][:3])[2][0]
    again = fit([*people["ecg"][:3], people["ecg"][0], people["ecg"][0]])[2][0]
    assert again.windows > once.windows
    assert again.measures["span"].middle == once.measures["span"].middle
    dead = replace(people["ecg"][0], person="dead", samples=people["ecg"][0].samples * 0)
    assert fit([*people["ecg"][:3], dead])[2][0] == once
    with pytest.raises(DatasetError, match="no training window of II is a signal"):
        fit([dead])


# -- real recordings ------------------------------------------------------------------------


@pytest.mark.shared
def test_real_patients_are_judged_by_other_patients(shared: Path, tmp_path: Path) -> None:
    for source in sorted((shared / "data" / "bidmc").glob("bidmc_*"))[:32]:
        (tmp_path / source.name).write_bytes(source.read_bytes())
    pairs = bidmc.load(tmp_path)
    tested = {pairs[-1].person, pairs[-2].person}
    for side, gains in (("source", ()), ("target", (1e-6, 1e-3, 1e3, 1e6))):
        others = [getattr(pair, side) for pair in pairs if pair.person not in tested]
        fitted = fit(others)
        for pair in pairs:
            if pair.person in tested:
                x = getattr(pair, side).samples
                judge, found = run(fitted, x)
                assert sum(v.reason is not None for v in found) <= 0.1 * len(found)
                first = next(i for i, verdict in enumerate(found) if verdict.reason is None)
                assert [judge.misfit(verdict) for verdict in found[: first + 1]] == [None] * (
                    first + 1
                )
                for gain in gains:
                    judge, found = run(fitted, x[:, :1250] * gain)
                    assert "--scale II" in str(judge.misfit(found[0]))
