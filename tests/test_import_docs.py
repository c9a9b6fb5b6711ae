"""docs/import.md: its commands are ones that there are, and its recipes can be followed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from bioxedge import cli

DOCS = Path(__file__).resolve().parent.parent / "docs"
RECIPES = sorted((DOCS / "import").glob("*.toml"))


def commands() -> list[list[str]]:
    text = (DOCS / "import.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("bioxedge ")]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:3]))
def test_a_command_of_the_page_can_be_typed(words):
    verb = cli.cli.get_command(click.Context(cli.cli), words[1])
    verb.make_context(words[1], words[2:])  # raises for what is no option


def test_every_recipe_that_the_page_names_is_there_and_the_other_way_round():
    named = {word for words in commands() for word in words if word.endswith(".toml")}
    assert {Path(word).name for word in named} == {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_the_page_can_be_followed(path):
    recipes = pytest.importorskip("bioxedge.recipes")
    recipe = recipes.read(path)
    assert recipe.used[0].folder == path.stem
