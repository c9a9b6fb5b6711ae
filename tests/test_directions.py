"""Every direction: from any model to any other a bridge is trained, exported and proven."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_all import some
from fixtures_models import SMALL
from torch import Tensor

from bioxedge import models
from bioxedge.bridging import PrototypeBridge
from bioxedge.bridging.features import Features
from bioxedge.bridging.head import Head
from bioxedge.bridging.runner import Runner
from bioxedge.bridging.train import Training, train_bridge
from bioxedge.errors import ModelError
from bioxedge.exporting.onnx import to_onnx
from bioxedge.exporting.parity import answers, prove
from bioxedge.exporting.splice import BridgedModel
from bioxedge.models.chain import Chain
from bioxedge.onnxfile import inspect

pytestmark = pytest.mark.train

PAIRS = 4
TARGETS = [name for name in SMALL if models.card(name).target]
EVERY = [(source, target) for target in TARGETS for source in SMALL if source != target]
# Each half is the same whatever the other is: by default pairs in which each model serves on every
# side that it can.
DIRECTIONS = some(EVERY, 5)


@dataclass(frozen=True)
class Looked:
    """A frozen model, its windows, and what it made of them."""

    chain: Chain
    windows: Tensor
    features: Features


@cache
def looked(name: str) -> Looked:
    options, samples = SMALL[name]
    torch.manual_seed(0)
    chain = models.create(name, **options).freeze()
    generator = torch.Generator().manual_seed(sorted(SMALL).index(name))
    size = 30.0 if models.card(name).contract.unit == "uV" else 1.0
    windows = size * torch.randn(PAIRS, chain.channels, samples, generator=generator)
    return Looked(chain, windows, Runner().features(chain, windows, tokens=[len(chain)]))


@pytest.mark.parametrize(("source", "target"), DIRECTIONS, ids=[f"{s}-{t}" for s, t in DIRECTIONS])
def test_a_direction_is_bridged_trained_exported_and_proven(source: str, target: str) -> None:
    for name in (source, target):
        if name == "openecg" and find_spec("openecg") is None:
            pytest.skip("openecg is not installed (it wants Python >= 3.11)")
    one, other = looked(source), looked(target)
    i, j = len(one.chain) - 1, len(other.chain) // 2
    tokens, features = other.chain.cut(j, other.windows.shape[2])
    pooled, last = one.features.pooled[i], other.features.tokens[len(other.chain)]
    rows, places = torch.arange(4) % PAIRS, torch.arange(4) % tokens
    bridge = PrototypeBridge(
        pooled.shape[1],
        features,
        tokens,
        rank=2,
        prototypes=Runner().tokens(other.chain, j, other.windows, rows, places),
        standardise=(pooled.mean(0), pooled.std(0)),
        b_std=1e-2,
        seed=0,
    )
    fresh = copy.deepcopy(bridge)
    training = Training(loss="centred_cosine", over="tokens", epochs=1, batch=PAIRS)
    course = train_bridge(bridge, other.chain[j:], pooled, last, training, seed=0)
    assert len(course.losses) == 1 and np.isfinite(course.losses[0])
    assert not torch.equal(bridge.B, fresh.B) and not torch.equal(bridge.A, fresh.A)

    head = Head(other.chain.cut(len(other.chain), other.windows.shape[2]).features, 3)
    model = BridgedModel(one.chain[:i], bridge, other.chain[j:], head)
    windows = one.windows.numpy()
    raw = to_onnx(model, *windows.shape[1:])
    facts = inspect(raw)
    assert facts.opset == 18 and facts.ir <= 10
    prove(raw, answers(model, windows), windows)  # raises where they differ


def test_each_model_serves_on_every_side_that_it_can() -> None:
    assert {source for source, _ in DIRECTIONS} == set(SMALL)
    assert {target for _, target in DIRECTIONS} == set(TARGETS)


@pytest.mark.parametrize("source", SMALL)
def test_ecg_dualnet_is_no_target_for_any_source(source: str) -> None:
    options, _ = SMALL["ecg_dualnet"]
    chain = models.create("ecg_dualnet", **options)
    with pytest.raises(ModelError, match="every block is conditioned on the raw ECG"):
        chain[2:]
