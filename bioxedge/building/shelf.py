"""What the scripts in ``export/`` share: a recipe, files from anywhere, a bundle, and its cost."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bioxedge import recipes
from bioxedge.building.offline import Exported, export
from bioxedge.building.rehearsal import rehearse
from bioxedge.errors import BioxedgeError, RecipeError
from bioxedge.models import checkpoint
from bioxedge.recipes import Recipe


def main(recipe: Path, *, changes: Sequence[str] = (), as_published: bool | None = None) -> None:
    """Run a script of the shelf; prints one line of JSON, and what goes wrong as one line.

    Parameters
    ----------
    recipe : Path
        All choices.
    changes : sequence of str
        ``key=value`` each, in place of what the recipe says: the sensor that is worn.
    as_published : bool, optional
        How the bridge lays out its tokens; see :func:`bioxedge.building.offline.export`.
    """
    given = _arguments(recipe).parse_args()
    if given.transposed:
        as_published = False
    began = time.monotonic()
    try:
        found = run(recipe, given, as_published, changes)
    except BioxedgeError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    facts = found.to_dict() | cost(began)
    print(json.dumps(facts))


def run(
    recipe: Path,
    given: argparse.Namespace,
    as_published: bool | None,
    changes: Sequence[str] = (),
) -> Exported:
    """Export as the arguments say."""
    wanted = recipes.read(recipe, changes)
    names = None if given.variants is None else given.variants.split(",")
    options: dict[str, Any] = {"variants": names, "as_published": as_published}
    if given.random:
        made = rehearse(wanted, given.out.with_name(f"{given.out.name}.random"))
        return export(
            made.recipe, given.out, bridge=made.bridge, head=made.head, base=made.folder, **options
        )
    lacking = [f"--{name}" for name in ("bridge", "head") if getattr(given, name) is None]
    if lacking:
        raise RecipeError(f"{' and '.join(lacking)} are missing: name the files, or say --random")
    return export(
        _with_files(wanted, given),
        given.out,
        bridge=given.bridge,
        head=given.head,
        signal=given.recording,
        base=recipe.parent,
        **options,
    )


def cost(began: float) -> dict[str, float | int]:
    """Say what this process took: seconds since ``began``, those of processors, peak memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return {
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_rss_bytes": unit * used.ru_maxrss,
    }


def _with_files(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """Name checkpoints where they lie; who names a file trusts it, so its hash is taken."""
    for side in ("source", "target"):
        path = getattr(given, side)
        if path is None:
            continue
        about = getattr(recipe, side)
        model = msgspec.structs.replace(
            about.model, checkpoint=str(path.resolve()), sha256=checkpoint.sha256(path)
        )
        changed = msgspec.structs.replace(about, model=model)
        recipe = msgspec.structs.replace(recipe, **{side: changed})
    return recipe


def _arguments(recipe: Path) -> argparse.ArgumentParser:
    """Give what every script takes."""
    parser = argparse.ArgumentParser(description=f"A bundle by {recipe.name}, without training.")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's directory")
    parser.add_argument("--source", type=Path, help="checkpoint, in place of the recipe's")
    parser.add_argument("--target", type=Path, help="checkpoint, in place of the recipe's")
    parser.add_argument("--bridge", type=Path, help="bridge.pt of a build, or a state dict")
    parser.add_argument("--head", type=Path, help="head.pt of a build, or a state dict")
    parser.add_argument("--recording", type=Path, help="of the source sensor, for golden windows")
    parser.add_argument("--variants", help="such as int8,int8-static, or none")
    parser.add_argument("--transposed", action="store_true", help="tokens laid out as ours are")
    parser.add_argument(
        "--random", action="store_true", help="random weights of full size, kept in OUT.random"
    )
    return parser
