"""The manifest's clauses, numbered as in the design notes."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import damage
import fixtures_bundle as wire
import msgspec
import numpy as np
import pytest
from damage import Place, Tree

from bioxedge import atomic, bundle, classic, goldenfile, manifest, manifestfile, onnxfile, spec
from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, ManifestError
from bioxedge.manifestfile import decode


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test changes."""
    return damage.make(tmp_path_factory.mktemp("clauses") / "b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle to damage."""
    return damage.make(tmp_path / "b").path


@pytest.fixture
def tree(pristine: Bundle) -> Tree:
    return damage.tree_of(pristine.path)


def parts() -> tuple[bytes, manifest.Manifest, goldenfile.GoldenData]:
    """Model, manifest without hashes and golden arrays of the bundle above."""
    return wire.parts(
        modality="ppg",
        channels=("green", "red"),
        rate=64.0,
        stages=damage.STAGES,
        max_gap=8,
        length=16,
        hop=8,
        then=(spec.ZScore(), spec.Rank()),
        labels=("rest", "stress"),
        seed=0,
    )


def template() -> Tree:
    """Give a manifest in which every optional place is filled; hashes are made up."""
    tree: Tree = json.loads(manifestfile.encode(parts()[1]))
    tree["made_by"]["metrics"] = {"bridge": {"auroc": 0.9}}
    tree["input"]["sensors"] = ["muse_2/ancillary", "muse_2_bled/ancillary"]
    tree["input"]["expect"] = [expected(name) for name in ("green", "red")]
    tree["quality"] = {**msgspec.to_builtins(spec.QualitySpec()), "off": ["noise"]}
    described = list(classic.names("ppg", ["green", "red"]))
    tree["features"] = {
        "encoder": 3,
        "classic": described,
        "fill": [0.5] * len(described),
        "baseline": {"settle": 4, "memory": 9, "clip": 4.0},
    }
    tree["made_by"]["bridge"]["in_features"] = 3 + len(described)
    return tree


def expected(channel: str) -> Tree:
    """What a channel looked like in training, made up."""
    quantiles = spec.Quantiles(least=1.0, low=1.5, middle=2.0, high=2.5, most=3.0)
    found: Tree = msgspec.to_builtins(
        spec.Expect(
            channel=channel,
            samples=16,
            windows=100,
            people=3,
            measures={"span": quantiles, "level": quantiles},
        )
    )
    return found


# Places whose keys are names that the user chooses.
OPEN = {
    ("model",),
    ("made_by", "versions"),
    ("made_by", "metrics"),
    ("made_by", "data", "split"),
    ("input", "expect", 0, "measures"),  # not free, but each may be left out
    ("input", "expect", 1, "measures"),
}
PLACES = list(damage.places(template()))
OBJECTS = [
    place
    for place, value in PLACES
    if isinstance(value, dict) and place not in OPEN and place[:-1] != ("made_by", "metrics")
]
LEAVES = [
    place
    for place, value in PLACES
    if not isinstance(value, dict | list) and place != ("digest",)  # it is made again
]


def written(place: Place) -> str:
    """Give a place as msgspec writes it; it does not name a mapping's keys."""
    text = "$"
    for depth, key in enumerate(place):
        named = f".{key}" if isinstance(key, str) else f"[{key}]"
        text += "[...]" if place[:depth] in OPEN | {("made_by", "metrics", "bridge")} else named
    return text


def refuses(tree: Tree, message: str) -> None:
    """Reading and writing both refuse what a manifest says."""
    with pytest.raises(ManifestError, match=message):
        decode(damage.sealed(tree))


def names(place: Place) -> str:
    return ".".join(str(key) for key in place) or "root"


# -- clause 1: format and keys -------------------------------------------------------------


def test_clause_01_what_was_written_is_read(tree: Tree) -> None:
    assert damage.sealed(tree) == damage.sealed(json.loads(damage.sealed(tree)))
    assert decode(damage.sealed(tree)).name == "test bundle"


def test_clause_01_the_test_reaches_every_level() -> None:
    levels = {names(place) for place in OBJECTS}
    assert {"root", "stream.stages.3", "window.then.1", "model.fp32.input", "golden"} <= levels
    assert {"made_by.source", "made_by.licences.0", "input.channels.1"} <= levels
    assert {"input.expect.1.measures.span", "quality", "output.decision"} <= levels
    assert "output.calibration" in levels


@pytest.mark.parametrize("place", OBJECTS, ids=names)
def test_clause_01_an_unknown_key_is_refused_with_its_path(place: Place) -> None:
    tree = template()
    damage.at(tree, place)["surplus"] = 1
    with pytest.raises(ManifestError) as caught:
        decode(damage.sealed(tree))
    assert "surplus" in str(caught.value)
    assert f"`{written(place)}`" in str(caught.value)


@pytest.mark.parametrize("found", [0, 3, -1, 10**30, "2", 2.0, True, None, [2], {"n": 2}])
def test_clause_01_an_unknown_format_is_refused_with_its_path(tree: Tree, found: Any) -> None:
    refuses(damage.changed(tree, ("format",), found), r"\$\.format")


def test_clause_01_a_later_format_is_named_before_its_unknown_keys(tree: Tree) -> None:
    tree = {**damage.changed(tree, ("format",), 3), "threshold": 0.5}
    refuses(tree, r"format 3 is unknown at `\$\.format`.*formats 1 and 2")


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"1", b"\xff\xfe{}", b"[" * 10**5])
def test_clause_01_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        decode(raw)


@pytest.mark.parametrize("place", LEAVES, ids=names)
@pytest.mark.parametrize("value", [{"a": {}}, [[None]]], ids=["object", "list"])
def test_clause_01_a_value_of_another_type_is_refused_with_its_path(
    place: Place, value: Any
) -> None:
    with pytest.raises(ManifestError) as caught:
        decode(damage.sealed(damage.changed(template(), place, value)))
    assert written(place).removesuffix(".stage") in str(caught.value)


