"""What is trained: only what should be, to the same bits however often it is stopped."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import copy
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_all import some
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor, nn
from torch.nn import functional as F

from bioxedge import models
from bioxedge.bridging import PrototypeBridge, TokenMean, loop
from bioxedge.bridging.augment import STRETCH, Targets, disturb, draw_factors, standardise, stretch
from bioxedge.bridging.baselines import Student, distil, last_tokens
from bioxedge.bridging.compute import Compute, has_bf16
from bioxedge.bridging.evaluate import bootstrap, score
from bioxedge.bridging.head import Head, train_head
from bioxedge.bridging.loop import HeldOut, fit
from bioxedge.bridging.losses import LOSSES, Pairs, distance
from bioxedge.bridging.packed import packed
from bioxedge.bridging.pretrain import pretrain
from bioxedge.bridging.runner import Runner
from bioxedge.bridging.train import Training, train_bridge, trained_parameters
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train

quick = settings(max_examples=40, deadline=None, database=None, derandomize=True)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Equal weights and buffers, to the last bit."""
    mine, others = one.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[key], others[key]) for key in mine)


def pulses(count: int, samples: int = 320, rate: float = 64.0) -> Tensor:
    """Beats of 50 to 120 a minute, in noise: windows [count, 1, samples]."""
    hertz = 0.8 + 1.2 * torch.rand(count, 1, 1, generator=rng())
    phase = torch.rand(count, 1, 1, generator=rng(1))
    wave = torch.sin(2 * math.pi * (hertz * torch.arange(samples) / rate + phase)) ** 3
    return standardise(wave + 0.2 * torch.randn(wave.shape, generator=rng(2)))


def papagei(**options: int):
    torch.manual_seed(3)
    return models.create("papagei", **{"base_filters": 4, "blocks": 4, **options})


def transformer(**options: float):
    torch.manual_seed(4)
    size = {"samples": 320, "width": 16, "blocks": 2, "heads": 2}
    return models.create("ecg_transformer", **{**size, **options})


def last_of(chain, windows: Tensor) -> Tensor:
    """Give the last block's tokens."""
    return Runner().features(chain, windows, tokens=[len(chain)]).tokens[len(chain)]


# -- the loop -------------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for a crash: what was kept on disk is all that is left."""


X = torch.randn(37, 6, generator=rng())
Y = X @ torch.randn(6, 2, generator=rng(1))


