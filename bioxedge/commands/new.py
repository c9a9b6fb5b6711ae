"""``bioxedge new``: a recipe to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bioxedge.commands.shared import FOLDER, say
from bioxedge.errors import BioxedgeError, RecipeError


@click.command()
@click.argument("recipe", required=False, type=FOLDER, metavar="RECIPE.toml")
@click.option("--data", type=FOLDER, metavar="DIR/FOLDER", help="Sessions that import wrote.")
@click.option(
    "--source", default="", metavar="STREAM|MODALITY[:CHANNEL,…]", help="The sensor that is worn."
)
@click.option(
    "--target", default="", metavar="STREAM|MODALITY[:CHANNEL,…]",
    help="The sensor whose model is taught the task.",
)  # fmt: skip
@click.option("--task", default="", metavar="COLUMN|marks", help="What is to be told.")
@click.option("--labels", default="", metavar="A,B", help="Those of its labels that are meant.")
@click.option(
    "--rule", default="", type=click.Choice(["", "classes", "bands", "value"]),
    metavar="classes|bands|value", help="What a column of labels is.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1, 3600), help="How long a window is.")
@click.option("--source-model", default="", metavar="NAME[=FILE]", help="In place of a small one.")
@click.option("--target-model", default="", metavar="NAME[=FILE]", help="The same.")
@click.option("--name", default="", help="Of the bundle; the recipe's own if left out.")
@click.option("--list", "listing", is_flag=True, help="List the recipes that come with bioxedge.")
@click.option("--from", "of", metavar="NAME", help="Copy one of those.")
def new(
    recipe: Path | None,
    data: Path | None,
    source: str,
    target: str,
    task: str,
    labels: str,
    rule: str,
    seconds: float | None,
    source_model: str,
    target_model: str,
    name: str,
    listing: bool,
    of: str | None,
) -> None:
    """Write a recipe to start from: by the recordings at hand, or a copy of one that ships.

    What cannot be meant otherwise is chosen; where it can, the choices are listed. The file is
    for reading and changing: bioxedge build --dry-run checks it.
    """
    from bioxedge import starting

    if listing:
        for each, sentence in starting.shipped().items():
            say(f"{each}\n    {sentence}")
        return
    context = click.get_current_context()
    if recipe is None:
        raise click.UsageError("which file is to be written? name RECIPE.toml", context)
    if (of is None) == (data is None):
        raise click.UsageError("give --data DIR/FOLDER, or --from NAME to copy one", context)
    if of is not None:
        _put(recipe, starting.copy(of))
        say(f"{recipe} is a copy of {of}")
        return
    assert data is not None
    _refuse(recipe)
    at_hand = starting.look(data)
    one, other = starting.choose(at_hand, source, target)
    known = starting.choose_task(at_hand, task, _split(labels), rule)
    length = seconds or starting.seconds_of(one, other)
    sides = [
        starting.suit(choice, model, length, recipe)
        for choice, model in ((one, source_model), (other, target_model))
    ]
    # A link keeps its own name: it lies in the folder that is said.
    place = data.resolve() if data.name in ("", "..") else data
    text = starting.text_of(
        name or recipe.stem.replace("_", "-"), place.name, at_hand, known, sides[0], sides[1]
    )
    try:
        _put(recipe, text.encode())
    except UnicodeEncodeError as error:
        wrong = ascii(error.object[error.start : error.end])
        raise RecipeError(f"a name holds {wrong}, which is no text: rename it") from error
    _hold(recipe)
    say(f"{recipe}: {', '.join(known.labels) or known.columns[0]} from {one.found.name}, taught by "
        f"{other.found.name}")  # fmt: skip
    for said in filter(None, map(starting.foreign, sides)):
        say(said)
    if len(known.people) < _FEW:
        say(f"something is known of {len(known.people)} people: how good it is stays unsure")
    words = ["bioxedge", "build", str(recipe), "--data", str(place.parent), "--out", "OUT"]
    say(f"next: {shlex.join(words)} --dry-run")


_FEW = 6


def _split(text: str) -> list[str]:
    """``a, b`` -> the two."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _refuse(recipe: Path) -> None:
    """Refuse to overwrite a file."""
    if recipe.exists():
        raise RecipeError(f"{recipe} is there: name another file, or move it away")


def _put(recipe: Path, text: bytes) -> None:
    """Write a file that is not there yet."""
    _refuse(recipe)
    try:
        with recipe.open("xb") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                recipe.unlink()  # a full disk leaves no half of a recipe
                raise
    except OSError as error:
        raise RecipeError(f"{recipe} cannot be written: {error.strerror or error}") from error


def _hold(recipe: Path) -> None:
    """Hold what was written to what build asks; it is taken away again where it does not."""
    from bioxedge.recipes import read

    try:
        read(recipe)
    except BioxedgeError:
        recipe.unlink()
        raise
