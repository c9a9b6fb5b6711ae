"""``bioxedge verify``: prove a bundle on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bioxedge.commands.shared import FOLDER


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--variant", metavar="NAME", help="Only that one; all of the bundle, if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def verify(bundle: Path, variant: str | None, as_json: bool) -> None:
    """Prove a bundle on this machine: files, stages, and every variant of the model.

    A variant that the runtime here cannot load is named; the others are proven.
    """
    from bioxedge import runtime
    from bioxedge.bundle import Bundle

    opened = Bundle.open(bundle)
    report: runtime.Report | runtime.Proof = (
        runtime.verify_all(opened) if variant is None else runtime.verify(opened, variant=variant)
    )
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(report.lines()))
