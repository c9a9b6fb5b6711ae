"""Exporting: one static graph that holds what it needs, and is proven before it is written."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import onnx
import onnxruntime
from torch import Tensor, nn

from bioxedge import models
from bioxedge.bridging import PrototypeBridge
from bioxedge.bridging.head import Head
from bioxedge.errors import ExportError, ModelError
from bioxedge.exporting.onnx import to_onnx
from bioxedge.exporting.parity import TOLERANCE, answers, prove
from bioxedge.exporting.splice import BridgedModel
from bioxedge.models.chain import Chain
from bioxedge.onnxfile import inspect

pytestmark = pytest.mark.train

SAMPLES = 320
CUTS = ((4, 0), (2, 1), (0, 2))  # nothing is left out, half of it, all blocks


@dataclass(frozen=True)
class Parts:
    """What a bridged model is spliced from, and what comes out."""

    source: Chain
    target: Chain
    bridge: PrototypeBridge
    head: Head
    model: BridgedModel


# Where the code lies here, which is nobody else's business.
HOME = str(Path(__file__).resolve().parent.parent).encode()


def stirred(module: nn.Module) -> nn.Module:
    """Make every weight and statistic a number of its own: equal tensors are stored once."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                noise = 0.3 * torch.randn(value.shape, generator=generator)
                value.copy_(noise.exp() if "var" in name else value + noise)
    return module


def parts(i: int, j: int) -> Parts:
    torch.manual_seed(0)
    source = models.create("papagei", base_filters=4, blocks=4)
    target = models.create("ecg_transformer", width=16, blocks=2, heads=2, samples=256, patch=16)
    stirred(source).freeze(), stirred(target).freeze()
    (_, inner), (tokens, outer) = source.cut(i, SAMPLES), target.cut(j, 256)
    spread = torch.linspace(-1, 1, inner), torch.linspace(0.5, 2, inner)
    bridge = PrototypeBridge(inner, outer, tokens, 2, 4, standardise=spread, b_std=0.5, seed=1)
    head = Head(outer, 3)
    return Parts(source, target, bridge, head, BridgedModel(source[:i], bridge, target[j:], head))


def windows(count: int = 6) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(count, 1, SAMPLES)).astype(np.float32)


@pytest.fixture(scope="module")
def exported() -> dict[tuple[int, int], tuple[Parts, bytes]]:
    found = {}
    for cuts in CUTS:
        made = parts(*cuts)
        found[cuts] = (made, to_onnx(made.model, 1, SAMPLES))
    return found


# -- the spliced model ----------------------------------------------------------------------


@pytest.mark.parametrize("cuts", CUTS)
@torch.no_grad()
def test_the_model_is_its_parts_one_after_the_other(cuts: tuple[int, int]) -> None:
    i, j = cuts
    made = parts(i, j)
    x = torch.from_numpy(windows())
    pooled = made.source[:i](x).mean(1)
    tokens: Tensor = made.target[j:](made.bridge(pooled))
    by_hand = made.head.linear(tokens.mean(1)).softmax(1)
    found = made.model(x)
    torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(len(x)))
    assert found.std(0).max() > 1e-4  # windows are told apart


def test_the_model_is_frozen_and_has_no_hooks() -> None:
    model = parts(2, 1).model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_splicing_leaves_the_trained_bridge_as_it_was() -> None:
    made = parts(2, 1)
    assert made.bridge.mean is not None and made.bridge.offset is None
    assert made.model.bridge.mean is None and made.model.bridge.offset is not None
    assert all(parameter.requires_grad for parameter in made.bridge.parameters())


@torch.no_grad()
def test_a_temperature_divides_the_logits_of_the_model_alone() -> None:
    made = parts(2, 1)
    before = made.head.linear.weight.clone()
    x = torch.from_numpy(windows())
    cool = BridgedModel(made.source[:2], made.bridge, made.target[1:], made.head, temperature=2.5)
    torch.testing.assert_close(cool(x), (made.model(x).log() / 2.5).softmax(1))
    assert torch.equal(made.head.linear.weight, before)


@torch.no_grad()
def test_a_bias_is_added_after_the_temperature_and_reaches_the_graph() -> None:
    made = parts(2, 1)
    before = made.head.linear.bias.clone()
    x = torch.from_numpy(windows())
    heat, bias = 2.5, (0.7, -1.0, 0.3)
    calibrated = BridgedModel(
        made.source[:2], made.bridge, made.target[1:], made.head, temperature=heat, bias=bias
    )
    wanted = (made.model(x).log() / heat + torch.tensor(bias)).softmax(1)
    torch.testing.assert_close(calibrated(x), wanted)
    assert torch.equal(made.head.linear.bias, before)
    prove(to_onnx(calibrated, 1, SAMPLES), wanted.numpy(), windows())


