"""Simulated wearers: one heart, two sensors, two classes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, find_peaks, sosfiltfilt

from bioxedge.datasets import Pair
from bioxedge.datasets.simulated import LABELS, TRANSITION, wearers
from bioxedge.errors import DatasetError
from bioxedge.recording import load, save
from bioxedge.signals import Recording


@pytest.fixture(scope="module")
def people() -> list[Pair]:
    return wearers(count=6, seed=7)


@pytest.fixture(scope="module")
def crowd() -> list[Pair]:
    return wearers(count=20, seed=1)


def recordings(pair: Pair) -> tuple[Recording, Recording, Recording]:
    assert pair.reference is not None
    return pair.source, pair.target, pair.reference


def classes(pair: Pair) -> np.ndarray:
    return recordings(pair)[2].samples[0]


def heart_rate(pair: Pair) -> np.ndarray:
    return recordings(pair)[2].samples[1]


def samples_equal(one: Pair, other: Pair) -> bool:
    return all(
        a.samples.tobytes() == b.samples.tobytes()
        for a, b in zip(recordings(one), recordings(other), strict=True)
    )


def fault_spans(pair: Pair) -> list[list[float]]:
    facts = pair.source.facts
    return facts["motion"] + facts["lost_contact"] + facts["missing"]


def clean_windows(pair: Pair, *, seconds: float = 15.0) -> list[float]:
    """Starts of windows that no fault comes near."""
    starts = np.arange(2.0, pair.source.seconds - seconds - 2.0, seconds)
    return [
        float(start)
        for start in starts
        if all(end < start - 1 or begin > start + seconds + 1 for begin, end in fault_spans(pair))
    ]


def upstrokes(pair: Pair, start: float, seconds: float) -> np.ndarray:
    """Times of the PPG's steepest rises, one for each pulse."""
    rate = pair.source.rate
    piece = pair.source.samples[0, round(start * rate) : round((start + seconds) * rate)]
    slope = np.diff(sosfiltfilt(butter(2, [0.5, 8], "bandpass", fs=rate, output="sos"), piece))
    found, _ = find_peaks(slope, height=0.3 * np.percentile(slope, 98), distance=int(0.35 * rate))
    return start + (found + 0.5) / rate


def r_peaks(ecg: Recording) -> np.ndarray:
    band = butter(2, [5, 25], "bandpass", fs=ecg.rate, output="sos")
    power = sosfiltfilt(band, ecg.samples[0])
    found, _ = find_peaks(
        power, height=0.5 * np.percentile(power, 99.5), distance=int(0.35 * ecg.rate)
    )
    return found / ecg.rate


def test_recordings_say_what_they_are(people: list[Pair]) -> None:
    for number, pair in enumerate(people, start=1):
        source, target, reference = recordings(pair)
        assert pair.name == pair.person == reference.person == f"wearer-{number:02d}"
        assert (source.modality, target.modality) == ("ppg", "ecg")
        assert [(c.name, c.unit) for c in source.channels] == [("ppg_2", "a.u.")]
        assert [(c.name, c.unit) for c in target.channels] == [("II", "mV")]
        assert [c.name for c in reference.channels] == ["class", "HR"]
        assert (source.rate, target.rate, reference.rate) == (64.0, 250.0, 1.0)
        assert source.seconds == target.seconds == reference.seconds == 480.0
        assert source.t0 == target.t0 == reference.t0


def test_same_seed_gives_the_same_bytes(people: list[Pair]) -> None:
    again = wearers(count=6, seed=7)
    assert all(samples_equal(a, b) for a, b in zip(people, again, strict=True))
    assert not samples_equal(people[0], wearers(count=1, seed=8, minutes=8)[0])
    assert not any(samples_equal(a, b) for a, b in pairwise(people))


@settings(max_examples=5, deadline=None, database=None, derandomize=True)
@given(seed=st.integers(0, 2**40), count=st.integers(1, 4))
def test_a_wearer_does_not_depend_on_how_many_there_are(seed: int, count: int) -> None:
    few = wearers(count=count, seed=seed, minutes=2)
    more = wearers(count=count + 1, seed=seed, minutes=2)
    assert all(samples_equal(a, b) for a, b in zip(few, more, strict=False))


def test_a_sensors_rate_does_not_move_the_heart(people: list[Pair]) -> None:
    other = wearers(count=1, seed=7, ecg_rate=500.0, ppg_rate=125.0)[0]
    pair = people[0]
    assert np.array_equal(heart_rate(pair), heart_rate(other))
    np.testing.assert_allclose(r_peaks(pair.target), r_peaks(other.target), atol=0.006)
    for key in ("motion", "lost_contact"):
        assert pair.source.facts[key] == other.source.facts[key]
    # Changing one sensor leaves the other as it was.
    ecg_only = wearers(count=1, seed=7, ecg_rate=500.0)[0]
    assert ecg_only.source.samples.tobytes() == pair.source.samples.tobytes()


def test_both_sensors_see_the_same_beats(people: list[Pair]) -> None:
    for pair in people:
        beats = r_peaks(pair.target)
        lags, differences = [], []
        for start in clean_windows(pair):
            pulses = upstrokes(pair, start, 15.0)
            inside = beats[(beats > start) & (beats < start + 15.0)]
            differences.append(60 / np.diff(inside).mean() - 60 / np.diff(pulses).mean())
            lags += [float(pulse - beats[beats < pulse][-1]) for pulse in pulses]
        assert len(differences) >= 8
        assert np.max(np.abs(differences)) < 2.0
        assert 0.15 < np.median(lags) < 0.40
        assert np.std(lags) < 0.03


