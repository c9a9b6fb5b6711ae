"""``bioxedge verify``: prove a bundle on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bioxedge.commands.shared import FOLDER


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def verify(bundle: Path, as_json: bool) -> None:
    """Prove a bundle on this machine: files, stages, model."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import verify as prove

    report = prove(Bundle.open(bundle))
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(report.lines()))