def test_parts_that_do_not_fit_are_refused() -> None:
    made = parts(2, 1)
    with pytest.raises(ModelError, match="slice it as source"):
        BridgedModel(made.source[0:2], made.bridge, made.target[1:], made.head)
    with pytest.raises(ModelError, match="slice the target as target"):
        BridgedModel(made.source[:2], made.bridge, made.target, made.head)
    with pytest.raises(ModelError, match="2 biases do not fit a head of 3 classes"):
        BridgedModel(made.source[:2], made.bridge, made.target[1:], made.head, bias=(0.5, -0.5))
    other = PrototypeBridge(4, 8, 16, 2, 4)
    with pytest.raises(ModelError, match="gives 8 features, cut 1 of ecg_transformer has 16"):
        BridgedModel(made.source[:2], other, made.target[1:], made.head)


# -- the graph ------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", CUTS)
def test_the_graph_answers_as_the_model_does(exported, cuts: tuple[int, int]) -> None:
    made, raw = exported[cuts]
    wanted = answers(made.model, windows())
    assert prove(raw, wanted, windows()) <= 1e-5 < TOLERANCE == 1e-4


@pytest.mark.parametrize("cuts", CUTS)
def test_the_graph_is_static_and_of_a_version_that_devices_read(exported, cuts) -> None:
    _, raw = exported[cuts]
    facts = inspect(raw)
    assert facts.opset == 18 and facts.ir <= 10
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    (into,), (out,) = session.get_inputs(), session.get_outputs()
    assert (into.name, into.shape, into.type) == ("window", [1, 1, SAMPLES], "tensor(float)")
    assert (out.name, out.shape, out.type) == ("probabilities", [1, 3], "tensor(float)")
    graph = onnx.load_from_string(raw).graph
    assert not any(tensor.external_data for tensor in graph.initializer)
    for value in graph.value_info:
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim), value.name


def needed(made: Parts) -> int:
    """Count the floats that the spliced model needs.

    A norm right behind a convolution becomes part of it: weight, bias, mean and variance go.
    """
    model = made.model
    tensors = (*model.parameters(), *(b for b in model.buffers() if b.is_floating_point()))
    folded = sum(
        4 * module.num_features
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm1d) and name.endswith(("stem.norm", "norm2"))
    )
    return sum(tensor.numel() for tensor in tensors) - folded


@pytest.mark.parametrize("cuts", CUTS)
def test_the_graph_holds_what_it_needs_and_no_more(exported, cuts: tuple[int, int]) -> None:
    made, raw = exported[cuts]
    # Attention's scale and the three constants of a GELU are all that may come on top.
    constants = 4 if cuts[1] < 2 else 0
    assert needed(made) <= inspect(raw).parameters <= needed(made) + constants


@pytest.mark.parametrize("cuts", CUTS)
def test_blocks_beyond_the_cuts_exist_nowhere_in_the_file(exported, cuts: tuple[int, int]) -> None:
    i, j = cuts
    made, raw = exported[cuts]

    def inside(module: nn.Module) -> list[bool]:
        # As stored or transposed; short tensors could be there by chance.
        return [
            p.numpy().tobytes() in raw or p.numpy().T.tobytes() in raw
            for p in module.parameters()
            if p.numel() >= 16
        ]

    unused = [*made.source.blocks[i:], *made.target.blocks[:j], made.target.stem]
    assert not any(found for module in unused for found in inside(module))
    used = list(made.target.blocks[j:])
    assert all(found for module in used for found in inside(module))
    assert made.bridge.B.detach().numpy().tobytes() in raw


def test_what_is_left_out_makes_the_file_smaller(exported) -> None:
    sizes = [len(exported[cuts][1]) for cuts in CUTS]
    counts = [inspect(exported[cuts][1]).parameters for cuts in CUTS]
    assert sizes == sorted(sizes, reverse=True) and counts == sorted(counts, reverse=True)
    assert sizes[-1] < 0.25 * sizes[0]


def test_the_file_says_nothing_of_this_machine(exported) -> None:
    assert not any(HOME in raw or b".py" in raw for _, raw in exported.values())


def test_the_same_model_gives_the_same_bytes(exported) -> None:
    assert to_onnx(parts(0, 2).model, 1, SAMPLES) == exported[0, 2][1]


class Odd(nn.Module):
    """Does what no exporter can follow."""

    def forward(self, window: Tensor) -> Tensor:
        return window.new_tensor(window.tolist())


def test_what_cannot_be_exported_is_one_line() -> None:
    with pytest.raises(ExportError, match="the model cannot be exported") as error:
        to_onnx(Odd().eval(), 1, 4)
    assert "\n" not in str(error.value)


# -- the proof ------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [2e-4, -2e-4, 0.5, float("nan")])
def test_an_answer_that_is_off_is_no_proof(exported, off: float) -> None:
    made, raw = exported[0, 2]
    wanted = answers(made.model, windows())
    wanted[3, 1] += off
    with pytest.raises(ExportError, match="nothing was written") as error:
        prove(raw, wanted, windows())
    assert "\n" not in str(error.value)


def test_a_difference_within_the_tolerance_is_stated(exported) -> None:
    made, raw = exported[0, 2]
    wanted = answers(made.model, windows())
    wanted[3, 1] += 5e-5
    assert prove(raw, wanted, windows()) == pytest.approx(5e-5, rel=0.02)
