"""Licences of weights: a model's card and the recipe together, and the stricter wins."""

from __future__ import annotations

import re

from bioxedge.errors import RecipeError
from bioxedge.models.cards import Card, card

# Licences that people write, by their letters and digits, without the word licence; a version may
# follow. Sources: the
# SPDX list's identifiers (spdx.org/licenses) and what model hubs call them.
_FREE = (
    "mit", "x11", "apache", "bsd", "bsd2clause", "bsd3clause", "bsd3clauseclear", "0bsd", "isc",
    "zlib", "unlicense", "wtfpl", "cc0", "publicdomain", "pddl", "odcby", "odbl", "ccby",
    "ccbysa", "gpl", "lgpl", "agpl", "gnugpl", "gnulgpl", "mpl", "epl", "eupl", "afl", "artistic",
    "openrail", "creativemlopenrail", "bigscienceopenrail",
)  # fmt: skip
_VERSION = re.compile(r"(v|version)?[\d]*(only|orlater|plus|m)?")
# Whatever stands around them, these words forbid commercial use.
_RESTRICTED = (
    "noncommercial", "notcommercial", "nocommercial", "researchonly", "researchuseonly",
    "academiconly", "academicuse", "academicresearch", "notforprofit", "nonprofit", "ccbync",
    "polyformstrict",
)  # fmt: skip


def forbids(licence: str) -> bool | None:
    """Say whether a licence forbids commercial use, by its name; None where it is not known.

    Examples
    --------
    >>> forbids("CC-BY-NC-4.0"), forbids("MIT"), forbids("ask the hospital")
    (True, False, None)
    """
    pieces = [piece for piece in re.split(r"[^a-z0-9]+", licence.lower()) if piece]
    plain = "".join(piece for piece in pieces if piece not in ("the", "licence", "license"))
    if "nc" in pieces or any(words in plain for words in _RESTRICTED):
        return True
    known = any(
        plain.startswith(name) and _VERSION.fullmatch(plain.removeprefix(name)) for name in _FREE
    )
    return False if known else None


def contradiction(published: Card, licence: str, non_commercial: bool) -> str | None:
    """Say in a sentence how a recipe contradicts a card; None where it does not.

    A recipe that leaves ``non_commercial`` out says the same as one that writes false: it is
    judged by the licence that it names. One that is not known contradicts nothing, and the card's
    restriction stays.
    """
    if not published.non_commercial or non_commercial or forbids(licence) is not False:
        return None
    return (
        f"{published.name} was published under {published.licence}, which forbids commercial use, "
        f"the recipe says {licence}: write the licence that the weights came with"
    )


def check_model(name: str, licence: str, non_commercial: bool, place: str) -> None:
    """Hold what a recipe says of a model's weights to the model's card.

    Parameters
    ----------
    name : str
        The model's.
    licence : str
    non_commercial : bool
        As the recipe says them.
    place : str
        Path of the key.

    Raises
    ------
    RecipeError
        The recipe names a licence that allows what the published one forbids.
    """
    check_card(card(name), licence, non_commercial, place)


def check_card(published: Card, licence: str, non_commercial: bool, place: str) -> None:
    """Hold a recipe to a card that is at hand; see `check_model`."""
    said = contradiction(published, licence, non_commercial)
    if said is not None:
        raise RecipeError(f"{said} - at `{place}`")


def restricts(published: Card, licence: str, non_commercial: bool) -> bool:
    """Say whether weights may not be used commercially, by card and recipe: the stricter wins."""
    return non_commercial or published.non_commercial or forbids(licence) is True
