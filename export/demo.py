"""The demo: simulated wearers in, a bundle out, live labels from it where torch is not.

Choices only: which recipe, which wearer, how fast. ``make demo`` runs it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bioxedge import recipes, recording
from bioxedge.building import Built, build
from bioxedge.building.offline import export
from bioxedge.building.rehearsal import rehearse
from bioxedge.building.report import table
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.simulated import mishaps
from bioxedge.errors import BioxedgeError

RECIPE = Path(__file__).parent / "recipes" / "demo_stress_ecg_to_ppg.toml"
SPEED = "20"  # times real time: eight minutes of wearing in 24 seconds
SECONDS = "240"
SEEDS = (1, 2)  # beside the recipe's own: how much chance there is in twelve wearers
# What the wearer of part 4 does to us, in seconds: the band comes off, and a packet is dropped.
OFF, DROPPED = (70.0, 100.0), 50.0


def main() -> int:
    """Run the five parts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=Path("demo"))
    options.add_argument("--device", default=sys.executable, help="Python without torch.")
    options.add_argument("--random", action="store_true", help="Random weights, only a bundle.")
    given = options.parse_args()
    console = Console()
    if given.random:
        made = rehearse(recipes.read(RECIPE), given.out / "random")
        files = {"bridge": made.bridge, "head": made.head, "base": made.folder}
        export(made.recipe, given.out / "bundle", **files, console=console)
        return 0
    began = time.monotonic()

    console.rule("1–3  simulate, train, export")
    built = build(RECIPE, given.out, console=console)

    console.rule("4  live, where torch is not installed")
    recipe, prepared = built.learnt.recipe, built.learnt.prepared
    person = prepared.people.test[0]
    one = next(one for one in prepared.windows.sessions if one.person == person)
    assert one.source is not None
    worn = given.out / "recordings" / one.name
    source = mishaps(one.source.read(), off=OFF, dropped=DROPPED)
    recording.save(worn_of(source, recipe.source.sensor), worn)
    console.print(
        f"{person} takes the band off from {OFF[0]:g} to {OFF[1]:g} s, "
        f"and a packet is dropped at {DROPPED:g} s"
    )
    absent = subprocess.run([given.device, "-c", "import torch"], capture_output=True, check=False)
    console.print(
        f"{given.device}: import torch "
        + ("fails, as it should" if absent.returncode else "works (not a device install)")
    )
    bioxedge = str(Path(given.device).with_name("bioxedge"))
    bundle = str(given.out / "bundle")
    command = [
        bioxedge, "run", bundle,
        "--source", f"playback:{worn}", "--board", recipe.source.sensor.board,
        "--preset", recipe.source.sensor.preset, "--speed", SPEED, "--seconds", SECONDS,
    ]  # fmt: skip
    console.print("$ " + " ".join(command), style="bold", soft_wrap=True)
    live = subprocess.run(command, check=False)
    if live.returncode:
        return live.returncode

    console.rule("5  what came out, and what another seed would have given")
    others = [built_again(seed, given.out / f"seed-{seed}") for seed in SEEDS]
    console.print(table(built.learnt, built.found))
    for line in built.found.verdicts:
        console.print(f"  {line}", style="bold", soft_wrap=True)
    for name, found in built.others.items():
        console.print(table(built.learnt.others[name], found))
    console.print(over_seeds([built, *others]))
    console.print(f"what it is like to be worn: {given.out / 'report' / 'worn.png'}")
    console.print("other pictures:", *(f"\n  {path}" for path in built.pictures))
    console.print(
        f"\ndone in {time.monotonic() - began:.0f} s. What to type next:\n"
        f"  {bioxedge} verify {bundle}\n"
        f"  {bioxedge} bench {bundle}    # how long a window takes here\n"
        f"  {bioxedge} run {bundle} --source brainflow:muse_2   # with a Muse 2 on\n"
        "  README.md: from your own recordings to your own bundle",
        soft_wrap=True,
    )
    return 0


def built_again(seed: int, out: Path) -> Built:
    """Build once more with another seed; nobody looks on but for its progress."""
    found = build(RECIPE, out, seed=seed, console=Console(stderr=True, quiet=True))
    assert found is not None
    return found


def over_seeds(built: list[Built]) -> Table:
    """Lay out what each method reached with each seed, on the same wearers."""
    rows = Table(title="balanced accuracy by seed, the same wearers", title_justify="left")
    rows.add_column("method")
    for one in built:
        rows.add_column(f"seed {one.learnt.recipe.seed}", justify="right")
    rows.add_column("from – to", justify="right")
    reached = [{score.method: score.value for score in one.scores} for one in built]
    for method in reached[0]:
        own = [found.get(method) for found in reached]
        known = [value for value in own if value is not None]
        cells = ["–" if value is None else f"{value:.2f}" for value in own]
        span = f"{min(known):.2f} – {max(known):.2f}"
        rows.add_row(method, *cells, span, style="bold" if method == "bridge" else None)
    return rows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
