"""Windows half cut when a build was stopped: what is sound is kept, the rest is cut again."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_store import Shelf
from test_recompute import FEWER

from bioxedge import recipes
from bioxedge.building import books, windowing
from bioxedge.building.windowing import Windows, windows_of
from bioxedge.datasets import cutting
from bioxedge.datasets.choosing import choose

pytestmark = pytest.mark.train

STOPPED = 5  # of eight sessions


class StoppedError(Exception):
    """Stands for a crash."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> recipes.Recipe:
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text(FEWER)
    return recipes.read(path)


def cut(recipe: recipes.Recipe, folder: Path) -> Windows:
    return windows_of(recipe, *choose(recipe, None), Shelf(folder).store)


@pytest.fixture(scope="module")
def whole(recipe: recipes.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return cut(recipe, tmp_path_factory.mktemp("whole"))


def test_windows_are_cut_again_for_breathing_and_for_no_other_word(recipe: recipes.Recipe) -> None:
    """The source's own features are there whatever is asked: older windows are found again."""
    plain, own, more = (
        windowing._facts(
            structs.replace(recipe, source=structs.replace(recipe.source, classic=one))
        )
        for one in (False, True, "breathing")
    )
    assert plain == own and "classic" not in own[0]
    assert more[0].pop("classic") == "breathing" and more == own


@pytest.fixture
def stopped(recipe: recipes.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which five sessions are cut and the sixth was begun."""
    session, begun = cutting.cut_session, []

    def until(*given: object) -> object:
        begun.append(given)
        found = session(*given)
        if len(begun) > STOPPED:
            raise StoppedError
        return found

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "cut_session", until)
        with pytest.raises(StoppedError):
            cut(recipe, tmp_path)
    (folder,) = tmp_path.glob("windows-*")
    assert len(list(folder.glob("session-*.npz"))) == STOPPED
    return folder


def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which sessions are cut."""
    session, noted = cutting.cut_session, []

    def noting(chosen, *given):
        noted.append(chosen.name)
        return session(chosen, *given)

    monkeypatch.setattr(cutting, "cut_session", noting)
    return noted


def tear(folder: Path, at: int) -> None:
    """End a book early, as a disk may that lost its power."""
    path = folder / books.book_name(at)
    os.truncate(path, path.stat().st_size // 2)


def empty(folder: Path, at: int) -> None:
    os.truncate(folder / books.book_name(at), 0)


def flip(folder: Path, at: int) -> None:
    path = folder / books.book_name(at)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 1
    path.write_bytes(raw)


def pickled(folder: Path, at: int) -> None:
    (folder / books.book_name(at)).write_bytes(b"\x80\x04]\x94.")


def remove(folder: Path, at: int) -> None:
    (folder / books.book_name(at)).unlink()


def shorten(folder: Path, at: int) -> None:
    """Cut the windows' file in the middle of a session."""
    before = books.read_book(folder / books.book_name(at - 1)).arrays["counts"]
    path = folder / "source.f32"
    os.truncate(path, 4 * 320 * (int(before[0]) + 1))


def lose(folder: Path, at: int) -> None:
    assert at
    (folder / "target.f32").unlink()


def same(one: Windows, other: Windows) -> bool:
    columns = ("source_row", "target_row", "session", "start", "moment", "seconds")
    return (
        torch.equal(one.source, other.source)
        and torch.equal(one.target, other.target)
        and all((getattr(one, name) == getattr(other, name)).all() for name in columns)
        and one.measures.tobytes() == other.measures.tobytes()
        and one.classic.tobytes() == other.classic.tobytes()
        and one.clocks == other.clocks
    )


def test_cutting_goes_on_behind_the_last_session_that_is_whole(
    recipe, whole: Windows, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = sessions(monkeypatch)
    assert same(cut(recipe, stopped.parent), whole)
    assert noted == [f"wearer-{n:02d}" for n in range(STOPPED + 1, 9)]


@pytest.mark.parametrize("damage", [tear, empty, flip, pickled, remove, shorten])
def test_what_is_damaged_is_cut_again_and_all_behind_it(
    recipe, whole: Windows, stopped: Path, monkeypatch, damage: Callable[[Path, int], None]
) -> None:
    damage(stopped, 2)
    noted = sessions(monkeypatch)
    assert same(cut(recipe, stopped.parent), whole)
    assert noted == [f"wearer-{n:02d}" for n in range(3, 9)]


def test_without_the_windows_books_are_worth_nothing(
    recipe, whole: Windows, stopped: Path, monkeypatch
) -> None:
    lose(stopped, 1)
    noted = sessions(monkeypatch)
    assert same(cut(recipe, stopped.parent), whole)
    assert len(noted) == 8


def test_a_book_behind_a_damaged_one_never_speaks_for_windows_that_were_cut_off(
    recipe, whole: Windows, stopped: Path, monkeypatch
) -> None:
    tear(stopped, 1)
    session = cutting.cut_session

    def once(chosen, *given):
        if chosen.name == "wearer-03":
            raise StoppedError
        return session(chosen, *given)

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "cut_session", once)
        with pytest.raises(StoppedError):
            cut(recipe, stopped.parent)
    # The second is whole again; those of the third and later, once sound, are of no file now.
    assert [path.name for path in sorted(stopped.glob("session-*.npz"))] == [
        books.book_name(0),
        books.book_name(1),
    ]
    assert same(cut(recipe, stopped.parent), whole)
