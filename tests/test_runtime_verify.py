"""``verify``: what passes, and what each kind of damage says."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fixtures_bundle import PULSE, make_bundle, onnx_model, weights_of, with_bf16

from bioxedge import BundleError, bundle, cli, goldenfile, spec
from bioxedge.goldenfile import GoldenData
from bioxedge.runtime import verify, verify_all
from bioxedge.runtime.session import available


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
    assert (report.files, report.provider) == (3, "cpu")
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


# -- each variant is held to its own bounds ------------------------------------------------


def with_int8(tmp_path, *, shift, **bounds):
    """A bundle with a second variant whose bias is off by ``shift``."""
    good = make_bundle(tmp_path / "good")
    weights, bias = weights_of(2, 256, seed=0)
    files = {
        "model.onnx": good.model(),
        "model.int8.onnx": onnx_model(weights, bias + np.float32([shift, -shift]), 1, 256),
        "golden.npz": goldenfile.pack(good.golden),
    }
    about, part = good.manifest, good.manifest.model["fp32"]
    other = msgspec.structs.replace(part, file="model.int8.onnx", precision="int8", **bounds)
    about = msgspec.structs.replace(about, model={"fp32": part, "int8": other})
    return bundle.write(tmp_path / "b", bundle.with_files(about, files), files)


def test_a_variant_is_held_to_its_own_tolerance(tmp_path):
    made = with_int8(tmp_path, shift=0.01, tolerance=0.05, agreement=0.5)
    assert verify(made).tolerance == 1e-4
    report = verify(made, variant="int8")
    assert 1e-4 < report.difference <= report.tolerance == 0.05
    assert report.least_agreement == 0.5
    strict = with_int8(tmp_path, shift=0.01, tolerance=1e-3, agreement=0.5)
    with pytest.raises(BundleError, match=r"probabilities differ by .* at most 1e-03"):
        verify(strict, variant="int8")


def test_a_variant_is_held_to_its_own_agreement_of_labels(tmp_path):
    golden = make_bundle(tmp_path / "x").golden.probabilities
    # A shift that turns the label of one golden window round, the nearest to a tie.
    odds = np.log(golden[:, 0] / golden[:, 1]).astype(float)
    nearest = odds[np.abs(odds).argmin()]
    shift = -0.5 * nearest - 0.01 * np.sign(nearest)
    made = with_int8(tmp_path, shift=shift, tolerance=0.5, agreement=0.8)
    assert verify(made, variant="int8").agreement == pytest.approx(5 / 6)
    assert verify(made).agreement == 1.0
    strict = with_int8(tmp_path, shift=shift, tolerance=0.5, agreement=0.9)
    with pytest.raises(BundleError, match=r"int8 gives 83\.3% of the golden windows their label"):
        verify(strict, variant="int8")


def test_a_tie_is_held_to_neither_label(tmp_path):
    good = make_bundle(tmp_path / "good")
    answers = good.golden.probabilities.copy()
    weights, bias = np.zeros((256, 2), np.float32), np.float32([1e-5, -1e-5])
    answers[:] = [0.499998, 0.500002]
    golden = GoldenData(good.golden.raw, good.golden.windows, answers)
    tied = rewritten(tmp_path, model=onnx_model(weights, bias, 1, 256), golden=golden)
    assert verify(tied).agreement == 1.0


def test_a_bundle_of_format_1_passes_and_says_what_it_lacks():
    old = bundle.Bundle.open(Path(__file__).parent / "format1")
    report = verify(old)
    assert report.dsp_difference <= 1e-6 and report.difference <= 1e-6
    assert set(report.absent) == {"sensor", "amplitude", "signal"}
    assert sum(line.startswith("  absent  ") for line in report.lines()) == 3
    assert report.to_dict()["absent"] == report.absent


# -- a model that does not hear, and a variant that does not load ---------------------------


def with_other(tmp_path, raw, *, parameters=514, **bounds):
    """A bundle with ``raw`` as the int8 file."""
    good = make_bundle(tmp_path / "good")
    golden = goldenfile.pack(good.golden)
    files = {"model.onnx": good.model(), "model.int8.onnx": raw, "golden.npz": golden}
    about, part = good.manifest, good.manifest.model["fp32"]
    other = msgspec.structs.replace(part, file="model.int8.onnx", precision="int8", **bounds)
    about = msgspec.structs.replace(about, model={"int8": other, "fp32": part})
    return bundle.write(tmp_path / "b", bundle.with_files(about, files), files)


@pytest.mark.parametrize("left", [0.0, 0.02])
def test_a_model_that_gives_everything_the_same_answer_is_refused(tmp_path, left):
    weights, bias = weights_of(2, 256, seed=0)
    deaf = onnx_model(weights * left, bias, 1, 256)
    made = with_other(tmp_path, deaf, tolerance=0.5, agreement=0.0)
    for prove in (verify_all, lambda made: verify(made, variant="int8")):
        with pytest.raises(BundleError, match=r"int8 gives all 6 golden windows nearly the same"):
            prove(made)
    assert verify(made).variant == "fp32"


def test_golden_answers_that_hardly_differ_refuse_nobody_and_are_named(tmp_path):
    good = make_bundle(tmp_path / "x")
    weights, bias = weights_of(2, 256, seed=0)
    odds = np.exp(bias - bias.max())
    golden = GoldenData(
        good.golden.raw, good.golden.windows, np.tile(odds / odds.sum(), (6, 1)).astype(np.float32)
    )
    report = verify(rewritten(tmp_path, model=onnx_model(weights * 0, bias, 1, 256), golden=golden))
    assert report.spread == 0
    assert any(line.startswith("  unsure  golden answers differ") for line in report.lines())
    assert not any("unsure" in line for line in verify(good).lines())


def test_all_variants_are_proven_and_the_default_comes_first(tmp_path):
    weights, bias = weights_of(2, 256, seed=0)
    made = with_other(tmp_path, onnx_model(weights, bias + np.float32(0.01), 1, 256))
    proof = verify_all(made)
    assert list(proof.reports) == ["fp32", "int8"] and not proof.unloadable
    said = proof.lines()
    assert [line.split()[1] for line in said if line.startswith("  model")] == ["fp32", "int8"]
    assert said[-1] == "PASS"
    assert proof.to_dict()["variant"] == "fp32"
    assert proof.to_dict()["variants"]["int8"]["pass"] is True


def said(capsys, monkeypatch, *arguments):
    """Exit code and what the command printed on both streams."""
    monkeypatch.setattr("sys.argv", ["bioxedge", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, *capsys.readouterr()


def test_a_variant_that_cannot_be_loaded_is_named_and_the_others_hold(
    tmp_path, capsys, monkeypatch
):
    raw = onnx_model(*weights_of(2, 256, seed=0), 1, 256)
    made = with_other(tmp_path, raw.replace(b"Softmax", b"Softmay"))
    code, out, err = said(capsys, monkeypatch, "verify", made.path)
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("  cannot  int8")]
    assert "Softmay" in line and "update onnxruntime, or use another variant: fp32" in line
    about = json.loads(said(capsys, monkeypatch, "verify", made.path, "--json")[1])
    assert list(about["variants"]) == ["fp32"] and list(about["unloadable"]) == ["int8"]
    code, out, err = said(capsys, monkeypatch, "verify", made.path, "--variant", "int8")
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("error: ")
    assert said(capsys, monkeypatch, "verify", made.path, "--variant", "fp32")[0] == 0


def test_a_variant_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    made = make_bundle(tmp_path / "b")
    code, out, err = said(capsys, monkeypatch, "verify", made.path, "--variant", "int4")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no variant 'int4': it has fp32" in err


def test_fp32_that_cannot_be_loaded_is_an_error(tmp_path):
    raw = onnx_model(*weights_of(2, 256, seed=0), 1, 256)
    made = rewritten(tmp_path, model=raw.replace(b"Softmax", b"Softmay"))
    with pytest.raises(BundleError, match="refuses model"):
        verify_all(made)


def test_a_variant_that_shares_its_file_is_counted_once_and_named_where_it_cannot_run(tmp_path):
    made = with_bf16(make_bundle(tmp_path / "a"), tmp_path / "b")
    proof = verify_all(made)
    assert next(iter(proof.reports)) == "fp32" and proof.lines()[-1] == "PASS"
    report = proof.reports["fp32"]
    plain = verify(make_bundle(tmp_path / "c"))
    assert (report.files, report.bytes) == (plain.files, plain.bytes)
    if "bf16" in proof.reports:  # OpenVINO and a processor with bf16
        assert proof.reports["bf16"].provider == "openvino-bf16"
        return
    (line,) = [line for line in proof.lines() if line.startswith("  cannot  ")]
    assert "bf16: " in line and "onnxruntime" not in line and line.endswith("fp32 runs here")
    if "openvino-bf16" not in available():
        assert "pip install 'bioxedge[openvino]'" in line