@pytest.mark.parametrize("place", [p for p, _ in PLACES if p and isinstance(p[-1], str)], ids=names)
def test_clause_01_a_missing_key_is_no_other_bundle(place: Place) -> None:
    tree = template()
    before = decode(damage.sealed(tree))
    del damage.at(tree, place[:-1])[place[-1]]
    try:
        after = decode(damage.sealed(tree))
    except ManifestError:
        return
    # A name of the user's own choice may go, and what a bundle need not have; the manifest then
    # says something else.
    assert place == ("features",) or place[:-1] in OPEN | {("made_by", "metrics", "bridge")}
    assert after != before


def test_clause_01_a_key_that_is_there_twice_is_refused(tree: Tree) -> None:
    raw = damage.sealed(tree)
    twice = raw.replace(b'  "name":', b'  "name": "other",\n  "name":', 1)
    assert twice != raw
    with pytest.raises(ManifestError, match="laid out"):
        decode(twice)


# -- clause 2: the input -------------------------------------------------------------------


def test_clause_02_channels_are_given_in_order(pristine: Bundle) -> None:
    assert pristine.manifest.input.names == ("green", "red")


@pytest.mark.parametrize("rate", [0, -1.0, "64", None, True])
def test_clause_02_a_rate_is_a_positive_number(tree: Tree, rate: Any) -> None:
    refuses(damage.changed(tree, ("input", "rate"), rate), r"\$\.input\.rate")


def test_clause_02_there_are_channels(tree: Tree) -> None:
    refuses(damage.changed(tree, ("input", "channels"), []), r"\$\.input\.channels")


def test_clause_02_channel_names_are_distinct(tree: Tree) -> None:
    changed = damage.changed(tree, ("input", "channels", 0, "name"), "red")
    refuses(changed, r"names repeat.*red.*\$\.input\.channels")


@pytest.mark.parametrize("place", [("modality",), ("channels", 0, "name"), ("channels", 0, "unit")])
def test_clause_02_names_and_units_are_not_empty(tree: Tree, place: Place) -> None:
    refuses(damage.changed(tree, ("input", *place), ""), r"\$\.input")


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_clause_02_a_rate_is_finite(tree: Tree, text: bytes) -> None:
    raw = damage.sealed(tree).replace(b'"rate": 64.0', b'"rate": ' + text)
    assert text in raw
    with pytest.raises(ManifestError):
        decode(raw)


# -- clause 3: the causal stages -----------------------------------------------------------


def test_clause_03_an_unknown_stage_is_refused(tree: Tree) -> None:
    changed = damage.changed(tree, ("stream", "stages", 0, "stage"), "median")
    refuses(changed, r"median.*\$\.stream\.stages\[0\]")


@pytest.mark.parametrize("index", [2, 3])
def test_clause_03_a_stage_declares_its_warm_up(tree: Tree, index: int) -> None:
    changed = damage.changed(tree, ("stream", "stages", index, "warmup"), None)
    refuses(changed, rf"\$\.stream\.stages\[{index}\]\.warmup")


@pytest.mark.parametrize("index", [2, 3])
def test_clause_03_a_warm_up_that_is_too_short_is_refused(tree: Tree, index: int) -> None:
    changed = damage.changed(tree, ("stream", "stages", index, "warmup"), 3)
    refuses(changed, rf"warm-up of 3 samples.*\$\.stream\.stages\[{index}\]")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((0, "channels"), ["blue"], "blue"),
        ((0, "channels"), [], "length"),
        ((2, "up"), 0, "up"),
        ((2, "up"), 2, "2/2"),
        ((2, "up"), 10**9, "taps"),
        ((2, "down"), 10**400, "range|taps|number"),
        ((2, "reach"), 0, "reach"),
        ((3, "cutoff"), [0.5, 16.0], "16"),
        ((3, "cutoff"), [8.0, 0.5], "rise"),
        ((3, "cutoff"), [8.0], "two cutoffs"),
        ((3, "sections"), [[1.0, 0.0, 0.0, 1.0, -2.5, 1.2]], "unstable"),
        ((3, "order"), 13, "order"),
        ((3, "design"), "bessel", "bessel"),
        ((3, "kind"), "allpass", "allpass"),
        ((3, "warmup"), -1, "warmup"),
    ],
)
def test_clause_03_parameters_that_cannot_be_are_refused(
    tree: Tree, place: Place, value: Any, message: str
) -> None:
    changed = damage.changed(tree, ("stream", "stages", *place), value)
    refuses(changed, message)


def test_clause_03_the_order_of_stages_matters(tree: Tree) -> None:
    stages = tree["stream"]["stages"]
    refuses(damage.changed(tree, ("stream", "stages"), stages[1:]), "shape")


@pytest.mark.parametrize("gap", [-1, 1.5, "8", None])
def test_clause_03_a_gap_is_counted_in_samples(tree: Tree, gap: Any) -> None:
    refuses(damage.changed(tree, ("stream", "max_gap"), gap), r"\$\.stream\.max_gap")


# -- clause 4: length and hop --------------------------------------------------------------


@pytest.mark.parametrize("field", ["length", "hop"])
@pytest.mark.parametrize("value", [0, -16, 16.0, 16.5, "16", None])
def test_clause_04_length_and_hop_are_positive_integers(tree: Tree, field: str, value: Any) -> None:
    refuses(damage.changed(tree, ("window", field), value), rf"\$\.window\.{field}")


def test_clause_04_the_length_is_the_models(tree: Tree) -> None:
    changed = damage.changed(tree, ("window", "length"), 17)
    refuses(changed, r"\[1, 1, 16\].*\[1, 1, 17\].*\$\.model\.fp32\.input\.shape")


