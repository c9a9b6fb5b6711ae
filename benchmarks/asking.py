"""How the benchmarks of what is learnt are asked, and how they end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bioxedge.errors import BioxedgeError

RECIPES = Path(__file__).resolve().parent.parent / "export" / "recipes"


def asking(
    text: str | None, names: Sequence[str] = (), *, sessions: bool = False
) -> argparse.ArgumentParser:
    """Give what all of them are asked: where to, where from, and of which recipes.

    Parameters
    ----------
    text : str
        What ``--help`` says: the module's own words.
    names : sequence of str
        Recipes that are taken where none is named.
    sessions : bool
        Whether the recordings are what ``bioxedge import`` wrote, and must be named.
    """
    options = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    said = "what the imports wrote" if sessions else "default: BIOXEDGE_SHARED's data"
    options.add_argument("--data", type=Path, required=sessions, help=said)
    if names:
        options.add_argument("--recipes", nargs="+", default=names, help="of export/recipes")
    return options


def ended(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark: what is wrong is one line, and what was stopped goes on from there."""
    try:
        status = main()
        sys.stdout.flush()
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; finished steps are kept")
    except BrokenPipeError:  # whoever read has seen enough: there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
