"""``bioxedge profile``: what each part of two models costs on this device."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bioxedge.commands.shared import FOLDER, say


@click.command()
@click.argument("kit", type=FOLDER)
@click.option("--threads", default="1", show_default=True, help="Thread counts, comma between.")
@click.option(
    "--provider", default="cpu", show_default=True, help="What runs the models; comma between."
)
@click.option("--repeats", type=click.IntRange(min=3), default=42, show_default=True)
@click.option("--out", type=FOLDER, default=Path("profile.json"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the profile as well.")
def profile(kit: Path, threads: str, provider: str, repeats: int, out: Path, as_json: bool) -> None:
    """Time every part of a kit on this device, in the engine that runs here.

    The desktop makes the kit (bioxedge positions RECIPE --out OUT --kit) and reads the small
    file that comes back (--profile FILE).
    """
    from rich.console import Console
    from rich.progress import Progress

    from bioxedge import profilefile
    from bioxedge.errors import SinkError
    from bioxedge.kit import Kit
    from bioxedge.measuring.profile import profile as measure

    counts = list(dict.fromkeys(_count(word) for word in threads.split(",")))
    if not out.absolute().parent.is_dir() or out.is_dir():
        raise SinkError(f"{out} cannot be written: name a file in a folder that is there")
    opened = Kit.open(kit)
    console = Console(stderr=True)
    # A console that is none would get blank lines.
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("every part in turn", total=None)
        found = measure(
            opened,
            threads=counts,
            providers=list(dict.fromkeys(provider.split(","))),
            repeats=repeats,
            report=lambda done, total: bars.update(task, completed=done, total=total),
        )
    profilefile.write(out, found)
    if as_json:
        say(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        say(line)
    say(f"{out}: take it to the desktop: bioxedge positions RECIPE --out OUT --profile {out.name}")


def _count(word: str) -> int:
    """Read one number of threads."""
    if not word.strip().isdigit() or int(word) < 1:
        raise click.UsageError(
            f"--threads takes whole numbers from 1 on, such as 1,2, got {word!r}",
            click.get_current_context(),
        )
    return int(word)
