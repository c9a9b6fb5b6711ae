"""The one way in which models pass over windows: as far as needed, in what memory there is."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch import Tensor, nn

from bioxedge import models
from bioxedge.bridging import PrototypeBridge, features, runner
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.features import Features
from bioxedge.bridging.head import Head
from bioxedge.bridging.peak import Allocated, peak_bytes
from bioxedge.bridging.pretrain import pretrain
from bioxedge.bridging.runner import Runner
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train

CPU = torch.device("cpu")
RUN = Runner(Compute(device="cpu"))


def papagei(blocks: int = 4):
    torch.manual_seed(3)
    return models.create("papagei", base_filters=4, blocks=blocks).freeze()


def transformer():
    torch.manual_seed(4)
    return models.create("ecg_transformer", samples=320, width=16, blocks=3, heads=2).freeze()


def noise(count: int, samples: int = 320) -> Tensor:
    return torch.randn(count, 1, samples, generator=torch.Generator().manual_seed(0))


def mapped(path: Path, windows: Tensor) -> np.ndarray:
    """Put windows into a file and map it, as they are cut."""
    np.save(path, windows.numpy())
    return np.load(path, mmap_mode="r")


def equal(one: Features, other: Features) -> bool:
    return (
        len(one.pooled) == len(other.pooled)
        and one.tokens.keys() == other.tokens.keys()
        and all(map(torch.equal, one.pooled, other.pooled))
        and all(torch.equal(one.tokens[cut], other.tokens[cut]) for cut in one.tokens)
    )


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for three windows of the small papagei at a time, and a bit."""
    room = runner._SHARE * 3.5 * peak_bytes(papagei(), (1, 1, 320))
    monkeypatch.setattr(runner, "free_bytes", lambda _: int(room))


# -- features -------------------------------------------------------------------------------


@torch.no_grad()
def test_features_of_every_cut_come_from_one_pass() -> None:
    chain, windows = papagei(), noise(70)  # more than one batch
    told: list[tuple[int, int]] = []
    found = RUN.features(chain, windows, tokens=[2, 4], report=lambda *step: told.append(step))
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert len(found.pooled) == len(chain) + 1 and set(found.tokens) == {2, 4}
    for cut, pooled in enumerate(found.pooled):
        torch.testing.assert_close(pooled, chain[:cut](windows).mean(1))
        assert not pooled.is_inference()
    for cut, tokens in found.tokens.items():
        torch.testing.assert_close(tokens, chain[:cut](windows))
    assert RUN.features(chain, windows).tokens == {}


