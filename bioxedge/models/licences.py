"""Licences of weights: a model's card and the recipe together, and the stricter wins."""

from __future__ import annotations

import re

from bioxedge.errors import RecipeError
from bioxedge.models.cards import card

_FREE = (
    "mit", "apache", "bsd", "isc", "zlib", "unlicense", "cc0", "publicdomain", "pddl", "odcby",
    "ccby40", "ccby30", "ccbysa", "lgpl", "gpl", "agpl", "mpl", "epl", "openrail",
)  # fmt: skip
"""Beginnings of licences that allow commercial use, letters and digits alone."""
_RESTRICTED = ("nc", "noncommercial", "academic", "researchonly", "research only", "not for profit")


def forbids(licence: str) -> bool | None:
    """Say whether a licence forbids commercial use, by its name; None where the name is unknown."""
    words = licence.lower()
    pieces = re.split(r"[^a-z0-9]+", words)
    plain = "".join(pieces)
    if "nc" in pieces or any(each.replace(" ", "") in plain for each in _RESTRICTED[1:]):
        return True
    return False if plain.startswith(_FREE) else None


def check_model(name: str, licence: str, non_commercial: bool, place: str) -> None:
    """Hold what a recipe says of a model's weights to the model's card.

    Parameters
    ----------
    name : str
        The model's.
    licence, non_commercial
        As the recipe says them.
    place : str
        Path of the key.

    Raises
    ------
    RecipeError
        The recipe names a licence that allows what the published one forbids; or says a licence
        that forbids commercial use, and that it does not.
    """
    published = card(name)
    said = forbids(licence)
    if published.non_commercial and said is False and not non_commercial:
        raise RecipeError(
            f"{name} was published under {published.licence}, which forbids commercial use, the "
            f"recipe says {licence}: write the licence that the weights came with - at `{place}`"
        )


def restricts(name: str, licence: str, non_commercial: bool) -> bool:
    """Say whether weights may not be used commercially, by card and recipe: the stricter wins."""
    return non_commercial or card(name).non_commercial or forbids(licence) is True
