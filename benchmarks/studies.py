"""What a bridge depends on, one thing at a time, on real recordings: figures, words and a picture.

    python benchmarks/studies.py --out out/studies --data SESSIONS [--recipes …]

`bioxedge study` for each recipe, with half of the people tested (folds = 2) so that intervals mean
something: rank × prototypes, real and random prototypes, fewer pairs, fewer labelled people, lag
and drift between the two sensors, threads. SESSIONS is what the imports of each recipe's page wrote
(of BIDMC the folder as published). Finished steps are kept in --out.
"""

from __future__ import annotations

import json
import shutil

from asking import RECIPES, asking, ended
from results import about
from rich.console import Console

from bioxedge.building.study import study

NAMES = ("stress_predict", "eegmat", "bidmc_ecg_to_ppg")


def main() -> int:
    """Study every recipe asked for."""
    options = asking(__doc__, NAMES, sessions=True)
    options.add_argument("--seeds", type=int, default=3, help="how many")
    options.add_argument("--axes", nargs="+", default=[], help="as bioxedge study's; all but rows")
    given = options.parse_args()
    for name in given.recipes:
        measured, out = about(), given.out / name
        found = study(
            RECIPES / f"{name}.toml",
            out,
            given.data,
            console=Console(),
            changes=("split.folds=2", "split.fold=0"),
            axes=given.axes,
            seeds=given.seeds,
        )
        # Where it was drawn is this machine's business.
        kept = {**measured, **found.to_dict(), "recipe": name, "pictures": []}
        (given.out / f"study_{name}.json").write_text(json.dumps(kept, indent=2) + "\n")
        shutil.copyfile(out / "study" / "overview.png", given.out / f"study_{name}.png")
    return 0


if __name__ == "__main__":
    ended(main)