class Never(nn.Module):
    """Must not run."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("a block behind the last cut was run")


@pytest.mark.parametrize("last", [0, 1, 3])
def test_nothing_runs_behind_the_last_cut_that_is_needed(last: int) -> None:
    chain, windows = papagei(), noise(10)
    whole = RUN.features(chain, windows, tokens=[last])
    for block in range(last, len(chain)):
        chain.blocks[block] = Never()
    found = RUN.features(chain, windows, last=last, tokens=[last])
    assert len(found.pooled) == last + 1
    assert equal(found, Features(whole.pooled[: last + 1], whole.tokens))


def test_cuts_that_are_not_run_are_refused() -> None:
    with pytest.raises(ModelError, match=r"tokens of cut 3 are wanted .* run to cut 2: raise last"):
        RUN.features(papagei(), noise(2), last=2, tokens=[1, 3])
    with pytest.raises(ModelError, match="there is no cut 9"):
        RUN.features(papagei(), noise(2), last=9)


def test_windows_may_lie_in_a_file_and_so_may_features(tmp_path: Path) -> None:
    chain, windows = papagei(), noise(70)
    rows = torch.tensor([3, 69, 5, *range(10, 60)])
    kept = RUN.features(chain, windows, rows=rows, tokens=[4])
    there = mapped(tmp_path / "windows.npy", windows)
    folder = tmp_path / "f"
    assert equal(RUN.features(chain, there, rows=rows, tokens=[4], folder=folder), kept)
    assert equal(RUN.features(chain, there[rows.numpy()], tokens=[4]), kept)
    assert equal(RUN.features(chain, features.readonly(there), rows=rows, tokens=[4]), kept)
    torch.testing.assert_close(kept.pooled[0][1], RUN.features(chain, windows[69:]).pooled[0][0])
    names = {"done.npy", "tokens-04.npy", *(f"pooled-{k:02d}.npy" for k in range(5))}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize("on_disk", [False, True])
def test_no_windows_have_no_features(tmp_path: Path, on_disk: bool) -> None:
    folder = tmp_path / "f" if on_disk else None
    found = RUN.features(papagei(), noise(3), rows=torch.arange(0), tokens=[1], folder=folder)
    assert [len(pooled) for pooled in found.pooled] == [0] * 5 and len(found.tokens[1]) == 0


# -- what was stopped -----------------------------------------------------------------------


def test_features_that_were_stopped_go_on_where_they_were(tmp_path: Path) -> None:
    chain, windows = papagei(), noise(300)
    whole = RUN.features(chain, windows)

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RUN.features(chain, windows, folder=tmp_path, report=stop)
    told: list[int] = []
    found = RUN.features(chain, windows, folder=tmp_path, report=lambda done, _: told.append(done))
    assert told == [3, 4, 5] and equal(found, whole)
    told.clear()
    RUN.features(chain, windows, folder=tmp_path, report=lambda done, _: told.append(done))
    assert told == [5]
    for name, left in (("pooled-01", -100), ("pooled-02", 0), ("done", 0)):
        damaged = tmp_path / f"{name}.npy"
        damaged.write_bytes(damaged.read_bytes()[:left])
        assert equal(RUN.features(chain, windows, folder=tmp_path), whole)


@pytest.mark.parametrize("at", range(5))
def test_files_that_were_made_anew_do_not_count_as_filled(tmp_path: Path, at: int) -> None:
    chain, windows = papagei(3), noise(100)
    whole = RUN.features(chain, windows, folder=tmp_path)
    kept = Features([one.clone() for one in whole.pooled])
    (tmp_path / "pooled-02.npy").unlink()
    make, calls = features._create, []

    def killed(*words: object) -> None:
        if len(calls) == at:
            os._exit(9)
        calls.append(words)
        make(*words)

    child = os.fork()
    if not child:
        features._create = killed
        RUN.features(chain, windows, folder=tmp_path)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert equal(RUN.features(chain, windows, folder=tmp_path), kept)


# -- memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [papagei, transformer])
def test_a_batch_that_does_not_fit_passes_in_pieces(little: None, make, tmp_path: Path) -> None:
    chain, windows = make(), noise(70)
    seen: list[int] = []
    chain.stem.register_forward_pre_hook(
        lambda _, given: None if given[0].is_meta else seen.append(len(given[0]))
    )
    told: list[int] = []
    found = RUN.features(
        chain, windows, tokens=[1], folder=tmp_path, report=lambda done, _: told.append(done)
    )
    assert sum(seen) == 70 and 1 <= max(seen) < 64
    assert max(seen) == 3 or make is transformer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "free_bytes", lambda _: 2**40)
        plain = RUN.features(chain, windows, tokens=[1])
        # What was filled in pieces counts, however much memory there is by then.
        told.clear()
        RUN.features(
            chain, windows, tokens=[1], folder=tmp_path, report=lambda done, _: told.append(done)
        )
    assert told == [2]
    for mine, its in zip(
        [*found.pooled, found.tokens[1]], [*plain.pooled, plain.tokens[1]], strict=True
    ):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5)


def test_a_pass_takes_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, windows, free = papagei(), noise(64), 4_000_000
    with torch.inference_mode(), Allocated() as whole:
        chain(windows)
    assert whole.peak > free // runner._SHARE  # else nothing would be shown
    peak, batch = peak_bytes(runner._Cuts(chain), (1, 1, 320)), RUN.batch(chain, 320)
    monkeypatch.setattr(runner, "free_bytes", lambda _: free)
    # Shapes that pass through count as well: they have passed.
    monkeypatch.setattr(runner, "peak_bytes", lambda *_: peak)
    monkeypatch.setattr(Runner, "batch", lambda *_: batch)
    with Allocated() as taken:
        RUN.features(chain, windows)
    assert free // runner._SHARE - 2 * peak <= taken.peak <= 1.1 * free // runner._SHARE


def test_mapped_windows_are_pretrained_on_by_rows(tmp_path: Path) -> None:
    windows = noise(40)
    rows = torch.arange(5, 35)
    there = mapped(tmp_path / "windows.npy", windows)
    chains = [papagei(2).thaw() for _ in range(3)]
    options = {"rate": 64.0, "epochs": 2, "batch": 8, "seed": 0}
    wanted = pretrain(chains[0], windows[rows], **options)
    assert pretrain(chains[1], there, rows=rows, **options) == wanted
    assert pretrain(chains[2], features.readonly(there), rows=rows, **options) == wanted
    states = [chain.state_dict() for chain in chains]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]) and torch.equal(value, states[2][key])


# -- answers and tokens ---------------------------------------------------------------------


def bridged(cut: int = 1) -> tuple[PrototypeBridge, nn.Module, Head, Tensor]:
    tail = transformer()[cut:]
    tokens, width = tail.cut(cut, 320)
    bridge = PrototypeBridge(6, width, tokens, 2, 4, b_std=1.0, seed=0).eval()
    torch.manual_seed(0)
    head = Head(width, 3).requires_grad_(False).eval()
    return bridge, tail, head, torch.randn(600, 6)


@torch.no_grad()
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_answers_are_the_heads_of_what_is_bridged(cut: int) -> None:
    bridge, tail, head, pooled = bridged(cut)
    found = RUN.answers(bridge, tail, head, pooled)
    assert found.shape == (600, 3) and not found.is_inference()
    torch.testing.assert_close(found, head(tail(bridge(pooled))))
    # As a bundle computes it, however the features were made.
    half = Runner(Compute(device="cpu", precision="bf16", packed=True))
    assert torch.equal(half.answers(bridge, tail, head, pooled), found)


def test_answers_take_no_more_than_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge, tail, head, pooled = bridged()
    wanted = RUN.answers(bridge, tail, head, pooled)
    peak = peak_bytes(nn.Sequential(bridge, tail, head), (1, 6))
    monkeypatch.setattr(runner, "peak_bytes", lambda *_: peak)
    monkeypatch.setattr(runner, "free_bytes", lambda _: 20 * runner._SHARE * peak)
    with Allocated() as taken:
        found = RUN.answers(bridge, tail, head, pooled)
    given = pooled.nbytes + 2 * found.nbytes
    assert 18 * peak <= taken.peak <= 22 * peak + given
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
@pytest.mark.parametrize("room", [2**40, 1])
def test_single_tokens_come_from_their_windows_and_places(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "free_bytes", lambda _: room)
    chain, windows = papagei(), noise(90)
    rows, places = torch.tensor([80, 2, 80, 41]), torch.tensor([0, 7, 39, 3])
    whole = chain[:3](windows)
    there = mapped(tmp_path / "windows.npy", windows)
    for given in (windows, there):
        found = RUN.tokens(chain, 3, given, rows, places)
        torch.testing.assert_close(found, whole[rows, places])
        assert not found.is_inference()