# -- clause 5: stages on a whole window ----------------------------------------------------


def test_clause_05_window_stages_are_carried_out_in_order(pristine: Bundle) -> None:
    assert pristine.manifest.window.then == (spec.ZScore(), spec.Rank())
    assert np.abs(pristine.golden.windows).max() == 1.0


@pytest.mark.parametrize("stage", [{"stage": "detrend"}, {}, "zscore", None])
def test_clause_05_an_unknown_window_stage_is_refused(tree: Tree, stage: Any) -> None:
    refuses(damage.changed(tree, ("window", "then", 0), stage), r"\$\.window\.then\[0\]")


def test_clause_05_a_causal_stage_is_no_window_stage(tree: Tree) -> None:
    stage = tree["stream"]["stages"][1]
    refuses(damage.changed(tree, ("window", "then", 0), stage), r"\$\.window\.then\[0\]")


# -- clause 6: the model -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("precision", "fp8"),
        ("opset", 19),
        ("opset", 12),
        ("ir", 11),
        ("ir", 6),
        ("sha256", "0" * 63),
        ("sha256", "0" * 64 + "\n"),
        ("sha256", "A" * 64),
        ("bytes", 0),
        ("parameters", 0),
    ],
)
def test_clause_06_a_variants_fields_have_bounds(tree: Tree, field: str, value: Any) -> None:
    refuses(damage.changed(tree, ("model", "fp32", field), value), rf"\$\.model.*{field}")


@pytest.mark.parametrize("shape", [[16], [1, 2, 16], [2, 1, 16], [1, 1, 15], [1, 16, 1], []])
def test_clause_06_the_input_shape_is_the_windows(tree: Tree, shape: list[int]) -> None:
    refuses(damage.changed(tree, ("model", "fp32", "input", "shape"), shape), "shape")


@pytest.mark.parametrize("shape", [[2], [1, 3], [2, 2], [1, 2, 1]])
def test_clause_06_the_output_shape_is_the_labels(tree: Tree, shape: list[int]) -> None:
    changed = damage.changed(tree, ("model", "fp32", "output", "shape"), shape)
    refuses(changed, r"2 labels.*\$\.model\.fp32\.output\.shape")


def test_clause_06_there_is_a_model(tree: Tree) -> None:
    refuses(damage.changed(tree, ("model",), {}), r"\$\.model")


def test_clause_06_files_are_distinct(tree: Tree) -> None:
    tree["model"]["int8"] = {**tree["model"]["fp32"], "precision": "int8"}
    refuses(tree, "files repeat")
    tree["model"]["int8"]["file"] = tree["golden"]["file"]
    refuses(tree, "files repeat")


def test_clause_06_fp32_and_bf16_may_share_a_file_and_say_the_same_of_it(tree: Tree) -> None:
    fp32 = tree["model"]["fp32"]
    tree["model"]["bf16"] = {**fp32, "precision": "bf16", "tolerance": 0.02}
    assert set(decode(damage.sealed(tree)).model) == {"fp32", "bf16"}
    for field, value in (("bytes", 1), ("parameters", 1), ("sha256", "1" * 64), ("opset", 17)):
        changed = damage.changed(tree, ("model", "bf16", field), value)
        refuses(changed, rf"same file model\.onnx.*\$\.model\.bf16\.{field}")
    tree["model"]["third"] = {**fp32, "precision": "bf16"}
    tree["model"].pop("fp32")
    refuses(tree, r"files repeat: bf16 \(bf16\) and third \(bf16\)")


@pytest.mark.parametrize("field", ["opset", "ir", "parameters"])
def test_clause_06_the_file_is_what_the_manifest_says(folder: Path, field: str) -> None:
    tree = damage.tree_of(folder)
    tree["model"]["fp32"][field] -= 1
    damage.put(folder, tree)
    with pytest.raises(BundleError, match=rf"model\.onnx has {field} "):
        Bundle.open(folder)


def test_clause_06_a_variant_that_is_not_there_is_named(pristine: Bundle) -> None:
    with pytest.raises(ManifestError, match=r"'int8'.*fp32"):
        pristine.model("int8")
    assert pristine.model() == pristine.model("fp32")


def graph(extra: bytes = b"", *, opset: int = 18, ir: int = 10, domain: str = "") -> bytes:
    """An ONNX file with one weight of two numbers, and whatever else goes into its graph."""
    weight = wire._field(5, wire._tensor("w", np.zeros(2, np.float32)))
    version = wire._field(1, domain) + wire._field(2, opset)
    return wire._field(1, ir) + wire._field(7, weight + extra) + wire._field(8, version)


@pytest.mark.parametrize(("opset", "ir"), [(19, 10), (28, 10), (18, 11), (18, 14)])
def test_clause_06_a_newer_graph_than_devices_load_is_refused(
    tmp_path: Path, opset: int, ir: int
) -> None:
    _, about, golden = parts()
    files = {"model.onnx": graph(opset=opset, ir=ir), "golden.npz": goldenfile.pack(golden)}
    with pytest.raises(ManifestError, match=r"<= 1[08]"):
        bundle.write(tmp_path / "b", bundle.with_files(about, files), files)
    assert list(tmp_path.iterdir()) == []


def test_clause_06_versions_and_parameters_are_read_from_the_file() -> None:
    assert onnxfile.inspect(graph(opset=17, ir=8)) == onnxfile.OnnxFacts(8, 17, 2)
    assert onnxfile.inspect(graph(domain="ai.onnx")).opset == 18


def test_clause_06_a_file_without_the_standard_operators_is_refused() -> None:
    with pytest.raises(BundleError, match="version"):
        onnxfile.inspect(graph(domain="com.example"))


