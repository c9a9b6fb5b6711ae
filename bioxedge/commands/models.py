"""``bioxedge models``: what is known of the foundation models."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.option(
    "--check",
    "samples",
    type=click.IntRange(min=1),
    metavar="SAMPLES",
    help="Make the model and hold it to what every model here is held to, on windows this long.",
)
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --check: one of the model's dimensions; VALUE as in JSON, or a word.",
)
def models(name: str | None, as_json: bool, samples: int | None, options: tuple[str, ...]) -> None:
    """List the foundation models: sensor, rate, sizes, licence, where their weights are.

    With NAME, all that is known of one of them, or of a model of your own: NAME is then
    package.module:function, found as Python finds modules (PYTHONPATH). With --check it is made and
    tried, and the exit code is 1 where something does not hold.
    """
    from bioxedge.models import card
    from bioxedge.models.cards import CARDS
    from bioxedge.models.listing import details, summary

    if samples is not None or options:
        if name is None or samples is None:
            raise click.UsageError("a model is checked by its name: bioxedge models NAME --check N")
        _check(name, samples, dict(map(_option, options)), as_json)
        return
    chosen = list(CARDS.values()) if name is None else [card(name)]
    if as_json:
        click.echo(json.dumps({"models": [each.to_dict() for each in chosen]}))
    elif name is None:
        click.echo("\n\n".join("\n".join(summary(each)) for each in chosen))
        click.echo("\nall of one: bioxedge models NAME")
    else:
        click.echo("\n".join(details(chosen[0])))


def _check(name: str, samples: int, options: dict[str, Any], as_json: bool) -> None:
    """Hold a model to what every model is held to, and say it."""
    from bioxedge.models import check

    found = check(name, samples=samples, **options)
    click.echo(json.dumps(found.to_dict()) if as_json else "\n".join(found.lines()))
    if not found.ok:
        raise SystemExit(1)


def _option(text: str) -> tuple[str, Any]:
    """Take ``key=value`` apart."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or key in ("samples", "export"):
        raise click.UsageError(f"{text!r} is no option of a model: write KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
