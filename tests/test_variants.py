"""Variants of a small real model, through ONNX Runtime: made, kept, refused with the figures."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import onnx
from torch import nn

from bioxedge import manifest, recipes
from bioxedge.building.variants import make_variants
from bioxedge.errors import BundleError, ExportError
from bioxedge.exporting.onnx import INPUT, OUTPUT, to_onnx
from bioxedge.exporting.variants import PRECISION, variant_of
from bioxedge.onnxfile import inspect
from bioxedge.runtime.session import Session, available

pytestmark = pytest.mark.train

LENGTH, LABELS = 512, 3


class Small(nn.Module):
    """A convolution, tokens, two products with a Gelu between, a norm, a head."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 32, 8, stride=8)
        self.up, self.down = nn.Linear(32, width), nn.Linear(width, 32)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, LABELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).relu().transpose(1, 2)
        tokens = self.norm(tokens + self.down(nn.functional.gelu(self.up(tokens))))
        return self.head(tokens.mean(dim=1)).softmax(dim=1)


@dataclass(frozen=True)
class Case:
    graph: bytes
    windows: np.ndarray
    answers: np.ndarray


def answered(raw: bytes, windows: np.ndarray, provider: str = "cpu") -> np.ndarray:
    session = Session(raw, provider=provider)
    return np.concatenate([session.run(window[None]) for window in windows])


def signals() -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(LENGTH) / 64
    beat = rng.uniform(0.8, 3.0, (256, 1, 1))
    waves = np.sin(2 * np.pi * beat * time) + 0.2 * rng.standard_normal((256, 1, LENGTH))
    return waves.astype(np.float32)


def case_of(model: nn.Module) -> Case:
    graph = to_onnx(model.eval(), 1, LENGTH)
    return Case(graph, signals(), answered(graph, signals()))


def small_model(outlier: float = 0.0) -> Small:
    """A model whose labels are mixed; an outlier in one feature that nothing reads later on."""
    torch.manual_seed(0)
    model = Small()
    with torch.no_grad():
        model.up.bias[0], model.down.weight[:, 0] = outlier, 0
        seen = model(torch.from_numpy(signals())).log()
        spread = (seen - seen.mean(dim=0)).std()
        model.head.weight /= spread
        model.head.bias.copy_((model.head.bias - seen.mean(dim=0)) / spread)
    return model


@pytest.fixture(scope="module")
def small() -> Case:
    return case_of(small_model())


def made(case: Case, *names: str, budget: float = 0.01, held_out: object = "own"):
    """Make variants of a case; what fp32 says is the truth that held-out people are scored by."""
    if held_out == "own":
        held_out = case.windows, case.answers.argmax(axis=1)
    return make_variants(
        case.graph,
        recipes.Variants(make=names, budget=budget),
        golden=case.windows[:18],
        answers=case.answers[:18],
        calibration=case.windows[100:116],
        held_out=held_out,
        input=manifest.Tensor(name=INPUT, shape=(1, 1, LENGTH)),
        output=manifest.Tensor(name=OUTPUT, shape=(1, LABELS)),
    )


def operators(raw: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(raw).graph.node]


@pytest.mark.parametrize("name", PRECISION)
def test_a_variant_within_the_budget_is_kept_and_states_what_was_measured(small, name) -> None:
    kept, refused = made(small, name, budget=0.05)
    assert not refused
    about, raw, metrics = kept[name].variant, kept[name].raw, kept[name].metrics
    assert (about.file, about.precision) == (f"model.{name}.onnx", PRECISION[name])
    assert about.opset <= 18 and about.ir <= 10 and about.bytes == len(raw) < len(small.graph)
    off = np.abs(answered(raw, small.windows[:18]) - small.answers[:18]).max()
    assert off == pytest.approx(metrics["golden_difference"], abs=1e-6)
    assert off < about.tolerance <= 0.5
    assert about.agreement <= metrics["golden_agreement"] <= 1
    assert metrics["fp32_balanced_accuracy"] == 1.0
    assert metrics["balanced_accuracy"] >= 0.95 and metrics["held_out_windows"] == 256


@pytest.mark.parametrize("name", PRECISION)
def test_a_variant_has_as_many_parameters_as_fp32(small, name) -> None:
    raw = variant_of(small.graph, name, small.windows[:4])
    assert inspect(raw).parameters == inspect(small.graph).parameters
    assert b"/tmp" not in raw and not {n.domain for n in onnx.load_from_string(raw).graph.node} - {
        "",
        "ai.onnx",
    }


