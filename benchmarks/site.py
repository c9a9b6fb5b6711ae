"""Several bundles on one source in one process, beside a process for each.

``python benchmarks/site.py [--runs 4] [--seconds 30] [--turns 2] [--out FOLDER]``

Each way runs in real time, in turns, on a simulated wearer; processor time and memory are read
from the kernel as they end (``wait4``). The processes have a simulated wearer each, because a
real sensor cannot be read by two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fixtures_bundle import make_bundle

PYTHON = [sys.executable, "-m", "bioxedge", "run"]


def ended(process: subprocess.Popen) -> tuple[float, float]:
    """Wait for a process; its processor time in seconds and its most memory in MB."""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a run ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def together(folder: Path, runs: int, seconds: float) -> tuple[float, float]:
    """One process for all of them."""
    lines = [f'[sources.wrist]\nsource = "synthetic:ppg,minutes={seconds / 60}"']
    lines += [
        f'[runs.run{k}]\nbundle = "b"\nsource = "wrist"\nsinks = ["jsonl:{{run}}.jsonl"]'
        for k in range(runs)
    ]
    (folder / "site.toml").write_text("\n".join(lines))
    command = [*PYTHON, "--config", str(folder / "site.toml")]
    return ended(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def apart(folder: Path, runs: int, seconds: float) -> tuple[float, float]:
    """A process for each."""
    made = [
        subprocess.Popen(
            [*PYTHON, "b", "--source", f"synthetic:ppg,minutes={seconds / 60}", "--sink",
             f"jsonl:apart{k}.jsonl"],
            cwd=folder, stdout=subprocess.DEVNULL,
        )
        for k in range(runs)
    ]  # fmt: skip
    used = [ended(process) for process in made]
    return sum(cpu for cpu, _ in used), sum(memory for _, memory in used)


def main() -> None:
    """Run the ways in turns and say what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/site"))
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"one process": [], "a process for each": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder / "b", hop=16)
        for _ in range(asked.turns):
            found["one process"].append(together(folder, asked.runs, asked.seconds))
            found["a process for each"].append(apart(folder, asked.runs, asked.seconds))
    load = os.getloadavg()[0]
    table = Table(title=f"{asked.runs} bundles, a window every 0.25 s, {asked.seconds:g} s")
    for head in ("", "% of a core", "memory, MB"):
        table.add_column(head, justify="right" if head else "left")
    rows = {}
    for way, used in found.items():
        cpu = 100 * median(one for one, _ in used) / asked.seconds
        memory = median(one for _, one in used)
        rows[way] = {"core_percent": round(cpu, 2), "memory_mb": round(memory, 1)}
        table.add_row(way, f"{cpu:.1f}", f"{memory:.0f}")
    Console().print(table, f"load at the end {load:.1f}; start and end of the processes included")
    asked.out.mkdir(parents=True, exist_ok=True)
    about = {"runs": asked.runs, "seconds": asked.seconds, "turns": asked.turns, "load": load}
    (asked.out / "site.json").write_text(json.dumps({**about, "ways": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
