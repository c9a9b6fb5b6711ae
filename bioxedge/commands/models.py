"""``bioxedge models``: what is known of the foundation models."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the cards as one JSON object.")
def models(name: str | None, as_json: bool) -> None:
    """List the foundation models: sensor, rate, sizes, licence, where their weights are.

    With NAME, all that is known of one of them.
    """
    from bioxedge.models.cards import CARDS, card
    from bioxedge.models.listing import details, summary

    chosen = list(CARDS.values()) if name is None else [card(name)]
    if as_json:
        click.echo(json.dumps({"models": [each.to_dict() for each in chosen]}))
    elif name is None:
        click.echo("\n\n".join("\n".join(summary(each)) for each in chosen))
        click.echo("\nall of one: bioxedge models NAME")
    else:
        click.echo("\n".join(details(chosen[0])))
