"""Clean-up of exported graphs: which forms it leaves, and what it changes in the answers."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import onnx
from torch import nn
from torch.nn import functional

from bioxedge.exporting import cleanup
from bioxedge.exporting import onnx as exporting
from bioxedge.onnxfile import inspect

pytestmark = pytest.mark.train


class Model(nn.Module):
    """Convolutions with what stands between them, then attention and a feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 8, 5, stride=2, padding=2)
        self.second = nn.Conv1d(8, 16, 3, padding=1, groups=2, dilation=1)
        self.norm1 = nn.BatchNorm1d(8)
        self.out = nn.Linear(16, 16)
        self.qkv = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(2))
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.norm1(self.first(x))
        pooled = functional.max_pool1d(functional.pad(seen.relu(), (0, 1)), 2)
        waves = functional.pad(self.second(pooled), (1, 1)) * 0.5
        t = waves.transpose(1, 2)
        q, k, v = (p(t).view(1, -1, 4, 4).transpose(1, 2) for p in self.qkv)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, -1, 16)
        t = self.norms[0](t + self.out(mixed))
        t = self.norms[1](t + self.down(functional.gelu(self.up(t))))
        return self.head(t.mean(dim=1)).softmax(dim=1)


@pytest.fixture(scope="module")
def plain() -> bytes:
    """The graph as the exporter writes it."""
    torch.manual_seed(0)
    model = Model()
    model(torch.randn(4, 1, 64)[:1])  # norms that have seen something
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "clean", lambda raw: raw)
        return exporting.to_onnx(model.eval(), 1, 64)


def answered(raw: bytes, *, optimised: bool) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    windows = np.random.default_rng(0).standard_normal((8, 1, 1, 64)).astype(np.float32)
    return np.concatenate([session.run(None, {"window": window})[0] for window in windows])


def kinds(raw: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(raw).graph.node]


@pytest.mark.parametrize("one", ["gelu", "keys", "pads", "sums"])
def test_a_rewrite_that_says_so_is_equal_to_the_last_bit(plain, one) -> None:
    cleaned = cleanup.clean(plain, [getattr(cleanup, one)])
    assert cleaned != cleanup.clean(plain, [])
    assert (answered(cleaned, optimised=False) == answered(plain, optimised=False)).all()


def test_all_of_them_change_answers_by_rounding_only(plain) -> None:
    cleaned = cleanup.clean(plain)
    onnx.checker.check_model(onnx.load_from_string(cleaned), full_check=True)
    for optimised in (False, True):
        off = answered(cleaned, optimised=optimised) - answered(plain, optimised=optimised)
        assert np.abs(off).max() <= 1e-6
    assert inspect(cleaned) == inspect(plain)


def test_the_forms_that_are_left_are_those_that_run_faster(plain) -> None:
    before, after = kinds(plain), kinds(cleanup.clean(plain))
    assert before.count("Transpose") - after.count("Transpose") == 1
    assert before.count("Pad") - after.count("Pad") == 1  # the pooling never reached it
    assert after.count("Sum") == 2  # before the norms
    graph = onnx.load_from_string(cleanup.clean(plain)).graph
    weights = {one.name: len(one.dims) for one in graph.initializer}
    ranks = {weights[node.input[1]] for node in graph.node if node.op_type == "Conv"}
    assert ranks == {4}


def test_a_clean_graph_stays_as_it_is(plain) -> None:
    once = cleanup.clean(plain)
    assert kinds(cleanup.clean(once)) == kinds(once)


def test_a_pad_that_a_pooling_reads_stays() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.max_pool1d(functional.pad(x - 9, (0, 1)), 2)[:, 0]

    raw = exporting.to_onnx(Odd().eval(), 1, 63)
    assert "Pad" in kinds(raw)
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    assert session.run(None, {"window": np.zeros((1, 1, 63), np.float32)})[0][0, -1] == 0
