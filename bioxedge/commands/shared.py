"""What several verbs take."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)
