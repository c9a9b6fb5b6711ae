"""``bioxedge doctor``: what this machine lacks, and the cure."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bioxedge.commands.shared import FOLDER


@click.command()
@click.argument("bundle", type=FOLDER, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def doctor(bundle: Path | None, as_json: bool) -> None:
    """Look for what keeps this machine from running bundles, each with its cure.

    With BUNDLE, that is proven, too. Nothing is changed and no network is used.
    Exit code 0: no problem (warnings do not count); 1: at least one; 2: an error.
    """
    from bioxedge.errors import BundleError
    from bioxedge.measuring.doctor import examine

    if bundle is not None and not bundle.is_dir():
        raise BundleError(f"{bundle} is no directory: name a bundle's, or leave it out")
    report = examine(bundle_at=bundle)
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(report.lines()))
    if report.problems:
        raise click.exceptions.Exit(1)
