"""``bioxedge wearers``: of whom this device has learnt a baseline."""

from __future__ import annotations

import json
import time

import click

from bioxedge.commands.shared import say


@click.command()
@click.option("--forget", metavar="NAME", help="Remove what is known of a wearer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def wearers(forget: str | None, as_json: bool) -> None:
    """List of whom a baseline is known here, or forget one.

    A bundle with a baseline learns what is usual for its wearer (run --wearer NAME). What it keeps
    are means and deviations of features, no signal, in one small file a wearer and bundle.
    """
    from bioxedge.runtime import wearers as kept

    if forget is not None:
        count = kept.forget(forget)
        if as_json:
            click.echo(json.dumps({"forgotten": forget, "files": count}))
        else:
            say(f"forgot {forget}: {count} bundle{'s' if count != 1 else ''}")
        return
    found = kept.listed()
    if as_json:
        about = [vars(one) for one in found]
        click.echo(json.dumps({"folder": str(kept.folder()), "wearers": about}))
        return
    if not found:
        say(f"nobody is known in {kept.folder()}: bioxedge run BUNDLE --wearer NAME learns")
    for one in found:
        if one.damaged:
            say(f"{one.wearer}: {one.damaged}")
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
        say(f"{one.wearer}: {one.windows} windows of {one.bundle}, last {when}")
