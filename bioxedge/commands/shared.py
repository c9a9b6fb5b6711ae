"""What several verbs take and do."""

from __future__ import annotations

from pathlib import Path

import click

from bioxedge.errors import SinkError

FOLDER = click.Path(path_type=Path)


def say(text: str, *, err: bool = False) -> None:
    """Print a line for people.

    Raises
    ------
    SinkError
        Standard output (or error) takes nothing.
    """
    try:
        click.echo(text, err=err)
    except OSError as error:
        name = "standard error" if err else "standard output"
        raise SinkError(f"{name}: {error.strerror or error}") from error


def pair(option: str, text: str, example: str) -> tuple[str, str]:
    """``key=value`` -> the two.

    Raises
    ------
    click.UsageError
        No ``=``, or nothing on one side of it.
    """
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise click.UsageError(
            f"{option} takes KEY=VALUE, such as {example}, got {text!r}",
            click.get_current_context(silent=True),
        )
    return key, value
