"""Finished steps: kept, held to their hashes, made again where damaged."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_store import KEY, Shelf
from kills import Count, kill
from torch import nn

from bioxedge.bridging import features, loop
from bioxedge.bridging.loop import fit
from bioxedge.building import store as stores
from bioxedge.building.store import digest_of, key_of
from bioxedge.errors import StorageError

pytestmark = pytest.mark.train


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "steps")


def flip(path: Path, at: float = 0.5) -> None:
    """Flip one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[int(at * len(raw))] ^= 16
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip, truncate, empty]


# -- steps ----------------------------------------------------------------------------------


def test_a_finished_step_is_not_done_again(shelf: Shelf) -> None:
    assert shelf.number() and not shelf.number()
    later = Shelf(shelf.folder)
    assert not later.number()
    assert later.lines == ["✓ The head (already done)"]
    assert sorted(path.suffix for path in shelf.folder.iterdir()) == [
        ".pt", ".sha256", ".took",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", ["pt", "sha256"])
def test_a_damaged_step_is_made_again_and_said(
    shelf: Shelf, damage: Callable[[Path], None], suffix: str
) -> None:
    shelf.number()
    damage(next(shelf.folder.glob(f"*.{suffix}")))
    later = Shelf(shelf.folder)
    assert later.number()
    assert later.lines[0] == f"head-{KEY[:16]}.pt was damaged: it is made again"
    assert not Shelf(shelf.folder).number()


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(at=st.floats(0, 1, exclude_max=True))
def test_no_bit_of_a_step_can_flip_unseen(tmp_path_factory: pytest.TempPathFactory, at: float):
    shelf = Shelf(tmp_path_factory.mktemp("flips"))
    shelf.number(size=10)
    flip(next(shelf.folder.glob("*.pt")), at)
    assert Shelf(shelf.folder).number(size=10)


def test_a_step_that_fails_leaves_nothing_that_counts(shelf: Shelf) -> None:
    def fail(*_: object) -> dict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.store.step("head", "The head", KEY, fail)
    assert not list(shelf.folder.iterdir())
    assert shelf.number()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["pooled-01.npy", "tokens-01.npy", "done.npy", "hashes.json"])
def test_damaged_features_are_made_again_and_said(
    shelf: Shelf, damage: Callable[[Path], None], name: str
) -> None:
    wanted = shelf.features()
    kept = [one.clone() for one in (*wanted.pooled, wanted.tokens[1])]
    folder = next(shelf.folder.iterdir())
    damage(folder / name)
    later = Shelf(shelf.folder)
    found = later.features()
    assert all(map(torch.equal, [*found.pooled, found.tokens[1]], kept))
    assert later.lines[0] == f"{folder.name} was damaged: it is made again"
    again = Shelf(shelf.folder)
    again.features()
    assert again.lines == ["✓ Features (already done)"]


def test_features_without_hashes_are_not_trusted_to_be_finished(shelf: Shelf) -> None:
    shelf.features()
    (next(shelf.folder.iterdir()) / "hashes.json").write_text("{}")
    later = Shelf(shelf.folder)
    later.features()
    assert "damaged" in later.lines[0]


class StoppedError(Exception):
    """Stands for a crash."""


def half_trained(shelf: Shelf, *, stop: bool) -> list[int]:
    """Train something as a step; give where it began."""
    began: list[int] = []
    calls = 0

    def make(_: object, state: Path) -> dict:
        torch.manual_seed(0)
        module, x = nn.Linear(3, 1), torch.randn(32, 3)

        def loss(indices, _):
            nonlocal calls
            calls += 1
            if stop and calls == 6:
                raise StoppedError
            return module(x[indices]).square().mean()

        def report(done: int, _: int) -> None:
            began.append(done)

        fit(module, loss, 32, epochs=3, batch=8, rate=1e-2, seed=0, state=state, report=report)
        return module.state_dict()

    shelf.store.step("head", "The head", KEY, make)
    return began


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_a_damaged_state_of_a_training_begins_anew_and_says_so(
    shelf: Shelf, damage: Callable[[Path], None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    with pytest.raises(StoppedError):
        half_trained(shelf, stop=True)
    state = next(shelf.folder.glob("*.state"))
    if damage is not None:
        damage(state)
    later = Shelf(shelf.folder)
    began = half_trained(later, stop=False)[0]
    said = [line for line in later.lines if "damaged" in line]
    if damage is None:
        assert began == 5 and not said
    else:
        assert began == 0
        assert said == [f"{state.name} was damaged: what it belongs to begins anew"]
    assert not state.exists()


# -- keys -----------------------------------------------------------------------------------


def test_a_key_says_what_a_step_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    one = key_of("head", {"a": 1, "b": 2.5}, "x")
    assert key_of("head", {"b": 2.5, "a": 1}, "x") == one  # the order of a dict is no choice
    assert len({one, key_of("bridge", {"a": 1, "b": 2.5}, "x"), key_of("head", "x")}) == 3
    monkeypatch.setitem(stores.FORMATS, "head", stores.FORMATS["head"] + 1)
    assert key_of("head", {"a": 1, "b": 2.5}, "x") != one
    with pytest.raises(KeyError):
        key_of("haed", "x")


def test_files_are_hashed_through_their_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real.bin", tmp_path / "samples.bin"
    real.write_bytes(b"one")
    link.symlink_to(real)
    before = digest_of([link])
    real.write_bytes(b"two")
    assert digest_of([link]) != before
    link.unlink()
    link.write_bytes(b"one")
    assert digest_of([link]) == before  # what stands there counts, not how


def test_nothing_hashed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no files to hash"):
        digest_of([])
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"gone cannot be read: No such file"):
        digest_of([tmp_path / "gone"])
    with pytest.raises(StorageError, match="cannot be read: Is a directory"):
        digest_of([tmp_path])


# -- kills ----------------------------------------------------------------------------------


def steps_of(folder: Path) -> tuple[list[str], list[torch.Tensor]]:
    """Do two steps, one upon the other; give what was said and what came out."""
    shelf = Shelf(folder)
    seen = shelf.features()
    pooled = seen.pooled[-1]

    def make(_: object, state: Path) -> dict:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(pooled.shape[1], 8), nn.Dropout(0.3), nn.Linear(8, 1))

        def loss(rows, generator):
            noise = torch.randn(len(rows), 1, generator=generator)
            return (module(pooled[rows]) + 0.1 * noise).square().mean()

        fit(module, loss, len(pooled), epochs=3, batch=16, rate=1e-2, seed=0, state=state)
        return module.state_dict()

    weights = shelf.store.step("head", "The head", KEY, make)
    return shelf.lines, [one.clone() for one in (*seen.pooled, seen.tokens[1], *weights.values())]


def test_steps_killed_at_any_line_end_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    monkeypatch.setattr(features, "_FLUSH_EVERY", 0)
    _, wanted = steps_of(tmp_path / "whole")
    at, lived = 60, False
    while not lived:
        folder = tmp_path / str(at)
        lived = kill(lambda folder=folder: steps_of(folder), Count(), 0, at)
        lines, found = steps_of(folder)
        assert all(map(torch.equal, found, wanted)), at
        assert not [line for line in lines if "damaged" in line]
        suffixes = sorted(path.suffix for path in folder.iterdir())
        assert suffixes == ["", ".pt", ".sha256", ".took"], at
        at += 211
    assert at > 2000