# -- clause 6b: golden ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("dsp_tolerance", 0.0), ("dsp_tolerance", 0.5), ("dsp_tolerance", -1e-6), ("windows", 0)],
)
def test_clause_06b_tolerances_have_bounds(tree: Tree, field: str, value: Any) -> None:
    refuses(damage.changed(tree, ("golden", field), value), rf"\$\.golden\.{field}")


def test_clause_06b_golden_holds_raw_samples_windows_and_answers(pristine: Bundle) -> None:
    golden, about = pristine.golden, pristine.manifest
    assert golden.raw.dtype == np.float64
    assert golden.raw.shape[1] == len(about.input.channels)
    assert golden.windows.shape == (about.golden.windows, 1, about.window.length)
    assert golden.probabilities.shape == (about.golden.windows, len(about.output.labels))


def test_clause_06b_the_number_of_windows_is_the_files(folder: Path) -> None:
    tree = damage.tree_of(folder)
    tree["golden"]["windows"] += 1
    damage.put(folder, tree)
    with pytest.raises(BundleError, match="windows is float32"):
        Bundle.open(folder)


def test_clause_06b_the_digest_guards_every_value(tree: Tree) -> None:
    raw = damage.sealed(tree)
    changed = raw.replace(b'"name": "test bundle"', b'"name": "Test bundle"')
    assert changed != raw
    with pytest.raises(ManifestError, match="digest"):
        decode(changed)


@pytest.mark.parametrize("digest", ["", "0" * 64, None])
def test_clause_06b_the_digest_has_to_be_right(tree: Tree, digest: str | None) -> None:
    raw = damage.sealed(tree)
    wrong = raw.replace(
        f'"{json.loads(raw)["digest"]}"'.encode(),
        b"null" if digest is None else f'"{digest}"'.encode(),
    )
    with pytest.raises(ManifestError, match="digest"):
        decode(wrong)


def test_clause_06b_white_space_is_guarded_too(tree: Tree) -> None:
    with pytest.raises(ManifestError, match="laid out"):
        decode(damage.sealed(tree) + b"\n")


# -- clause 7: the answer ------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[], ["rest"], ["rest", ""], ["rest", 1], "rest"])
def test_clause_07_labels_are_names(tree: Tree, labels: Any) -> None:
    refuses(damage.changed(tree, ("output", "labels"), labels), r"\$\.output\.labels")


def test_clause_07_labels_are_distinct(tree: Tree) -> None:
    refuses(damage.changed(tree, ("output", "labels"), ["rest", "rest"]), "labels repeat")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("smoothing", -0.5),
        ("threshold", -0.1),
        ("threshold", 1.0),
        ("patience", 0),
        ("patience", 1.5),
        ("refractory", -1),
        ("refractory", "2"),
    ],
)
def test_clause_07_a_decisions_rules_have_bounds(tree: Tree, field: str, value: Any) -> None:
    changed = damage.changed(tree, ("output", "decision", field), value)
    refuses(changed, rf"\$\.output\.decision\.{field}")


@pytest.mark.parametrize("decision", ["argmax", None, []])
def test_clause_07_a_decision_is_what_it_consists_of(tree: Tree, decision: Any) -> None:
    refuses(damage.changed(tree, ("output", "decision"), decision), r"\$\.output\.decision")


def test_clause_07_as_it_stands_the_likeliest_is_said(pristine: Bundle) -> None:
    assert pristine.manifest.output.decision == manifest.Decision(
        smoothing=0.0, threshold=0.0, patience=1, refractory=0
    )


# -- clause 8: where it comes from ---------------------------------------------------------


@pytest.mark.parametrize("side", ["source", "target"])
def test_clause_08_a_cut_lies_within_the_blocks(tree: Tree, side: str) -> None:
    changed = damage.changed(tree, ("made_by", side, "cut"), 3)
    refuses(changed, rf"cut 3 .* 2 blocks.*\$\.made_by\.{side}\.cut")


def test_clause_08_one_non_commercial_part_makes_the_bundle_so(tree: Tree) -> None:
    free = {"part": "head", "licence": "MIT", "non_commercial": False}
    bound = {"part": "weights", "licence": "CC-BY-NC-4.0", "non_commercial": True}
    tree["made_by"]["licences"] = [free, bound]
    refuses(tree, r"must be True.*\$\.made_by\.non_commercial")
    tree["made_by"]["non_commercial"] = True
    assert decode(damage.sealed(tree)).made_by.non_commercial
    tree["made_by"]["licences"] = [free]
    refuses(tree, r"must be False.*\$\.made_by\.non_commercial")


def test_clause_08_there_is_a_licence(tree: Tree) -> None:
    refuses(damage.changed(tree, ("made_by", "licences"), []), r"\$\.made_by\.licences")


def test_clause_08_a_metric_is_a_finite_number() -> None:
    about = parts()[1]
    for value in (float("nan"), float("inf")):
        made_by = msgspec.structs.replace(about.made_by, metrics={"bridge": {"auroc": value}})
        with pytest.raises(ManifestError, match=r"\$\.made_by\.metrics\.bridge\.auroc"):
            manifestfile.encode(msgspec.structs.replace(about, made_by=made_by))


def test_clause_08_a_struct_made_in_python_is_held_to_the_same_bounds() -> None:
    about = parts()[1]
    wrong = msgspec.structs.replace(about, window=spec.WindowSpec(length=16, hop=0))
    with pytest.raises(ManifestError, match=r"\$\.window\.hop"):
        manifestfile.encode(wrong)


def test_clause_08_a_rate_given_as_an_integer_is_written_as_it_is_read() -> None:
    about = parts()[1]
    source = msgspec.structs.replace(about.input, rate=64)
    raw = manifestfile.encode(msgspec.structs.replace(about, input=source))
    assert raw == manifestfile.encode(about)
    assert decode(raw).input.rate == 64.0