def test_ecg_has_the_heart_rate_that_the_reference_states(people: list[Pair]) -> None:
    for pair in people:
        beats, truth = r_peaks(pair.target), heart_rate(pair)
        for start in range(0, 460, 20):
            inside = beats[(beats >= start) & (beats < start + 20)]
            assert abs(60 / np.diff(inside).mean() - truth[start : start + 20].mean()) < 2.0


def pulse_heights(pair: Pair, beats: np.ndarray) -> np.ndarray:
    """How far the PPG swings within 0.1–0.55 s after each R peak; NaN where samples are lost."""
    rate = pair.source.rate
    index = (beats[:, None] * rate).astype(int) + np.arange(int(0.1 * rate), int(0.55 * rate))
    return np.ptp(pair.source.samples[0][np.minimum(index, pair.source.samples.size - 1)], axis=1)


def test_stress_shows_in_rate_variability_and_amplitude(crowd: list[Pair]) -> None:
    changes = []
    for pair in crowd[:10]:
        beats = r_peaks(pair.target)
        successive = np.abs(np.diff(np.diff(beats)))
        heights = pulse_heights(pair, beats)[2:]
        label = classes(pair)[np.minimum(beats[2:].astype(int), classes(pair).size - 1)]
        rest, stress = label == 0, label == 1
        changes.append(
            [
                heart_rate(pair)[classes(pair) == 1].mean()
                - heart_rate(pair)[classes(pair) == 0].mean(),
                np.median(successive[stress]) - np.median(successive[rest]),
                np.nanmedian(heights[stress]) / np.nanmedian(heights[rest]) - 1,
            ]
        )
    rate, variability, amplitude = np.transpose(changes)
    assert np.sum(rate > 3) >= 8
    assert np.sum(variability < 0) >= 8
    assert np.sum(amplitude < -0.05) >= 8


def test_heart_rate_alone_does_not_tell_the_class_across_people(crowd: list[Pair]) -> None:
    rest = [heart_rate(pair)[classes(pair) == 0].mean() for pair in crowd]
    stress = [heart_rate(pair)[classes(pair) == 1].mean() for pair in crowd]
    assert np.min(stress) < np.max(rest)
    assert np.min(rest) > 48
    assert np.max(stress) < 125


def test_phases_alternate_and_transitions_have_no_class(people: list[Pair]) -> None:
    firsts = set()
    for pair in people:
        track = classes(pair)
        changes = np.flatnonzero(np.diff(np.isnan(track).astype(int)))
        pieces = [piece for piece in np.split(track, changes + 1) if not np.isnan(piece[0])]
        order = [piece[0] for piece in pieces]
        assert all(np.all(piece == piece[0]) for piece in pieces)
        assert len(order) == 4
        assert all(a + b == 1 for a, b in pairwise(order))
        assert np.isnan(track).sum() == 3 * TRANSITION
        firsts.add(LABELS[int(order[0])])
    assert firsts == set(LABELS)


@pytest.mark.parametrize("minutes", [2, 3, 5.5, 10])
def test_any_length_has_both_classes(minutes: float) -> None:
    (pair,) = wearers(count=1, minutes=minutes)
    assert pair.source.seconds == minutes * 60
    assert set(np.unique(classes(pair)[~np.isnan(classes(pair))])) == {0.0, 1.0}


def test_only_the_ppg_loses_samples_and_few(people: list[Pair]) -> None:
    for pair in people:
        missing = np.isnan(pair.source.samples[0])
        edges = np.flatnonzero(np.diff(missing.astype(int)))
        assert 0 < missing.mean() < 0.005
        assert np.min(edges[1::2] - edges[::2]) >= 6
        assert not np.isnan(pair.target.samples).any()
        assert not np.isnan(heart_rate(pair)).any()


def test_faults_cover_a_small_part_and_lost_contact_is_dark(people: list[Pair]) -> None:
    covered = [
        sum(end - start for start, end in fault_spans(pair)) / pair.source.seconds
        for pair in people
    ]
    assert 0.03 < np.mean(covered) < 0.12
    spans = [(p.source, a, b) for p in people for a, b in p.source.facts["lost_contact"]]
    assert spans
    for ppg, start, end in spans:
        inside = ppg.samples[0, int(start * ppg.rate) + 1 : int(end * ppg.rate)]
        assert np.nanmax(inside) < 0.2 * np.nanmedian(ppg.samples)


def test_motion_alone_does_not_give_the_class_away(crowd: list[Pair]) -> None:
    moving = {0.0: 0, 1.0: 0}
    for pair in crowd:
        track = classes(pair)
        for start, _ in pair.source.facts["motion"]:
            label = track[min(int(start), track.size - 1)]
            if not np.isnan(label):
                moving[float(label)] += 1
    assert moving[0.0] > 50
    assert 0.9 < moving[1.0] / moving[0.0] < 2.2


def test_a_wearer_survives_being_saved(people: list[Pair], tmp_path) -> None:
    for number, recording in enumerate(recordings(people[0])):
        back = load(save(recording, tmp_path / str(number)))
        assert back.samples.tobytes() == recording.samples.tobytes()
        assert back.facts == recording.facts
        assert back.facts["simulated"] is True


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 0}, "count is 0: ask for at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"minutes": 1.5}, "minutes is 1.5: ask for at least 2"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"minutes": float("inf")}, "minutes is inf"),
        ({"ecg_rate": 0.0}, "ecg_rate is 0.0 Hz"),
        ({"ppg_rate": -64.0}, "ppg_rate is -64.0 Hz"),
        ({"ppg_rate": float("nan")}, "ppg_rate is nan Hz"),
    ],
)
def test_what_cannot_be_simulated_is_refused(asked: dict[str, float], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        wearers(**asked)  # type: ignore[arg-type]
