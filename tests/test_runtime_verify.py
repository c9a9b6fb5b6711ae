"""``verify``: what passes, and what each kind of damage says."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from fixtures_bundle import PULSE, make_bundle, onnx_model, weights_of

from bioxedge import BundleError, bundle, goldenfile, spec
from bioxedge.goldenfile import GoldenData
from bioxedge.runtime import verify


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": ("a", "b"), "length": 64, "hop": 32},
        {"rate": 125.0, "stages": (spec.Resample(up=64, down=125), *PULSE)},
        {"stages": (), "then": (spec.Rank(),), "labels": ("a", "b", "c")},
    ],
)
def test_a_good_bundle_passes_to_the_last_bit(tmp_path, options):
    report = verify(make_bundle(tmp_path / "b", **options))
    assert report.dsp_bitwise and report.dsp_difference == 0
    assert report.difference <= 1e-6 and report.repeat_difference <= 1e-6
    assert (report.files, report.provider) == (3, "CPUExecutionProvider")
    assert report.lines()[-1] == "PASS" and report.to_dict()["pass"] is True


def rewritten(tmp_path, *, model=None, golden=None):
    """A bundle whose files match their hashes but not each other."""
    good = make_bundle(tmp_path / "good")
    files = {
        "model.onnx": model or good.model(),
        "golden.npz": goldenfile.pack(golden or good.golden),
    }
    about = good.manifest
    if golden is not None:
        part = msgspec.structs.replace(about.golden, windows=len(golden.windows))
        about = msgspec.structs.replace(about, golden=part)
    return bundle.write(tmp_path / "bad", bundle.with_files(about, files), files)


def test_another_model_fails(tmp_path):
    other = onnx_model(*weights_of(2, 256, seed=9), 1, 256)
    with pytest.raises(BundleError, match=r"probabilities differ by .* at most 1e-04"):
        verify(rewritten(tmp_path, model=other))


def test_other_windows_fail(tmp_path):
    golden = make_bundle(tmp_path / "b").golden
    windows = golden.windows.copy()
    windows[3, 0, 100] += 1e-3
    moved = GoldenData(golden.raw, windows, golden.probabilities)
    with pytest.raises(BundleError, match=r"windows cut .* differ by 1\.00e-03, at most 1e-06"):
        verify(rewritten(tmp_path, golden=moved))


def test_another_number_of_windows_fails(tmp_path):
    golden = make_bundle(tmp_path / "b").golden
    fewer = GoldenData(golden.raw, golden.windows[:-1], golden.probabilities[:-1])
    with pytest.raises(BundleError, match="give 6 windows here, 5 where"):
        verify(rewritten(tmp_path, golden=fewer))


def test_a_model_that_answers_nan_fails(tmp_path):
    weights, bias = weights_of(2, 256, seed=0)
    with pytest.raises(BundleError, match="differ by nan"):
        verify(rewritten(tmp_path, model=onnx_model(weights, bias * np.nan, 1, 256)))
