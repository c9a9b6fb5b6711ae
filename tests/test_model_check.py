"""What every chain must hold, tried on those that do not: each fault is said in words."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch import nn

from bioxedge import models
from bioxedge.errors import ModelError
from bioxedge.models.chain import FEATURES_FIRST, Chain, Layout
from bioxedge.models.checking import Checked

pytestmark = pytest.mark.train


class Plain(nn.Module):
    def __init__(self, act: Any = torch.relu) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.act = act

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(h))


class AcrossTheBatch(Plain):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return super().forward(h) - h.mean(0, keepdim=True)


class AlwaysDrops(Plain):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(h), 0.5, training=True)


class Remembers(Plain):
    def __init__(self, seen: dict[str, torch.Tensor], write: bool) -> None:
        super().__init__()
        self.seen, self.write = seen, write

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        if self.write:
            self.seen["h"] = h
        return super().forward(h) if self.write else super().forward(h) + self.seen["h"].mean()


class Idle(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.ones(3))


class Counts(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return super().forward(h)


class Stops(Plain):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return super().forward(h.detach())


class Unwritable(Plain):
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(super().forward(h))


def checked(*blocks: nn.Module) -> Checked:
    stem = nn.Conv1d(1, 4, 3, padding=1)
    chain = models.chain_of(stem, blocks, samples=64, layout=FEATURES_FIRST)
    return models.check(chain, samples=64, export=isinstance(blocks[-1], Unwritable))


def test_a_sound_chain_holds_and_is_left_as_it_was() -> None:
    chain = models.chain_of(
        nn.Conv1d(1, 4, 3), [Plain(), Plain()], samples=64, layout=FEATURES_FIRST
    )
    before = {key: value.clone() for key, value in chain.state_dict().items()}
    state = torch.random.get_rng_state()
    found = models.check(chain, samples=64)
    assert found.ok and found.lines()[-1] == "PASS" and len(found.held) == 8
    assert chain.training and not chain.frozen
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in chain.state_dict().items())


def twice_one_weight() -> tuple[nn.Module, nn.Module]:
    one, two = Plain(), Plain()
    two.conv.weight = one.conv.weight
    return one, two


def reading_each_other() -> tuple[nn.Module, nn.Module, nn.Module]:
    seen: dict[str, torch.Tensor] = {}
    return Plain(), Remembers(seen, True), Remembers(seen, False)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (lambda: (Plain(), AcrossTheBatch()), "a window alone differs from the same one in a b"),
        (lambda: (Plain(), AlwaysDrops()), "answers twice with different values: dropout"),
        (reading_each_other, r"chain\[2:\] on cut 2 is not the whole"),
        (lambda: (Plain(), Idle()), r"no gradient reaches blocks\.1\.spare"),
        (lambda: (Plain(), Counts()), r"a pass changes blocks\.1\.passes though it is frozen"),
        (lambda: (Plain(), Stops()), "gradient"),
        (lambda: (Plain(), Plain(lambda h: h / 0)), "cut 2 is not finite"),
        (lambda: (Plain(), Plain(lambda h: 0 * h)), "no gradient arrives at cut 0"),
        (twice_one_weight, "one tensor under several names"),
        (lambda: (Plain(), Unwritable()), "it exports to ONNX .* cannot be tried"),
    ],
)
def test_what_does_not_hold_is_said_in_words(blocks: Any, message: str) -> None:
    found = checked(*blocks())
    assert not found.ok and found.lines()[-1] == "FAIL"
    assert any(re.search(message, fault) for fault in found.faults), found.faults
    assert all("\n" not in fault for fault in found.faults)


def test_declared_cuts_are_held_to_what_runs() -> None:
    class Wrong:
        channels, blocks = 1, 1

        def tokens(self, k: int, samples: int) -> int:
            return samples - k

        def features(self, k: int) -> int:
            return 4

    chain = Chain(nn.Conv1d(1, 4, 1), [Plain()], config=Wrong(), layout=FEATURES_FIRST)
    found = models.check(chain, samples=64, export=False)
    assert "cut 1 is [2, 64, 4], declared was [2, 63, 4]: correct its config" in found.faults


def test_a_chain_without_tails_is_checked_as_a_source() -> None:
    class Tailless(Layout):
        def tailless(self) -> str:
            return "its blocks read the signal"

    stem = nn.Sequential(nn.Flatten(2), nn.Linear(64, 4))
    chain = models.chain_of(stem, [nn.Linear(4, 4)], samples=64, layout=Tailless())
    found = models.check(chain, samples=64, export=False)
    assert found.ok and len(found.held) == 5


@pytest.mark.parametrize(
    ("stem", "blocks", "message"),
    [
        (nn.Conv1d(2, 4, 3), [Plain()], "2 windows of 1 channels and 64 samples do not pass the s"),
        (nn.Conv1d(1, 4, 99), [Plain()], "do not pass the stem: RuntimeError"),
        (nn.Conv1d(1, 3, 3), [Plain()], "do not pass block 0"),
        (nn.Conv1d(1, 4, 3), [nn.Flatten()], "do not pass block 0|leave block 0 as"),
        (nn.Conv1d(1, 4, 3), [nn.LSTM(62, 62)], "do not pass block 0"),
        (nn.Conv1d(1, 4, 3), [], "a chain without blocks cannot be cut"),
    ],
)
def test_modules_that_do_not_fit_are_refused(stem: nn.Module, blocks: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        models.chain_of(stem, blocks, samples=64, layout=FEATURES_FIRST)
    assert "\n" not in str(caught.value)


def test_features_that_follow_the_length_are_refused() -> None:
    class Transposed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    chain = models.chain_of(Transposed(), [Transposed()], samples=64)
    with pytest.raises(ModelError, match="features must not depend on the length"):
        chain.cut(0, 65)


def test_a_measured_slice_holds_no_weights_but_its_own() -> None:
    chain = models.chain_of(nn.Conv1d(1, 4, 3), [Plain()], samples=64, layout=FEATURES_FIRST)
    hollow = chain.config._hollow
    assert all(tensor.is_meta for tensor in (*hollow.parameters(), *hollow.buffers()))
    with torch.device("meta"):
        shape = models.chain_of(nn.Conv1d(1, 4, 3), [Plain()], samples=64, layout=FEATURES_FIRST)
    assert shape.cut(1, 70) == chain.cut(1, 70) == (68, 4)
