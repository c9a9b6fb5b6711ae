"""A simulated day of faults, twice: 64 Hz on one channel, and 250 Hz on eight.

    python benchmarks/soak.py --out out/soak

What ``bioxedge soak BUNDLE`` does to a bundle of yours, done to two that need no training: four
seconds of signal every second, a band-pass, z-score, a judge that knows the signal.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bioxedge.runtime.soak import soak

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from test_faults import judged_bundle

DAYS = {
    "64 Hz x 1": {"channels": ("ppg_2",), "rate": 64.0, "length": 256, "hop": 64},
    "250 Hz x 8": {
        "channels": tuple(f"eeg_{n}" for n in range(1, 9)),
        "modality": "eeg", "rate": 250.0, "length": 1000, "hop": 250,
    },
}  # fmt: skip


def main() -> int:
    """Run both days; exit code 1 where a window is wrong and unmarked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=Path("out/soak"))
    options.add_argument("--hours", type=float, default=24.0)
    options.add_argument("--faults", type=int, default=3000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--day", choices=DAYS, nargs="+", default=list(DAYS))
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for name in given.day:
        with tempfile.TemporaryDirectory() as folder:
            bundle = judged_bundle(Path(folder) / "b", **DAYS[name])
            report = soak(bundle, hours=given.hours, faults=given.faults, seed=given.seed)
        path = given.out / f"{name.replace(' ', '-')}.json"
        path.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {report.line()}", flush=True)
        wrong += report.wrong
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