# -- clause 8b: what the field taught ------------------------------------------------------

OLD = Path(__file__).resolve().parent / "format1"  # as bioxedge 0.1.0 wrote it


def test_clause_08b_everything_that_the_field_taught_is_written_and_read() -> None:
    about = decode(damage.sealed(template()))
    assert about.input.sensors == ("muse_2/ancillary", "muse_2_bled/ancillary")
    assert [one.channel for one in about.input.expect] == ["green", "red"]
    assert about.quality is not None and about.quality.off == ("noise",)
    assert about.absent == {}
    assert decode(manifestfile.encode(about)) == about


def test_clause_08b_sensors_are_distinct(tree: Tree) -> None:
    tree["input"]["sensors"] = ["muse_2/ancillary"] * 2
    refuses(tree, r"names repeat.*\$\.input\.sensors")


@pytest.mark.parametrize("sensors", ["muse_2", [""], [1], None])
def test_clause_08b_sensors_are_names(tree: Tree, sensors: Any) -> None:
    refuses(damage.changed(tree, ("input", "sensors"), sensors), r"\$\.input\.sensors")


@pytest.mark.parametrize("names", [["green"], ["red", "green"], ["green", "blue"], ["green"] * 2])
def test_clause_08b_what_is_expected_is_of_the_channels_in_order(
    tree: Tree, names: list[str]
) -> None:
    tree["input"]["expect"] = [expected(name) for name in names]
    refuses(tree, r"not the channels green, red.*\$\.input\.expect")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("samples",), 0),
        (("windows",), 0),
        (("people",), -1),
        (("measures",), {}),
        (("measures",), {"loudness": {}}),
        (("measures", "span", "least"), "1"),
        (("measures", "span", "most"), None),
    ],
)
def test_clause_08b_what_is_expected_has_bounds(place: Place, value: Any) -> None:
    tree = damage.changed(template(), ("input", "expect", 0, *place), value)
    refuses(tree, r"\$\.input\.expect")


def test_clause_08b_what_is_expected_is_finite() -> None:
    raw = damage.sealed(template()).replace(b'"least": 1.0', b'"least": 1e999')
    with pytest.raises(ManifestError):
        decode(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_real", -0.1),
        ("min_real", 1.1),
        ("amplitude", 1),
        ("off", ["loudness"]),
        ("off", "noise"),
        ("amplitude_margin", 0.5),
    ],
)
def test_clause_08b_thresholds_of_quality_have_bounds(field: str, value: Any) -> None:
    tree = damage.changed(template(), ("quality", field), value)
    refuses(tree, rf"\$\.quality\.{field}")


@pytest.mark.parametrize("bias", [[0.0], [0.0, 0.0, 0.0]])
def test_clause_08b_there_is_a_bias_for_each_label(tree: Tree, bias: list[float]) -> None:
    changed = damage.changed(tree, ("output", "calibration", "bias"), bias)
    refuses(changed, r"\$\.output\.calibration\.bias")


@pytest.mark.parametrize("heat", [0.0, -1.0, "1", None])
def test_clause_08b_a_temperature_is_positive(tree: Tree, heat: Any) -> None:
    changed = damage.changed(tree, ("output", "calibration", "temperature"), heat)
    refuses(changed, r"\$\.output\.calibration\.temperature")


@pytest.mark.parametrize(
    ("field", "value"),
    [("tolerance", 0.0), ("tolerance", 0.6), ("agreement", -0.1), ("agreement", 1.1)],
)
def test_clause_08b_each_variant_has_bounds_of_its_own(tree: Tree, field: str, value: Any) -> None:
    refuses(damage.changed(tree, ("model", "fp32", field), value), rf"\$\.model.*{field}")


def test_clause_08b_without_them_the_checks_are_said_to_be_absent(tree: Tree) -> None:
    about = decode(damage.sealed(tree))
    assert set(about.absent) == {"sensor", "amplitude", "signal"}
    named = damage.changed(tree, ("input", "sensors"), ["muse_2/ancillary"])
    assert set(decode(damage.sealed(named)).absent) == {"amplitude", "signal"}


def test_clause_08b_a_bundle_of_format_1_opens_and_says_what_it_lacks() -> None:
    old = Bundle.open(OLD)
    about = old.manifest
    assert about.format == 1 and about.name == "test bundle"
    assert about.digest == json.loads((OLD / "manifest.json").read_bytes())["digest"]
    assert set(about.absent) == {"sensor", "amplitude", "signal"}
    assert all("format 1" in why for why in about.absent.values())
    assert about.input.sensors == about.input.expect == () and about.quality is None
    assert about.output.decision == manifest.Decision()
    assert about.output.calibration == manifest.Calibration(temperature=1.0, bias=(0.0, 0.0))
    assert about.variant().tolerance == 1e-4
    assert old.judge() is None
    with np.load(OLD / "golden.npz") as arrays:
        for key in arrays.files:
            assert getattr(old.golden, key).tobytes() == arrays[key].tobytes()


def test_clause_08b_a_bundle_makes_the_judge_that_its_manifest_describes(tmp_path: Path) -> None:
    about = decode(damage.sealed(template()))
    some = next(iter(about.input.expect[0].measures.values()))
    expect = tuple(
        msgspec.structs.replace(one, measures=dict.fromkeys(get_args(spec.Measure), some))
        for one in about.input.expect
    )
    made = wire.make_bundle(
        tmp_path / "b",
        channels=("green", "red"),
        stages=damage.STAGES,
        expect=expect,
        quality=about.quality,
    )
    judge = made.judge()
    assert judge is not None and judge is not made.judge()
    assert (judge.source.names, judge.expect) == (("green", "red"), expect)
    assert judge.quality == about.quality