def test_what_must_stay_float_stays_float(small) -> None:
    found = operators(variant_of(small.graph, "int8", small.windows[:0]))
    assert found.count("MatMulInteger") == 2  # up and down; not the head
    assert {"Conv", "LayerNormalization", "Softmax"} <= set(found)
    assert not {"ConvInteger", "QLinearConv"} & set(found)


def test_static_ranges_are_those_of_the_windows(small) -> None:
    quiet = variant_of(small.graph, "int8-static", small.windows[:8] * 0.01)
    real = variant_of(small.graph, "int8-static", small.windows[:8])
    off = [np.abs(answered(raw, small.windows) - small.answers).max() for raw in (quiet, real)]
    assert off[1] < 0.5 * off[0]  # ranges of a signal a hundred times smaller clip everything
    with pytest.raises(ExportError, match="no windows of real signal to calibrate"):
        variant_of(small.graph, "int8-static", small.windows[:0])


def test_a_variant_over_the_budget_is_refused_with_the_figures() -> None:
    # 8 bits for a feature of 20 leave little for the others, as outliers do in real models.
    case = case_of(small_model(outlier=20.0))
    kept, refused = made(case, "int8", "fp16")
    assert list(kept) == ["fp16"]
    found = re.fullmatch(
        r"balanced accuracy (0\.\d{4}) on 256 windows of held-out people, fp32 1\.0000: "
        r"it costs (0\.\d{4}), the recipe's budget is 0\.0100",
        refused["int8"],
    )
    assert found and float(found[2]) == pytest.approx(1 - float(found[1]), abs=1e-4)
    kept, refused = made(case, "int8", budget=0.5)
    assert list(kept) == ["int8"] and not refused


def test_a_variant_that_is_far_from_fp32_is_refused_whatever_the_budget() -> None:
    case = case_of(small_model(outlier=1e4))
    _, refused = made(case, "int8", budget=0.9)
    assert re.search(r"differs from fp32's by|nearly the same answer", refused["int8"])


def test_without_held_out_people_the_metric_is_not_claimed(small) -> None:
    kept, _ = made(small, "int8", held_out=None)
    assert kept["int8"].metrics["held_out_windows"] == 0
    assert "balanced_accuracy" not in kept["int8"].metrics


def test_a_model_without_large_products_is_refused(small) -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(LENGTH, LABELS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x[:, 0]).softmax(dim=1)

    tiny = case_of(Tiny())
    kept, refused = made(tiny, "int8", "fp16")
    assert list(kept) == ["fp16"]
    assert "no product with weights has 65,536 multiplications" in refused["int8"]


def test_half_precision_leaves_out_what_it_cannot_hold() -> None:
    torch.manual_seed(0)
    model = Small()
    with torch.no_grad():
        model.up.weight *= 1e7
        model.down.weight *= 1e-7
    case = case_of(model)
    raw = variant_of(case.graph, "fp16", case.windows[:0])
    kinds = {one.name: one.data_type for one in onnx.load_from_string(raw).graph.initializer}
    assert set(kinds.values()) >= {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    assert np.isfinite(answered(raw, case.windows)).all()


def test_recipes_name_variants_and_a_budget(tmp_path) -> None:
    assert recipes.Variants() == recipes.Variants(make=(), budget=0.01)


def test_bf16_is_the_file_of_fp32_in_another_arithmetic_or_refused_with_the_cure(small) -> None:
    kept, refused = made(small, "bf16", "fp16", budget=0.2)
    assert "fp16" in kept  # whatever becomes of the other
    try:
        found = answered(small.graph, small.windows[:18], "openvino-bf16")
    except BundleError:
        assert "bf16" not in kept and "openvino" in refused["bf16"]
        if "openvino-bf16" not in available():
            assert "pip install 'bioxedge[openvino]'" in refused["bf16"]
        return
    about, metrics = kept["bf16"].variant, kept["bf16"].metrics
    assert (about.file, about.precision, kept["bf16"].raw) == ("model.onnx", "bf16", small.graph)
    off = np.abs(found - small.answers[:18]).max()
    assert 1e-4 < off < about.tolerance < 0.5
    assert off == pytest.approx(metrics["golden_difference"], abs=1e-6)
    assert 0.8 <= metrics["balanced_accuracy"] < 0.99 and metrics["held_out_windows"] == 256
    # The head of this model makes small differences large: that is what the budget is for.
    _, refused = made(small, "bf16")
    assert "held-out people" in refused["bf16"] and "budget is 0.0100" in refused["bf16"]
