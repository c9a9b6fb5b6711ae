"""The bridge: its formula, its size, its start, and its folding."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from safetensors.torch import load_file

from bioxedge.bridging import PrototypeBridge, TokenMean
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train

# source features, target features, tokens, rank, prototypes, published parameters
PUBLISHED = {
    "WESAD PPG to ECG": (512, 128, 235, 32, 50, 398_784),
    "WESAD ECG to PPG": (64, 512, 93, 8, 150, 188_912),
    "ISRUC EEG to ECG": (512, 200, 181, 32, 300, 1_813_984),
    "ISRUC ECG to EEG": (200, 512, 46, 4, 200, 140_000),
    "FOG EEG to EMG": (768, 200, 19, 256, 200, 1_209_408),
    "FOG EMG to EEG": (200, 768, 1680, 8, 50, 712_000),
}


def trained(bridge) -> int:
    return sum(parameter.numel() for parameter in bridge.parameters())


def busy(**options) -> PrototypeBridge:
    return PrototypeBridge(6, 4, 5, 3, 7, b_std=1.0, seed=0, **options)


@pytest.mark.parametrize("direction", PUBLISHED)
def test_parameters_are_as_published(direction):
    *sizes, published = PUBLISHED[direction]
    assert PrototypeBridge.parameters_count(*sizes) == published
    bridge = PrototypeBridge(*sizes)
    assert trained(bridge) == published
    assert bridge(torch.zeros(1, sizes[0])).shape == (1, sizes[2], sizes[1])


@pytest.mark.shared
def test_golden_output(shared: Path):
    golden = load_file(shared / "golden" / "bridge.safetensors")
    prototypes = golden["prototypes"].T.contiguous()  # ours are rows
    bridge = PrototypeBridge(64, 24, 13, 5, prototypes)
    bridge.load_state_dict({"A": golden["A"], "B": golden["B"], "prototypes": prototypes})
    expected = golden["output"].transpose(1, 2)
    off = (bridge(golden["input"]) - expected).abs().max() / expected.abs().max()
    assert off < 1e-6


def test_each_token_is_a_weighted_sum_of_prototypes():
    bridge, z = busy(), torch.randn(2, 6)
    weights = (z @ bridge.A.T @ bridge.B.T).view(2, 7, 5)
    for n in range(5):
        token = sum(weights[:, p, n, None] * bridge.prototypes[p] for p in range(7))
        assert torch.allclose(bridge(z)[:, n], token, atol=1e-5)


def test_starts_at_zero_unless_told_otherwise():
    z = torch.randn(2, 6)
    assert not PrototypeBridge(6, 4, 5, 3, 7)(z).any()
    small = PrototypeBridge(6, 4, 5, 3, 400, b_std=1e-3)
    assert small.B.std().item() == pytest.approx(1e-3, rel=0.1)
    bound = 1 / 6**0.5  # Kaiming-uniform with a = sqrt(5)
    assert small.A.abs().max() <= bound
    assert small.prototypes.std().item() == pytest.approx(1, rel=0.1)


def test_cosine_loss_has_a_gradient_where_the_bridge_feeds_it():
    target, z = torch.randn(8, 20), torch.randn(8, 6)
    bridge = PrototypeBridge(6, 4, 5, 3, 7, b_std=1e-3, seed=1)
    loss = 1 - torch.nn.functional.cosine_similarity(bridge(z).flatten(1), target).mean()
    loss.backward()
    assert 0 < bridge.B.grad.norm() < 1e5


def test_seed_decides_everything_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two, other = busy(), busy(), PrototypeBridge(6, 4, 5, 3, 7, b_std=1.0, seed=1)
    busy().fold()
    assert torch.equal(state, torch.get_rng_state())
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_real_activations_can_be_the_prototypes():
    real = torch.randn(7, 4)
    bridge = PrototypeBridge(6, 4, 5, 3, real)
    assert torch.equal(bridge.prototypes, real)
    with torch.no_grad():
        bridge.prototypes.zero_()
    assert real.any()  # a copy
    assert trained(bridge) == PrototypeBridge.parameters_count(6, 4, 5, 3, 7)


def test_standardisation_is_fixed_and_folds_away():
    z = 5 + torch.randn(50, 6) * torch.tensor([0.01, 0.1, 1, 3, 9, 0])
    bridge = busy(standardise=(z.mean(0), z.std(0, unbiased=False)))
    plain = busy()
    varied = z.std(0) > 0
    scaled = (z - z.mean(0)) / torch.where(varied, z.std(0, unbiased=False), 1.0)
    assert torch.allclose(bridge(z), plain(scaled), atol=1e-4)
    folded = bridge.fold()
    assert folded.mean is None
    assert folded.std is None
    off = (folded(z) - bridge(z)).abs().max() / bridge(z).abs().max()
    assert off < 1e-4
    assert trained(folded) == trained(bridge) == PrototypeBridge.parameters_count(6, 4, 5, 3, 7)
    again = folded.fold()
    assert torch.equal(again(z), folded(z))
    assert torch.equal(plain.fold()(z), plain(z))


def test_one_token_leads_straight_to_a_head():
    assert PrototypeBridge(6, 4, 1, 3, 7)(torch.zeros(2, 6)).shape == (2, 1, 4)


def test_pooling_takes_every_token():
    h = torch.randn(2, 5, 3)
    assert torch.equal(TokenMean()(h), h.mean(dim=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_features": 0}, "in_features is 0"),
        ({"tokens": 0}, "tokens is 0"),
        ({"rank": -1}, "rank is -1"),
        ({"prototypes": 0}, "prototypes is 0"),
        ({"prototypes": torch.zeros(7, 3)}, r"prototypes are \[7, 3\]: give \[number, 4\]"),
        ({"b_std": -1.0}, "b_std is -1.0"),
        ({"standardise": (torch.zeros(5), torch.ones(6))}, r"shapes \[5\] and \[6\]"),
        ({"standardise": (torch.zeros(6), -torch.ones(6))}, "std below 0"),
    ],
)
def test_what_makes_no_bridge_is_refused(change, message):
    sizes = {"in_features": 6, "out_features": 4, "tokens": 5, "rank": 3, "prototypes": 7}
    with pytest.raises(ModelError, match=message):
        PrototypeBridge(**(sizes | change))


def test_an_unpooled_input_is_refused():
    with pytest.raises(ModelError, match="TokenMean"):
        busy()(torch.zeros(2, 9, 6))