def test_clause_08b_the_digest_of_format_1_is_what_it_was() -> None:
    raw = (OLD / "manifest.json").read_bytes()
    assert damage.sealed(json.loads(raw)) == raw
    with pytest.raises(ManifestError, match="digest"):
        decode(raw.replace(b'"seed": 3', b'"seed": 4'))
    with pytest.raises(ManifestError, match="laid out"):
        decode(raw + b"\n")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("quality",), None),
        (("input", "sensors"), []),
        (("input", "expect"), []),
        (("output", "calibration"), {"temperature": 1.0, "bias": [0.0, 0.0]}),
        (("model", "fp32", "tolerance"), 1e-4),
    ],
)
def test_clause_08b_each_format_is_closed_to_the_others_keys(place: Place, value: Any) -> None:
    old = damage.tree_of(OLD)
    with pytest.raises(ManifestError, match=f"unknown field `{place[-1]}`"):
        decode(damage.sealed(damage.changed(old, place, value)))
    with pytest.raises(ManifestError, match=r"decision|temperature|tolerance"):
        decode(damage.sealed({**old, "format": 2}))
    with pytest.raises(ManifestError, match=r"unknown field|`str`"):
        decode(damage.sealed({**template(), "format": 1}))


def test_clause_08b_what_is_written_is_always_the_newest_format(tmp_path: Path) -> None:
    old = Bundle.open(OLD)
    files = {name: (OLD / name).read_bytes() for name in ("model.onnx", "golden.npz")}
    new = bundle.write(tmp_path / "b", old.manifest, files)
    assert new.manifest.format == manifest.FORMAT == 2
    assert new.manifest.digest != old.manifest.digest
    assert set(new.manifest.absent) == set(old.manifest.absent)


# -- clause 8c: features and a wearer's baseline -------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classic": ["green heart"], "fill": [1.0]}, r"not the features .* names and order are"),
        ({"fill": [1.0, 2.0]}, r"2 values do not fill 24 classic features - at `\$.features.fill`"),
        ({"classic": [], "fill": [], "baseline": None}, "neither classic features nor a baseline"),
        ({"encoder": 4}, r"28 features in all do not fit a bridge from 27"),
        ({"baseline": {"settle": 0}}, r"settle"),
        ({"baseline": {"settle": 2, "memory": -1}}, r"memory"),
        ({"baseline": {"settle": 2, "clip": 0.0}}, r"clip"),
        ({"baseline": {}}, "settle"),
    ],
)
def test_clause_8c_features_that_cannot_be_are_refused(change: Tree, message: str) -> None:
    tree = template()
    tree["features"] |= change
    refuses(tree, message)


def test_clause_8c_classic_features_are_in_the_order_of_the_channels() -> None:
    tree = template()
    tree["features"]["classic"].reverse()
    refuses(tree, r"names and order are green rate \(bpm\)")


@pytest.mark.parametrize("more", [False, True])
def test_clause_8c_those_of_breathing_are_all_of_them_or_none(more: bool) -> None:
    tree, names = template(), ["green", "red"]
    known = list(classic.names("ppg", names, breathing=True))
    given = known + list(classic.names("ppg", names)) if more else known
    tree["features"] |= {"classic": given, "fill": [0.5] * len(given)}
    tree["made_by"]["bridge"]["in_features"] = 3 + len(given)
    if more:
        return refuses(tree, r"names and order are green breathing rate \(1/min\), green breath")
    about = decode(damage.sealed(tree))
    assert about.features is not None and classic.breathes(about.features.classic)


def test_clause_8c_breathing_is_of_a_pulse_or_an_ecg() -> None:
    tree = template()
    tree["input"]["modality"] = "eda"
    both = list(classic.names("ppg", ["green", "red"], breathing=True))
    tree["features"] |= {"classic": both, "fill": [0.5] * len(both)}
    refuses(tree, r"not the features .* of eda")


def test_clause_8c_raw_samples_are_kept_for_classic_features_by_the_judge() -> None:
    tree = template()
    tree["quality"] = None
    refuses(tree, r"kept to be judged: state it - at `\$.quality`")


def test_clause_8c_a_baseline_alone_needs_no_judge() -> None:
    tree = template()
    tree["quality"] = None
    tree["features"] |= {"classic": [], "fill": []}
    tree["made_by"]["bridge"]["in_features"] = 3
    about = decode(damage.sealed(tree))
    assert about.features is not None and about.features.beside == 6


# -- clause 9: files -----------------------------------------------------------------------

UNSAFE = [
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".hidden",
    "..",
    ".",
    "",
    "a\0b",
    "a b",
    "model.onnx\n",
    "é.onnx",
    "manifest.json",
    "m" * 300,
]
PARTS = {"model": ("model", "fp32"), "golden": ("golden",)}
each_part = pytest.mark.parametrize("part", PARTS)


@each_part
@pytest.mark.parametrize("name", UNSAFE)
def test_clause_09_a_name_that_is_not_plain_is_refused(tree: Tree, part: str, name: str) -> None:
    refuses(damage.changed(tree, (*PARTS[part], "file"), name), r"\$\.(model|golden)")


def file_of(folder: Path, part: str) -> Path:
    return folder / ("golden.npz" if part == "golden" else "model.onnx")


@each_part
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_clause_09_a_link_is_refused(folder: Path, part: str, inside: bool) -> None:
    file = file_of(folder, part)
    real = file.rename(folder / "real" if inside else folder.parent / "real")
    file.symlink_to(real)
    with pytest.raises(BundleError, match="link"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "manifest.json"])
@pytest.mark.parametrize("kind", ["directory", "fifo", "missing", "dangling", "socket"])
def test_clause_09_what_is_no_regular_file_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    file = folder / name
    file.unlink()
    if kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)  # must not wait for a writer
    elif kind == "dangling":
        file.symlink_to(folder / "nowhere")
    elif kind == "socket":
        monkeypatch.chdir(folder)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(name)
    with pytest.raises(BundleError, match=name):
        Bundle.open(folder)


