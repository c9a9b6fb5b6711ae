"""Licences of weights: what a recipe says, what the authors say, and that the stricter wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge.errors import RecipeError
from bioxedge.models import licences
from bioxedge.models.cards import CARDS, Card, card

RESTRICTED = (
    "CC-BY-NC-4.0", "cc-by-nc-sa-4.0", "CC BY NC 4.0", "CC-BYNC-4.0", "research use only",
    "Apache-2.0 (non-commercial)", "for academic use", "MIT, non commercial use",
    "PolyForm Noncommercial 1.0",
)  # fmt: skip
FREE = (
    "MIT", "mit", "MIT License", "the MIT licence", "Apache-2.0", "Apache License 2.0",
    "BSD-3-Clause", "bsd 3 clause", "BSD-3-Clause-Clear", "CC0-1.0", "CC-BY-4.0", "CC BY-SA 4.0",
    "GPL-3.0-or-later", "AGPL-3.0-only", "LGPLv3", "MPL-2.0", "ISC", "Unlicense", "public domain",
    "ODC-By-1.0",
    "OpenRAIL-M",
)  # fmt: skip
UNKNOWN = (
    "",
    "not stated",
    "ask the hospital",
    "mitre internal",
    "iscience data use",
    "CC-BY-ND-4.0",
)


@pytest.mark.parametrize(("names", "wanted"), [(RESTRICTED, True), (FREE, False), (UNKNOWN, None)])
def test_a_licence_is_known_by_its_name(names: tuple[str, ...], wanted: bool | None) -> None:
    assert {name: licences.forbids(name) for name in names} == dict.fromkeys(names, wanted)


def test_what_cards_say_is_known() -> None:
    for each in CARDS.values():
        assert licences.forbids(each.licence) is each.non_commercial, each.name


@pytest.mark.parametrize("said", FREE)
def test_a_licence_that_allows_what_the_card_forbids_is_an_error_naming_both(said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        licences.check_model("hubert_ecg", said, False, "$.source.model.licence")
    for part in ("hubert_ecg", "CC-BY-NC-4.0", said, "$.source.model.licence"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [*RESTRICTED, *UNKNOWN])
def test_an_unknown_or_a_strict_licence_contradicts_nothing_and_the_card_still_holds(
    said: str,
) -> None:
    for name in ("hubert_ecg", "papagei", "mine:net"):
        licences.check_model(name, said, False, "$.x")
    assert licences.restricts(card("hubert_ecg"), said, False)


def test_own_weights_under_a_restricted_name_can_be_said_to_be_restricted() -> None:
    licences.check_model("hubert_ecg", "MIT", True, "$.x")
    assert licences.restricts(card("hubert_ecg"), "MIT", True)


@given(
    published=st.sampled_from([*RESTRICTED, *FREE, *UNKNOWN]),
    marked=st.booleans(),
    said=st.sampled_from([*RESTRICTED, *FREE, *UNKNOWN]),
    told=st.booleans(),
)
def test_the_stricter_of_card_and_recipe_wins(
    published: str, marked: bool, said: str, told: bool
) -> None:
    about = replace(Card("some"), licence=published, non_commercial=marked)
    strict = licences.restricts(about, said, told)
    assert strict == (marked or told or licences.forbids(said) is True)
    if licences.contradiction(about, said, told):
        assert marked and not told and licences.forbids(said) is False


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert licences.forbids(text) in (True, False, None)
