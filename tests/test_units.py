"""Volts for microvolts, a loose electrode, a sensor of another kind: as a user meets them."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from fixtures_bundle import make_bundle

from bioxedge import cli, recording, spec
from bioxedge.quality.measures import measure
from bioxedge.signals import Channel, Recording

NAMES = ("Fp1", "Fp2", "C3", "C4")
RATE, WINDOW = 250.0, 500


def eeg(seed, seconds=30):
    """Draw something with the spectrum of an EEG, about 20 µV [4, n]."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    shape = 1 / np.maximum(frequency, 1.0) + 0.3 * np.exp(-((frequency - 10) ** 2) / 2)
    white = np.fft.rfft(rng.standard_normal((len(NAMES), n)), axis=1)
    signal = np.fft.irfft(white * shape, n, axis=1)
    return 20 * signal / signal.std(axis=1, keepdims=True)


def expected():
    """What three people looked like in training, as a build would write it."""
    windows = [eeg(seed)[:, at : at + WINDOW] for seed in (1, 2, 3) for at in range(0, 7000, 500)]
    found = []
    for row, name in enumerate(NAMES):
        figures = [measure(window, RATE)[row] for window in windows]
        ends = {
            key: np.quantile([one[key] for one in figures], [0, 0.01, 0.5, 0.99, 1]).tolist()
            for key in figures[0]
        }
        measures = {key: spec.Quantiles(*values) for key, values in ends.items()}
        found.append(
            spec.Expect(
                channel=name, samples=WINDOW, windows=len(windows), people=3, measures=measures
            )
        )
    return tuple(found)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    make_bundle(
        folder / "b", modality="eeg", channels=NAMES, unit="uV", rate=RATE, stages=(),
        length=WINDOW, hop=250, expect=expected(), quality=spec.QualitySpec(),
    )  # fmt: skip
    return folder


def run(here, monkeypatch, capsys, samples, *more):
    """Run the command on a recording; give its exit code, records and errors."""
    channels = tuple(Channel(name, "uV") for name in NAMES)
    recording.save(Recording(samples, RATE, channels, "eeg", "anna"), here / "rec")
    monkeypatch.chdir(here)
    words = ["run", "b", "--source", "replay:rec", "--speed", "max", "--json", *more]
    monkeypatch.setattr(sys, "argv", ["bioxedge", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code, [json.loads(line) for line in out.splitlines()], err


def predictions(records):
    return [one for one in records if one["kind"] == "prediction"]


def test_a_good_wearer_is_labelled(here, monkeypatch, capsys):
    code, records, _ = run(here, monkeypatch, capsys, eeg(7))
    assert code == 0 and all(one["label"] for one in predictions(records))
    assert len(predictions(records)) == 29


@pytest.mark.parametrize(
    ("gain", "what", "cure"),
    [(1e-6, "volts", "1e6"), (1e-3, "millivolts", "1e3"), (1e3, "nanovolts", "1e-3")],
)
def test_a_wrong_unit_is_refused_before_the_first_label(
    here, monkeypatch, capsys, gain, what, cure
):
    code, records, err = run(here, monkeypatch, capsys, eeg(7) * gain)
    assert code == 2 and not predictions(records)
    line = err.splitlines()[-1]
    assert line.startswith("error: Fp1 spans ") and f"{what} where uV are expected" in line
    scales = [f"{name}={cure}" for name in NAMES]
    assert line.endswith(" ".join(f"--scale {scale}" for scale in scales))
    # And the cure that it names is one.
    options = [word for scale in scales for word in ("--scale", scale)]
    code, records, _ = run(here, monkeypatch, capsys, eeg(7) * gain, *options)
    assert code == 0 and all(one["label"] for one in predictions(records))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x, rng: np.full_like(x, 3.0), "C3 is flat"),
        (lambda x, rng: np.clip(x, -4.0, 4.0), "C3 is railed"),
        (lambda x, rng: 100 * np.sin(2 * np.pi * 50 * np.arange(len(x)) / RATE) + x, "no contact"),
        (lambda x, rng: 20 * rng.standard_normal(len(x)), "C3 is noise"),
        (lambda x, rng: 2000 * x, "C3 is of another size than in training"),
    ],
)
def test_one_spoilt_electrode_of_four_takes_the_label_and_is_named(
    here, monkeypatch, capsys, spoil, says
):
    samples = eeg(7)
    samples[2, 2500:5000] = spoil(samples[2, 2500:5000], np.random.default_rng(0))
    code, records, _ = run(here, monkeypatch, capsys, samples)
    assert code == 0
    for one in predictions(records):
        if one["t_start"] >= 10 and one["t_end"] <= 20:
            assert one["label"] is None and says in one["reason"] and "C4" not in one["reason"]
            assert one["quality"]["channels"]["C3"]["fault"]
            assert one["quality"]["channels"]["Fp1"]["fault"] is None
        elif one["t_end"] <= 10 or one["t_start"] >= 20:
            assert one["label"]
    kinds = [one["event"] for one in records if one["kind"] == "event"]
    assert kinds.count("abstention_begins") == kinds.count("abstention_ends") == 1
    (summary,) = [one for one in records if one["kind"] == "summary"]
    assert summary["summary"]["abstained"]


def test_what_is_no_such_signal_at_all_is_refused(here, monkeypatch, capsys):
    # Slow pulses where an EEG was trained on, at the same rate and of the same size.
    beat = 20 * np.sin(2 * np.pi * 1.2 * np.arange(7500) / RATE) ** 9
    code, records, err = run(here, monkeypatch, capsys, np.tile(beat, (4, 1)))
    assert code == 2 and not any(one["label"] for one in predictions(records))
    assert "does not look like the EEG that this bundle was trained on" in err.splitlines()[-1]