def test_clause_09_a_link_as_manifest_is_refused(folder: Path) -> None:
    real = (folder / "manifest.json").rename(folder / "real.json")
    (folder / "manifest.json").symlink_to(real)
    with pytest.raises(BundleError, match="link"):
        Bundle.open(folder)


def test_clause_09_a_bundle_that_is_reached_through_a_link_opens(folder: Path) -> None:
    current = folder.parent / "current"
    current.symlink_to(folder)
    assert Bundle.open(current).manifest == Bundle.open(folder).manifest


@each_part
def test_clause_09_another_hash_or_size_is_refused(folder: Path, part: str) -> None:
    right = damage.tree_of(folder)
    for field, value, message in (("sha256", "0" * 64, "sha256"), ("bytes", 7, "says 7")):
        damage.put(folder, damage.changed(right, (*PARTS[part], field), value))
        with pytest.raises(BundleError, match=message):
            Bundle.open(folder)
    damage.put(folder, right)
    Bundle.open(folder)


def outside(**fields: int | str) -> bytes:
    """A tensor whose data is said to lie in another file."""
    tensor = wire._field(1, 2) + wire._field(2, 1) + wire._field(8, "w")
    entry = wire._field(1, "location") + wire._field(2, "../secret")
    if "external" in fields:
        tensor += wire._field(13, entry)
    if "location" in fields:
        tensor += wire._field(14, int(fields["location"]))
    return tensor


def constant(attribute: bytes) -> bytes:
    """A Constant node in a graph."""
    node = wire._field(2, "c") + wire._field(4, "Constant") + wire._field(5, attribute)
    return wire._field(1, node)


def hidden(tensor: bytes) -> Iterator[tuple[str, bytes]]:
    """Every place in an ONNX file that can hold a tensor."""
    value = wire._field(1, "value")
    inner = constant(value + wire._field(5, tensor))
    sparse = wire._field(1, tensor)
    yield "initializer", graph(wire._field(5, tensor))
    yield "sparse initializer", graph(wire._field(15, sparse))
    yield "sparse indices", graph(wire._field(15, wire._field(2, tensor)))
    yield "Constant", graph(inner)
    yield "attribute's list", graph(constant(value + wire._field(10, tensor)))
    yield "attribute's sparse tensor", graph(constant(value + wire._field(22, sparse)))
    yield "attribute's sparse list", graph(constant(value + wire._field(23, sparse)))
    branch = constant(value + wire._field(6, inner))
    yield "subgraph", graph(branch)
    yield "subgraph in a list", graph(constant(value + wire._field(11, inner)))
    yield "subgraph in a subgraph", graph(constant(value + wire._field(6, branch)))
    yield "subgraph's initializer", graph(constant(wire._field(6, wire._field(5, tensor))))
    function = wire._field(1, "f") + wire._field(7, inner[2 if len(inner) < 130 else 3 :])
    yield "function", graph() + wire._field(25, function)
    default = wire._field(11, value + wire._field(5, tensor))
    yield "function's default", graph() + wire._field(25, default)
    yield "training", graph() + wire._field(20, wire._field(1, wire._field(5, tensor)))
    yield "second graph", graph() + wire._field(7, wire._field(5, tensor))


@pytest.mark.parametrize(
    "fields", [{"external": 1, "location": 1}, {"external": 1}, {"location": 1}]
)
def test_clause_09_external_data_is_refused_wherever_it_hides(fields: dict[str, int]) -> None:
    for _where, raw in hidden(outside(**fields)):
        with pytest.raises(BundleError, match="external data"):
            onnxfile.inspect(raw)


def test_clause_09_data_inside_the_file_is_fine_in_the_same_places() -> None:
    for _where, raw in hidden(outside() + wire._field(9, bytes(8))):
        assert onnxfile.inspect(raw).opset == 18


def test_clause_09_a_bundle_with_external_data_does_not_open(folder: Path) -> None:
    damage.put_file(folder, graph(constant(wire._field(5, outside(external=1)))), part="model")
    with pytest.raises(BundleError, match="external data"):
        Bundle.open(folder)


class Trap:
    """What betrays that it was unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def test_clause_09_nothing_is_unpickled(folder: Path, pristine: Bundle) -> None:
    right = vars(pristine.golden)
    objects = np.array([Trap()], dtype=object)
    trapped = [damage.npz({**right, key: objects}) for key in right]
    trapped += [damage.npz({**right, key: pickle.dumps(Trap())}) for key in right]
    trapped += [pickle.dumps(Trap()), damage.npz({**right, "more": objects})]
    for raw in trapped:
        damage.put_file(folder, raw, part="golden")
        with pytest.raises(BundleError, match=r"golden\.npz"):
            Bundle.open(folder)
    assert not Trap.sprung


def test_clause_09_what_was_checked_is_what_is_used(folder: Path) -> None:
    opened = Bundle.open(folder)
    before = opened.model()
    (folder / "model.onnx").write_bytes(b"something else")
    assert opened.model() == before


# -- clause 10: writing --------------------------------------------------------------------


def content(number: int) -> tuple[manifest.Manifest, dict[str, bytes]]:
    """Manifest and files of one of two bundles."""
    model, about, golden = parts()
    about = msgspec.structs.replace(about, name=f"number {number}")
    files = {"model.onnx": model, "golden.npz": goldenfile.pack(golden)}
    return bundle.with_files(about, files), files


class CrashError(Exception):
    """Stands for the moment at which the power goes."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int, *, exchange: bool) -> list[str]:
    """Let the n-th step that touches the disk fail, and everything after it (no clean-up)."""
    steps: list[str] = []

    def guard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            steps.append(name)
            if len(steps) >= step:
                raise CrashError(name)
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(os, "fsync", guard("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", guard("replace", Path.replace))
    monkeypatch.setattr(shutil, "rmtree", guard("rmtree", shutil.rmtree))
    swap = atomic._exchange if exchange else lambda one, other: False
    monkeypatch.setattr(atomic, "_exchange", guard("exchange", swap))
    return steps


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("again", [True, False], ids=["over an old one", "for the first time"])
def test_clause_10_a_crash_leaves_the_old_bundle_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, again: bool
) -> None:
    seen = set()
    for step in range(1, 40):
        place = tmp_path / str(step) / "b"
        if again:
            bundle.write(place, *content(1))
        with monkeypatch.context() as patch:
            steps = crash_at(patch, step, exchange=exchange)
            finished = True
            try:
                bundle.write(place, *content(2))
            except CrashError:
                finished = False
        if again or finished:
            seen.add(Bundle.open(place).manifest.name)
        else:
            try:
                seen.add(Bundle.open(place).manifest.name)
            except BundleError:
                seen.add("none")
        # Whatever was left behind is no obstacle the next time, and is cleaned up then.
        assert bundle.write(place, *content(3)).manifest.name == "number 3"
        assert [p.name for p in place.parent.iterdir()] == ["b"]
        assert Bundle.open(place).manifest.name == "number 3"
        if finished:
            break
    assert finished
    assert len(steps) >= 6
    assert seen == {"number 1" if again else "none", "number 2"}