class Net(nn.Module):
    """Batch norm has buffers to keep, dropout draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def net() -> Net:
    torch.manual_seed(0)
    return Net().train()


def train(module: Net, *, stop: int | None = None, **options) -> list[float]:
    """Fit the net to a line, disturbed by the epoch's random numbers; stop in an epoch."""
    calls = 0

    def loss(indices: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise StoppedError
        noisy = X[indices] + 0.1 * torch.randn(X[indices].shape, generator=generator)
        return (module(noisy) - Y[indices]).square().mean()

    wanted = {"epochs": 5, "batch": 8, "rate": 1e-2, "seed": 7, "decay": 1e-3}
    return fit(module, loss, len(X), **{**wanted, **options})


def test_training_learns_and_says_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    history = train(net(), report=lambda done, total: told.append((done, total)))
    assert len(history) == 5 and history[-1] < 0.7 * history[0]
    assert told == [*((done, 25) for done in range(26)), (25, 25)]  # five batches an epoch


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before() -> None:
    one, other, third = net(), net(), net()
    torch.manual_seed(1)
    history = train(one)
    torch.manual_seed(2)
    assert train(other) == history and same(one, other)
    assert train(third, seed=8) != history and not same(one, third)


def test_training_leaves_the_global_generator_alone() -> None:
    module = net()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(module)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("stop", [1, 2, 6, 12, 15, 16, 23])  # five batches an epoch
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    state = tmp_path / "run.state"
    whole = net()
    history = train(whole)
    with pytest.raises(StoppedError):
        train(net(), stop=stop, state=state)
    assert state.exists() == (stop > 1)
    told: list[int] = []
    torch.manual_seed(99)  # another process, another state of the global generator
    resumed = Net().train() if state.exists() else net()
    resumed_history = train(resumed, state=state, report=lambda done, _: told.append(done))
    assert resumed_history == history
    assert told[0] == stop - 1  # within an epoch, too
    assert same(resumed, whole)
    assert not list(tmp_path.iterdir())


def test_a_state_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    state = tmp_path / "run.state"
    written = torch.save

    def crash(values, path) -> None:
        written(values, path)
        if state.exists():
            raise StoppedError

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(StoppedError):
        train(net(), state=state)
    assert torch.load(state, weights_only=True)["at"]["step"] == 1


@pytest.mark.parametrize("batch", [1, 36, 37, 100])
def test_any_batch_size_trains(batch: int) -> None:
    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        return (module(X[indices]) - Y[indices]).square().mean()

    torch.manual_seed(0)
    module = nn.Linear(6, 2)
    history = fit(module, loss, len(X), epochs=3, batch=batch, rate=1e-2, seed=0)
    assert history[0] > history[-1] > 0


def test_early_stopping_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    judged = [3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 0.5]  # patience ends it after the sixth epoch

    def run(module: Net, watch: HeldOut, **options) -> list[float]:
        return train(module, epochs=7, held_out=watch, **options)

    def watch(done: int = 0) -> HeldOut:
        left = iter(judged[done:])
        return HeldOut(lambda: next(left), patience=2)

    whole, first = net(), watch()
    history = run(whole, first)
    assert first.losses == judged[:6] and first.best == 3 and len(history) == 6
    with pytest.raises(StoppedError):
        run(net(), watch(), stop=28, state=tmp_path / "s")  # in the sixth epoch
    resumed, second = Net().train(), watch(5)
    assert run(resumed, second, state=tmp_path / "s") == history
    assert (second.losses, second.best) == (first.losses, first.best)
    assert same(resumed, whole)
    best = net()
    train(best, epochs=7, stop=None, held_out=HeldOut(lambda: 0.0, patience=7))
    assert not same(best, whole)  # what was kept is the best epoch's, whichever it was


SLOW = """
import sys, time, torch
from pathlib import Path
from bioxedge.bridging import loop
from bioxedge.bridging.loop import fit

loop._SAVE_EVERY = 0
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 2))
X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
wait = float(sys.argv[2])

def loss(indices, generator):
    time.sleep(wait)
    noisy = X[indices] + 0.1 * torch.randn(X[indices].shape, generator=generator)
    return (module(noisy) - X[indices, :2]).square().mean()

def report(done, total):
    print(done, flush=True)

fit(module, loss, 64, epochs=4, batch=8, rate=1e-2, seed=3, state=Path(sys.argv[1]), report=report)
print(b"".join(p.detach().numpy().tobytes() for p in module.parameters()).hex())
"""


def slow(state: Path, wait: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(state), str(wait)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a process says that nobody ended."""
    state = tmp_path_factory.mktemp("whole") / "state"
    return slow(state, 0).communicate(timeout=60)[0].split()


# What is killed in any step goes on, too: test_kills.
@pytest.mark.parametrize("number", some([signal.SIGINT, signal.SIGKILL]))
def test_a_process_that_was_ended_goes_on_to_the_same_bits(
    tmp_path: Path, whole: list[str], number: int
) -> None:
    stopped = slow(tmp_path / "state", 0.05)
    assert stopped.stdout is not None
    for line in stopped.stdout:
        if int(line) == 11:  # in the second epoch
            stopped.send_signal(number)
            break
    _, error = stopped.communicate(timeout=60)
    assert stopped.returncode != 0 and ("KeyboardInterrupt" in error) == (number == signal.SIGINT)
    resumed = slow(tmp_path / "state", 0).communicate(timeout=60)[0].split()
    # Ctrl-C waits for the batch at hand and keeps it; a kill loses that one at the most.
    assert int(resumed[0]) in ((11, 12, 13) if number == signal.SIGINT else (10, 11, 12))
    assert resumed[-1] == whole[-1]


# -- losses ---------------------------------------------------------------------------------


def activations(seed: int) -> tuple[Tensor, Tensor, Pairs]:
    generator = rng(seed)
    wanted = torch.randn(9, 4, 5, generator=generator) + 3 * torch.randn(4, 5, generator=generator)
    predicted = torch.randn(9, 4, 5, generator=generator)
    return predicted, wanted, pairs_of(wanted)


def pairs_of(wanted: Tensor) -> Pairs:
    return Pairs.of(lambda rows: wanted[rows], torch.arange(len(wanted)))


def test_pairs_are_looked_at_in_parts_and_known_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(
        "bioxedge.bridging.losses._BYTES", 64 * 4 * 5 * 8
    )  # of 64 pairs, as float64
    wanted = 3 + torch.randn(150, 4, 5, generator=rng())
    read: list[int] = []
    found = Pairs.of(lambda rows: read.append(len(rows)) or wanted[rows], torch.arange(10, 150))
    assert max(read) == 64 and sum(read) == 2 * 140 + 1  # one more, for its size
    kept = wanted[10:]
    torch.testing.assert_close(found.mean, kept.mean(0))
    assert found.square == pytest.approx((kept - kept.mean(0)).square().mean().item())
    assert found.absolute == pytest.approx((kept - kept.mean(0)).abs().mean().item())


@quick
@given(seed=st.integers(0, 2**32), size=st.floats(0.01, 100.0))
def test_losses_keep_their_bounds(seed: int, size: float) -> None:
    predicted, wanted, pairs = activations(seed)
    for name in ("cosine", "centred_cosine"):
        assert -1e-6 <= distance(name)(size * predicted, wanted, pairs).item() <= 2 + 1e-6
        assert distance(name)(wanted, wanted, pairs).item() == pytest.approx(0, abs=1e-6)
    for name in ("mse", "mae"):
        assert distance(name)(wanted, wanted, pairs).item() == 0
        # The mean answer is what knows nothing of the window.
        assert distance(name)(pairs.mean.expand_as(wanted), wanted, pairs).item() == (
            pytest.approx(1, rel=1e-5)
        )


@quick
@given(seed=st.integers(0, 2**32), size=st.floats(0.1, 10.0))
def test_centred_cosine_does_not_see_a_common_offset(seed: int, size: float) -> None:
    predicted, wanted, pairs = activations(seed)
    offset = 10 * torch.randn(4, 5, generator=rng(seed))
    plain = distance("centred_cosine")(predicted + pairs.mean, wanted, pairs)
    other = Pairs(pairs.mean + offset)
    moved = distance("centred_cosine")(predicted + other.mean, wanted + offset, other)
    scaled = distance("centred_cosine")(size * predicted + pairs.mean, wanted, pairs)
    assert moved.item() == pytest.approx(plain.item(), abs=1e-4)
    assert scaled.item() == pytest.approx(plain.item(), abs=1e-5)
    # The published one does, which is why there are two.
    assert distance("cosine")(predicted + 50, wanted + 50, pairs).item() < 0.1


@quick
@given(seed=st.integers(0, 2**32), size=st.floats(0.1, 10.0))
def test_infonce_asks_which_window_it_was(seed: int, size: float) -> None:
    predicted, wanted, pairs = activations(seed)
    infonce = distance("infonce")
    right = infonce(size * (wanted - pairs.mean) + pairs.mean, wanted, pairs).item()
    assert 0 <= right < 0.2
    assert infonce(wanted.roll(1, 0), wanted, pairs).item() > 5  # each another's
    assert infonce(torch.zeros_like(wanted) + pairs.mean, wanted, pairs).item() == pytest.approx(
        math.log(9), rel=1e-4
    )
    order = torch.randperm(9, generator=rng(seed))
    assert infonce(predicted[order], wanted[order], pairs).item() == pytest.approx(
        infonce(predicted, wanted, pairs).item(), rel=1e-4
    )


def test_an_unknown_loss_names_those_there_are() -> None:
    with pytest.raises(ModelError, match="choose one of cosine, centred_cosine, mse, mae, infonce"):
        distance("huber")
    assert set(LOSSES) == {"cosine", "centred_cosine", "mse", "mae", "infonce"}


# -- disturbances ---------------------------------------------------------------------------


@quick
@given(seed=st.integers(0, 2**32), cycles=st.integers(1, 12))
def test_a_window_at_its_own_speed_is_only_turned(seed: int, cycles: int) -> None:
    angle = 2 * math.pi * cycles * torch.arange(200) / 200
    played = stretch(angle.sin()[None, None], torch.ones(1), rng(seed))
    # A turned sine has the same spectrum, up to what linear interpolation flattens.
    power = torch.fft.rfft(played[0, 0]).abs()
    assert power.argmax() == cycles
    assert power[cycles] == pytest.approx(100, rel=0.02)
    assert power.sum() - power[cycles] < 1


def test_a_turned_window_keeps_its_samples_in_order() -> None:
    ramp = torch.arange(100.0)[None, None]
    played = stretch(ramp, torch.ones(1), rng())[0, 0]
    steps = played.diff()
    assert (steps.isclose(torch.tensor(1.0), atol=1e-3)).sum() >= 97  # all but the seam


@quick
@given(seed=st.integers(0, 2**32), factor=st.floats(0.67, 1.5))
def test_a_sine_played_faster_is_higher(seed: int, factor: float) -> None:
    samples, hertz, rate = 640, 2.0, 64.0
    wave = torch.sin(2 * math.pi * hertz * torch.arange(samples) / rate)  # whole cycles: a ring
    played = stretch(wave.expand(1, 2, -1), torch.tensor([factor]), rng(seed))[0]
    assert torch.equal(played[0], played[1])  # all channels from the same place
    crossings = torch.nonzero(played[0].sign().diff()).flatten().float()
    cycles = (len(crossings) - 1) / 2
    seconds = (crossings[-1] - crossings[0]).item() / rate
    assert cycles / seconds == pytest.approx(hertz * factor, rel=0.03)


def test_disturbance_changes_shapes_and_not_times() -> None:
    windows = pulses(64, 640)
    disturbed = disturb(windows, 64.0, rng())
    assert disturbed.shape == windows.shape and not torch.allclose(disturbed, windows)
    pitch = [torch.fft.rfft(w).abs()[:, 0, 2:].argmax(1) for w in (windows, disturbed)]
    assert (pitch[0] == pitch[1]).float().mean() > 0.75
    assert torch.equal(disturb(windows, 64.0, rng()), disturbed)


@quick
@given(seed=st.integers(0, 2**32))
def test_factors_are_bounded_and_even(seed: int) -> None:
    factors = draw_factors(500, rng(seed))
    assert factors.min() >= 1 / STRETCH and factors.max() <= STRETCH
    assert abs(factors.log().mean().item()) < 0.06


def test_standardised_channels_have_no_mean_and_unit_deviation() -> None:
    windows = standardise(5 + 3 * torch.randn(4, 2, 100, generator=rng()))
    assert windows.mean(-1).abs().max() < 1e-5
    assert windows.std(-1, correction=0).sub(1).abs().max() < 1e-4
    assert standardise(torch.full((1, 1, 50), 7.0)).abs().max() == 0


RATES = Targets(torch.tensor([50.0, 70.0, 90.0]), 3, torch.tensor([60.0, 80.0]), rate=True)


def test_labels_follow_the_factor() -> None:
    everyone = torch.arange(3)
    assert RATES.of(everyone, torch.ones(3)).tolist() == [0, 1, 2]
    assert RATES.of(everyone, torch.full((3,), 1.3)).tolist() == [1, 2, 2]
    assert RATES.of(everyone, torch.full((3,), 0.7)).tolist() == [0, 0, 1]
    assert RATES.of(torch.tensor([2, 0]), torch.ones(2)).tolist() == [2, 0]
    still = Targets(RATES.values, 3, RATES.bounds, rate=False)
    assert still.of(everyone, torch.full((3,), 1.3)).tolist() == [0, 1, 2]
    assert torch.equal(still.factors(5, rng()), torch.ones(5))
    assert len(set(RATES.factors(5, rng()).tolist())) == 5


def test_a_value_on_a_bound_belongs_to_the_higher_band() -> None:
    on = Targets(torch.tensor([60.0, 80.0]), 3, torch.tensor([60.0, 80.0]))
    assert on.of(torch.arange(2), torch.ones(2)).tolist() == [1, 2]
    assert np.digitize([60.0, 80.0], [60.0, 80.0]).tolist() == [1, 2]  # as people are labelled


def test_weights_are_the_inverse_of_frequency() -> None:
    classes = Targets(torch.tensor([0.0, 0.0, 0.0, 1.0]), 2)
    assert classes.weights(seed=0).tolist() == pytest.approx([4 / 6, 2.0])
    assert torch.equal(RATES.weights(seed=1), RATES.weights(seed=1))


def test_a_class_that_nobody_shows_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"no labelled window is of class \[1\]"):
        Targets(torch.tensor([0.0, 2.0]), 3).weights(seed=0)


# -- pretraining ----------------------------------------------------------------------------


def pretrained(chain, *, epochs: int = 3, seed: int = 5, **options) -> list[float]:
    return pretrain(chain, pulses(96), rate=64.0, epochs=epochs, batch=24, seed=seed, **options)


def test_pretraining_learns_and_leaves_the_chain_frozen() -> None:
    chain, fresh = papagei(base_filters=8), papagei(base_filters=8)
    history = pretrained(chain, epochs=25, learning_rate=1e-2)
    assert len(history) == 25 and np.mean(history[-5:]) < 0.85 * history[0]
    assert np.mean(history[-5:]) < 1  # better than one answer for every window
    assert chain.frozen and not chain.training
    assert not any(parameter.requires_grad for parameter in chain.parameters())
    assert not same(chain, fresh)


@pytest.mark.parametrize("make", [papagei, lambda: transformer(dropout=0.2)])
def test_pretraining_is_fixed_by_its_seed_alone(make: Callable[[], nn.Module]) -> None:
    one, other = make(), make()
    torch.manual_seed(1)
    history = pretrained(one, epochs=1)
    torch.manual_seed(2)
    assert pretrained(other, epochs=1) == history
    assert same(one, other)


@pytest.mark.parametrize("make", [papagei, lambda: transformer(dropout=0.2)])
def test_interrupted_pretraining_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module]
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    whole, resumed = make(), make()
    history = pretrained(whole)

    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    state = tmp_path / "chain.state"
    with pytest.raises(KeyboardInterrupt):
        pretrained(make(), state=state, report=interrupt)
    assert state.exists()
    assert pretrained(resumed, state=state) == history
    assert same(resumed, whole)
    assert not list(tmp_path.iterdir())


def test_windows_too_short_for_the_spectrum_are_refused() -> None:
    with pytest.raises(ModelError, match=r"windows of 3.0 s are too short .* needs 4 s"):
        pretrain(papagei(), pulses(4, 192), rate=64.0, epochs=1, seed=0)


# -- what it is computed on ----------------------------------------------------------------


def test_what_a_processor_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Compute().check().where.type in ("cpu", "cuda")
    with pytest.raises(ModelError, match="'gpu7' is no device"):
        Compute(device="gpu7").check()
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="finds no GPU for 'cuda'"):
            Compute(device="cuda").check()
    monkeypatch.setattr("bioxedge.bridging.compute.has_bf16", lambda _: False)
    with pytest.raises(ModelError, match="has no bf16"):
        Compute(device="cpu", precision="bf16").check()
    assert isinstance(has_bf16(torch.device("cpu")), bool)


# -- the head -------------------------------------------------------------------------------


def separable(count: int = 240, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Give features of very different sizes, one telling each class, and the classes."""
    labels = torch.arange(count) % classes
    features = torch.randn(count, 6, generator=rng()) + 6 * F.one_hot(labels, 6)
    return features * torch.tensor([1e-3, 1.0, 1e3, 1.0, 10.0, 0.1]) + 5, labels


def test_a_head_learns_what_can_be_separated() -> None:
    features, labels = separable()
    head = train_head(features, labels, torch.ones(3), seed=0)
    assert (head.of_pooled(features).argmax(1) == labels).float().mean() > 0.97
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert not head.training


def test_the_standardisation_of_a_head_is_folded_exactly() -> None:
    features, labels = separable()
    mean, spread = features.mean(0), features.std(0)
    plain = train_head(features, labels, torch.ones(3), seed=0, epochs=5)
    # A head on features that are standardised already has nothing to fold.
    scaled = (features - mean) / spread
    other = train_head(scaled, labels, torch.ones(3), seed=0, epochs=5)
    torch.testing.assert_close(
        plain.of_pooled(features), other.of_pooled(scaled), atol=1e-3, rtol=1e-3
    )


def test_a_head_reads_the_mean_of_the_tokens() -> None:
    head, tokens = Head(4, 2), torch.randn(3, 5, 4, generator=rng())
    assert torch.equal(head(tokens), head.of_pooled(tokens.mean(1)))


def test_a_heads_weights_make_a_rare_class_count() -> None:
    labels = (torch.arange(400) % 20 == 0).long()
    features = torch.randn(400, 2, generator=rng()) + labels[:, None]
    even = train_head(features, labels, torch.ones(2), seed=0)
    weighted = train_head(features, labels, torch.tensor([0.53, 10.0]), seed=0)

    def found(head: Head) -> float:
        return (head.of_pooled(features).argmax(1)[labels == 1] == 1).float().mean().item()

    assert found(weighted) > found(even) + 0.3


def test_a_feature_that_never_moved_does_not_decide() -> None:
    features, labels = separable()
    features[:, 5] = 0.25
    head = train_head(features, labels, torch.ones(3), seed=0)
    moved = features.clone()
    moved[:, 5] += 0.01  # as a bridge's answer may
    torch.testing.assert_close(head.of_pooled(moved), head.of_pooled(features), atol=0.1, rtol=0)


def test_a_head_is_fixed_by_its_seed() -> None:
    features, labels = separable()
    one, other, third = (
        train_head(features, labels, torch.ones(3), seed=seed, epochs=2) for seed in (1, 1, 2)
    )
    assert same(one, other) and not same(one, third)


# -- the bridge, and what it is compared with -----------------------------------------------


@pytest.fixture(scope="module")
def frozen():
    """A frozen pair of chains, and windows for each."""
    return papagei().freeze(), transformer().freeze(), pulses(48)


def bridge_to(chain, cut: int, in_features: int, windows: Tensor, **options) -> PrototypeBridge:
    tokens, features = chain.cut(cut, windows.shape[2])
    return PrototypeBridge(in_features, features, tokens, 2, 4, seed=0, **options)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_training_a_bridge_changes_the_bridge_alone(frozen, loss: str) -> None:
    source, target, windows = frozen
    before = copy.deepcopy(source), copy.deepcopy(target)
    pooled = Runner().features(source, windows).pooled[3]
    teacher = last_of(target, windows)
    kept = pooled.clone(), teacher.clone()
    bridge = bridge_to(target, 1, pooled.shape[1], windows)
    fresh = copy.deepcopy(bridge)
    training = Training(loss=loss, epochs=4, batch=16, learning_rate=1e-2)
    history = train_bridge(bridge, target[1:], pooled, teacher, training, seed=0).losses
    assert len(history) == 4 and history[-1] < history[0]
    for key, value in bridge.state_dict().items():
        changed = not torch.equal(value, fresh.state_dict()[key])
        assert changed == (key in ("A", "B", "prototypes")) or key not in ("A", "B", "prototypes")
    assert same(source, before[0]) and same(target, before[1])
    assert torch.equal(pooled, kept[0]) and torch.equal(teacher, kept[1])
    assert not bridge.training
    assert not any(parameter.requires_grad for parameter in bridge.parameters())


def test_a_bridge_resumes_to_the_same_bits(
    frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    teacher = last_of(target, windows)
    whole, resumed, lost = (bridge_to(target, 1, pooled.shape[1], windows) for _ in range(3))

    def run(bridge: PrototypeBridge, **options) -> list[float]:
        training = Training(epochs=4, batch=16)
        return train_bridge(bridge, target[1:], pooled, teacher, training, seed=0, **options)

    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lost, state=tmp_path / "b.state", report=interrupt)
    assert run(resumed, state=tmp_path / "b.state") == run(whole)
    assert same(resumed, whole)


def test_a_bridge_straight_to_the_head_learns_the_pooled_feature(frozen) -> None:
    _, target, windows = frozen
    pooled = Runner().features(target, windows).pooled[-1]
    last = len(target)
    bridge = PrototypeBridge(16, 16, 1, 4, 8, b_std=1e-3, seed=0)
    training = Training(epochs=30, batch=16, learning_rate=1e-2)
    course = train_bridge(bridge, target[last:], pooled, pooled[:, None], training, seed=0)
    history = course.losses
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("over", ["mean", "tokens"])
def test_a_bridge_aligned_at_its_cut_needs_no_tail(frozen, over: str) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    with torch.no_grad():  # something that can be learnt
        teacher = bridge_to(target, 1, pooled.shape[1], windows, b_std=1.0)(pooled)
    bridge = bridge_to(target, 1, pooled.shape[1], windows, b_std=1e-3)
    training = Training(at="cut", over=over, epochs=25, batch=16, learning_rate=1e-2)

    class Never(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            raise AssertionError("the tail was run")

    tail = copy.deepcopy(target)[1:]
    tail.blocks[0] = Never()
    history = train_bridge(bridge, tail, pooled, teacher, training, seed=0).losses
    assert history[-1] < 0.9 * history[0]


def test_training_stops_by_held_out_pairs_and_keeps_the_best(frozen) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    # What is held out follows another rule: it gets worse while the others are learnt.
    held_out = torch.arange(0, 48, 4)
    teacher = last_of(target, windows).clone()
    teacher[held_out] = teacher[held_out].roll(1, 0)
    training = Training(epochs=200, batch=12, learning_rate=3e-2, patience=4)
    bridge = bridge_to(target, 1, pooled.shape[1], windows)
    course = train_bridge(bridge, target[1:], pooled, teacher, training, seed=0, held_out=held_out)
    assert len(course.losses) == len(course.held_out) == course.best + 5 < 200
    assert course.held_out[course.best] == min(course.held_out)
    # The weights are those of the best epoch, not of the last.
    shorter = bridge_to(target, 1, pooled.shape[1], windows)
    replace = Training(epochs=200, batch=12, learning_rate=3e-2, patience=course.best + 1)
    again = train_bridge(shorter, target[1:], pooled, teacher, replace, seed=0, held_out=held_out)
    assert again.held_out[: course.best + 1] == course.held_out[: course.best + 1]
    assert course.best is not None and not torch.equal(bridge.A, bridge_to(
        target, 1, pooled.shape[1], windows).A)  # fmt: skip


def test_held_out_pairs_are_never_trained_on(frozen) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    held_out = torch.tensor([3, 17, 40])
    spoilt = last_of(target, windows).clone()
    spoilt[held_out] = float("nan")
    source_spoilt = pooled.clone()
    source_spoilt[held_out] = float("nan")
    training = Training(epochs=2, batch=16)
    one, other = (bridge_to(target, 1, pooled.shape[1], windows) for _ in range(2))
    for bridge, features, teacher in (
        (one, pooled, last_of(target, windows)), (other, source_spoilt, spoilt),
    ):  # fmt: skip
        train_bridge(bridge, target[1:], features, teacher, training, seed=0, held_out=held_out)
    assert same(one, other)


def test_a_patience_wants_held_out_pairs_and_some_to_train_on(frozen) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    bridge = bridge_to(target, 1, pooled.shape[1], windows)
    teacher = last_of(target, windows)
    training = Training(patience=2)
    with pytest.raises(ModelError, match="patience of 2 epochs needs held-out pairs"):
        train_bridge(bridge, target[1:], pooled, teacher, training, seed=0)
    everything = torch.arange(len(windows))
    with pytest.raises(ModelError, match="all 48 pairs are held out"):
        train_bridge(bridge, target[1:], pooled, teacher, training, seed=0, held_out=everything)


@pytest.mark.parametrize("how", ["compiled", "packed"])
def test_a_faster_tail_trains_the_same_bridge(frozen, how: str) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    teacher = last_of(target, windows)
    training = Training(over="tokens", epochs=2, batch=16)
    plain, other = (bridge_to(target, 1, pooled.shape[1], windows) for _ in range(2))
    train_bridge(plain, target[1:], pooled, teacher, training, seed=0)
    faster = Compute(device="cpu", **{how: True}).check()
    train_bridge(other, target[1:], pooled, teacher, training, seed=0, compute=faster)
    assert not any("forward" in vars(part) for part in target.modules())  # as it was
    for mine, its in zip(plain.parameters(), other.parameters(), strict=True):
        assert (mine - its).abs().max() <= 1e-4 * its.abs().max()


def test_packed_layers_give_the_same_features(frozen) -> None:
    _, target, windows = frozen
    plain = Runner().features(target, windows, tokens=[2])
    packed = Runner(Compute(device="cpu", packed=True)).features(target, windows, tokens=[2])
    for mine, its in zip(
        [*plain.pooled, plain.tokens[2]], [*packed.pooled, packed.tokens[2]], strict=True
    ):
        assert (mine - its).abs().max() <= 1e-5 * mine.abs().max()


@pytest.mark.parametrize("shape", [(5, 12), (2, 5, 12), (1, 1, 12), (0, 5, 12)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strided", [True, False])
def test_a_packed_layer_computes_what_it_stands_for(
    shape: tuple[int, ...], bias: bool, strided: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 7, bias=bias).requires_grad_(False)
    trained = nn.Linear(12, 7, bias=bias)
    x = torch.randn(*shape[:-1], 24)[..., ::2] if strided else torch.randn(shape)
    wanted, found = x.clone().requires_grad_(), x.requires_grad_()
    out = layer(wanted)
    weights = torch.randn_like(out)
    (out * weights).sum().backward()
    with packed(nn.ModuleList([layer, trained])):
        given = layer(found)
        (given * weights).sum().backward()
        assert "forward" in vars(layer) and "forward" not in vars(trained)
    assert given.shape == out.shape
    torch.testing.assert_close(given, out, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-5, atol=1e-6)


def test_half_precision_inside_the_tail_moves_the_bridge_little(frozen) -> None:
    source, target, windows = frozen
    pooled = Runner().features(source, windows).pooled[3]
    teacher = last_of(target, windows)
    training = Training(over="tokens", epochs=10, batch=16, learning_rate=1e-2)
    plain, half = (bridge_to(target, 1, pooled.shape[1], windows) for _ in range(2))
    course = train_bridge(plain, target[1:], pooled, teacher, training, seed=0)
    other = train_bridge(
        half, target[1:], pooled, teacher, training, seed=0, compute=Compute(precision="bf16")
    )
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    assert other.losses[-1] == pytest.approx(course.losses[-1], rel=0.05)
    assert other.losses != course.losses


def test_a_students_whole_encoder_is_trained(frozen) -> None:
    source, target, windows = frozen
    before = copy.deepcopy(source), copy.deepcopy(target)
    features = source.cut(len(source), windows.shape[2]).features
    bridge = bridge_to(target, 1, features, windows)
    student = Student(source, bridge, target[1:])
    size = sum(parameter.numel() for parameter in source.parameters())
    assert student.trained_parameters == size + trained_parameters(bridge)
    teacher = last_of(target, windows)
    training = Training(epochs=2, batch=16, learning_rate=1e-2)
    history = distil(student, windows, teacher, training, seed=0)
    assert history[-1] < history[0]
    assert same(source, before[0]) and same(target, before[1])  # a copy was trained
    changed = [
        not torch.equal(mine, its)
        for mine, its in zip(student.source.parameters(), source.parameters(), strict=True)
    ]
    assert np.mean(changed) > 0.9
    assert not student.training


def test_a_student_answers_in_the_targets_last_tokens(frozen) -> None:
    source, target, windows = frozen
    features = source.cut(len(source), windows.shape[2]).features
    student = Student(source, bridge_to(target, 1, features, windows, b_std=1.0), target[1:]).eval()
    tokens = last_tokens(student, windows)
    assert tokens.shape == (len(windows), *target.cut(len(target), windows.shape[2]))
    by_hand = target[1:](student.bridge(TokenMean()(student.source(windows[:5]))))
    torch.testing.assert_close(tokens[:5], by_hand)


# -- scores ---------------------------------------------------------------------------------


@st.composite
def answered(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    classes = draw(st.integers(2, 5))
    size = draw(st.integers(1, 60))
    one = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return np.array(draw(one)), np.array(draw(one)), classes


@quick
@given(case=answered())
def test_scores_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, answers, classes = case
    found = score("x", truth, answers, classes, 3)
    there = np.unique(truth)
    recalls = [np.mean(answers[truth == label] == label) for label in there]
    if len(there) > 1 and set(answers) <= set(there):  # scikit-learn warns of the others
        assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, answers))
    assert found.balanced_accuracy == pytest.approx(np.mean(recalls))
    wanted = f1_score(truth, answers, labels=there, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(wanted)
    assert found.confusion.sum() == len(truth) and found.confusion.shape == (classes, classes)
    assert np.diagonal(found.confusion).sum() == (truth == answers).sum()
    assert found.to_dict()["confusion"] == found.confusion.tolist()


def study(people: int = 12, windows: int = 30) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Give truth, a good and a poor method, and who each window is of."""
    draw = np.random.default_rng(0)
    who = np.repeat([f"p{number}" for number in range(people)], windows)
    truth = draw.integers(0, 3, len(who))
    methods = [np.where(draw.random(len(who)) < p, truth, (truth + 1) % 3) for p in (0.8, 0.6)]
    return truth, methods, who


def test_the_bootstrap_stands_around_the_score() -> None:
    truth, methods, who = study()
    draws = bootstrap(truth, methods, who, draws=400, seed=1)
    assert draws.shape == (400, 2)
    for column, answers in zip(draws.T, methods, strict=True):
        point = score("x", truth, answers, 3, 0).balanced_accuracy
        assert column.mean() == pytest.approx(point, abs=0.01)
        assert 0.005 < column.std() < 0.05
    assert np.array_equal(bootstrap(truth, methods, who, draws=400, seed=1), draws)
    assert not np.array_equal(bootstrap(truth, methods, who, draws=400, seed=2), draws)


def test_differences_of_the_bootstrap_are_paired() -> None:
    truth, (good, _), who = study()
    # The second method is the first, wrong on one more window in each person's thirty.
    worse = good.copy()
    worse[::30] = (truth[::30] + 1) % 3
    draws = bootstrap(truth, [good, good, worse], who, draws=300)
    assert np.array_equal(draws[:, 0], draws[:, 1])
    difference = draws[:, 0] - draws[:, 2]
    assert difference.min() > 0
    assert difference.std() < 0.5 * draws[:, 0].std()


def test_the_unit_of_chance_is_the_person() -> None:
    # Half of the people are always right, half never: windows would say ±3 %, people say more.
    truth = np.tile([0, 1], 300)
    who = np.repeat([f"p{number}" for number in range(6)], 100)
    right = np.isin(who, ["p0", "p1", "p2"])
    draws = bootstrap(truth, [np.where(right, truth, 1 - truth)], who, draws=300)
    assert draws.std() > 0.15
