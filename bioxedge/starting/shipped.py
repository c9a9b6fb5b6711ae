"""Recipes that come with the package."""

from __future__ import annotations

from pathlib import Path

from bioxedge.errors import RecipeError

_FOLDER = Path(__file__).resolve().parent.parent / "data" / "recipes"


def shipped() -> dict[str, str]:
    """Give their names, and what the first sentence of each says."""
    return {path.stem: _sentence(path) for path in sorted(_FOLDER.glob("*.toml"))}


def copy(name: str) -> bytes:
    """Give one as it stands.

    Raises
    ------
    RecipeError
        None of that name; it names them.
    """
    names = list(shipped())
    if name not in names:
        raise RecipeError(f"no recipe is called {name!r}: there are {', '.join(names)}")
    return (_FOLDER / f"{name}.toml").read_bytes()


def _sentence(path: Path) -> str:
    """Give the first sentence of a recipe's comment."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines).split(". ")[0].rstrip(".")