def test_clause_10_a_failure_between_two_renames_puts_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.write(tmp_path / "b", *content(1))
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name == ".b.partial":
            raise OSError("no space left")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_exchange", lambda one, other: False)
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            bundle.write(tmp_path / "b", *content(2))
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    assert Bundle.open(tmp_path / "b").manifest.name == "number 1"


def test_clause_10_a_writer_that_is_killed_leaves_one_that_opens(tmp_path: Path) -> None:
    place = tmp_path / "b"
    bundle.write(place, *content(1))
    program = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, "tests")
        import test_manifest_clauses as clauses
        print("ready", flush=True)
        while True:
            for number in (1, 2):
                clauses.bundle.write(sys.argv[1], *clauses.content(number))
        """
    )
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE, cwd=root
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        for _ in range(100):  # a reader beside it sees one or the other, too
            assert Bundle.open(place).manifest.name in ("number 1", "number 2")
        writer.send_signal(signal.SIGKILL)
    assert Bundle.open(place).manifest.name in ("number 1", "number 2")
    assert bundle.write(place, *content(3)).manifest.name == "number 3"


def test_clause_10_what_is_written_twice_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = (bundle.write(tmp_path / name, *content(1)).path for name in "ab")
    for name in ("manifest.json", "model.onnx"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_clause_10_a_new_bundle_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    bundle.write(tmp_path / "b", *content(1))
    about, files = content(2)
    variant = msgspec.structs.replace(about.model["fp32"], file="other.onnx")
    files["other.onnx"] = files.pop("model.onnx")
    bundle.write(tmp_path / "b", msgspec.structs.replace(about, model={"fp32": variant}), files)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "golden.npz",
        "manifest.json",
        "other.onnx",
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {"manifest.json": '{"name": "a web app", "icons": []}', "index.html": ""},
        {"manifest.json": "not JSON"},
        {"manifest.json/deep": ""},
        {"deep/manifest.json": "{}"},
    ],
)
def test_clause_10_a_directory_that_is_no_bundle_is_left_alone(
    tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_text(text)
    with pytest.raises(BundleError, match="other things than a bundle"):
        bundle.write(tmp_path / "b", *content(1))
    for name, text in files.items():
        assert (tmp_path / "b" / name).read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_clause_10_a_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BundleError, match="other things than a bundle"):
        bundle.write(tmp_path / "b", *content(1))
    assert (tmp_path / "b").read_text() == "mine"


def test_clause_10_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert bundle.write(tmp_path / "b", *content(1)).manifest.name == "number 1"


def test_clause_10_a_damaged_model_does_not_stop_a_bundle_from_being_replaced(
    folder: Path,
) -> None:
    (folder / "model.onnx").write_bytes(b"")
    assert bundle.write(folder, *content(2)).manifest.name == "number 2"


def test_clause_10_writing_through_a_link_replaces_what_it_points_to(folder: Path) -> None:
    current = folder.parent / "current"
    current.symlink_to(folder)
    for number in (1, 2):
        bundle.write(current, *content(number))
        assert current.is_symlink()
        assert Bundle.open(folder).manifest.name == f"number {number}"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["b", "current"]


@pytest.mark.parametrize("change", ["less", "more"])
def test_clause_10_files_and_manifest_fit_each_other(tmp_path: Path, change: str) -> None:
    about, files = content(1)
    if change == "less":
        del files["golden.npz"]
    else:
        files["../evil"] = b""
    with pytest.raises(BundleError, match=r"golden\.npz|evil"):
        bundle.write(tmp_path / "b", about, files)
    assert list(tmp_path.iterdir()) == []


def test_clause_10_a_bundle_that_would_not_open_is_not_put_in_place(tmp_path: Path) -> None:
    bundle.write(tmp_path / "b", *content(1))
    about, files = content(2)
    files["golden.npz"] = damage.npz({"zip": np.zeros(1), "file": zipfile.ZIP_STORED})
    with pytest.raises(BundleError, match="golden"):
        bundle.write(tmp_path / "b", bundle.with_files(about, files), files)
    assert Bundle.open(tmp_path / "b").manifest.name == "number 1"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_clause_10_a_manifest_is_not_changed_by_writing_it() -> None:
    about = content(1)[0]
    before = copy.deepcopy(about)
    manifestfile.encode(about)
    assert about == before
