"""Results that carry the commit they were measured at, and whether the code has moved on since.

    python benchmarks/results.py            # says which of results/*.json are older than the code
    python benchmarks/results.py --write    # writes their tables into the pages

A result is older than the code where a file that it depends on has changed since its commit. Tables
stand between ``<!-- NAME -->`` and ``<!-- /NAME -->``; a test holds the pages to the results.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asking import ended

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results"
PATHS = (
    "bioxedge/bridging",
    "bioxedge/building",
    "bioxedge/classic",
    "bioxedge/datasets",
    "bioxedge/models",
    "bioxedge/quality",
    "bioxedge/recipes",
    "bioxedge/decide.py",
    "bioxedge/dsp.py",
    "bioxedge/filters.py",
    "bioxedge/gaps.py",
    "bioxedge/stage.py",
    "bioxedge/standardising.py",
    "bioxedge/wearer.py",
    "bioxedge/windows.py",
    "bioxedge/worn.py",
)
"""What the studies depend on, each besides its own recipe."""


def about() -> dict[str, Any]:
    """Say at which commit, and on what, something is measured."""
    changed = _git("status", "--porcelain", "--", *PATHS, "export/recipes")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(changed),
        "machine": f"{platform.machine()}, {platform.python_implementation()} "
        f"{platform.python_version()}, torch {version('torch')}",
    }


def older(found: dict[str, Any]) -> list[str]:
    """Name the files that have changed since a result; itself if its commit is not known."""
    try:
        own = f"export/recipes/{found['recipe'].split(',')[0]}.toml"
        changed = _git("diff", "--name-only", found["commit"], "HEAD", "--", *PATHS, own)
    except subprocess.CalledProcessError:
        return ["its commit is not in this history"]
    return changed.splitlines()


def _git(*words: str) -> str:
    """Ask git."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def rows_of(found: dict[str, Any]) -> list[str]:
    """Lay out the rows of what was cross-fitted, below who was tested."""
    titles = [
        "row", "balanced accuracy", "95 % over people", "by seed", "not causal", "macro F1", "κ",
        "calibration error", "trained", "pretrained here", "s", "MiB", "ms a window",
    ]  # fmt: skip
    rows = []
    for method, row in found["methods"].items():
        low, high = row["interval"]
        cells = [
            f"**{method}**" if method == "bridge" else method,
            f"{row['balanced_accuracy']:.3f}",
            f"{low:.3f}–{high:.3f}",
            ", ".join(f"{one:.3f}" for one in row["by_seed"]),
            _shown(row.get("reference"), ".3f"),
            f"{row['macro_f1']:.3f}",
            f"{row['kappa']:.2f}",
            _shown(row["calibration_error"], ".3f"),
            _shown(row["parameters"] or None, ",.0f"),
            _shown(row["pretrained"] or None, ",.0f"),
            _shown(row["seconds"], ".1f"),
            _shown(row["memory_mib"], ".0f"),
            _shown(row["window_ms"], ".2f"),
        ]
        rows.append(cells)
    # What was measured for no row is no column.
    kept = [k for k in range(len(titles)) if any(cells[k] != "–" for cells in rows)]
    table = [[cells[k] for k in kept] for cells in (titles, ["---"] * len(titles), *rows)]
    return [
        f"{found['people']} people, {found['windows']:,} windows, seeds "
        f"{', '.join(map(str, found['seeds']))}; at commit {found['commit'][:12]}.",
        "",
        *(f"| {' | '.join(cells)} |" for cells in table),
        "",
    ]


def _shown(value: float | None, form: str) -> str:
    """Give a figure, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def beside_distillation(found: dict[str, Any]) -> str:
    """Say how far the bridge is ahead of distillation, and at what size; empty without that row."""
    if "share_of_parameters" in found:  # as it was kept before there were two
        low, high = found["bridge_minus_distillation_interval"]
        return (
            f"Bridge − distillation: {found['bridge_minus_distillation']:+.3f} ({low:+.3f} to "
            f"{high:+.3f}), with {found['share_of_parameters']:.1%} of its trained parameters."
        )
    said = []
    for other, one in found.get("bridge_minus", {}).items():
        low, high = one["interval"]
        seeds = ", ".join(f"{each:+.3f}" for each in one.get("by_seed", ()))
        said.append(
            f"Bridge − {other}: {one['difference']:+.3f} ({low:+.3f} to {high:+.3f} over people"
            f"{f'; by seed {seeds}' if seeds else ''}), with "
            f"{one['share_of_parameters']:.1%} of its trained parameters."
        )
    return "\n".join(said)


def causal(found: dict[str, Any]) -> str:
    """Say what being causal costs; empty where that was not measured."""
    told = [
        f"the {name} {cost:+.3f} ({low:+.3f} to {high:+.3f})"
        for name, (cost, low, high) in found.get("causal_cost", {}).items()
    ]
    if not told:
        return ""
    return (
        f"Being causal costs {' and '.join(told)}: what it reaches from the same windows cut from "
        "whole recordings, as no device can, less what it reaches here."
    )


def table(found: dict[str, Any]) -> str:
    """Lay out what was cross-fitted as its page has it."""
    said = [f"{one}." for one in found["verdicts"]]
    more = [one for one in (beside_distillation(found), causal(found)) if one]
    return "\n".join([*rows_of(found), *said, *more])


def short(found: dict[str, Any]) -> str:
    """Give the row that the front page has."""
    shown = (
        "teacher",
        "bridge",
        "distillation",
        "classic features",
        "pulse counter",
        "majority",
    )
    cells = []
    for name in shown:
        if name not in found["methods"]:  # the slowest comparison may be left out
            cells.append("–")
            continue
        row = found["methods"][name]
        low, high = row["interval"]
        figure = f"{row['balanced_accuracy']:.3f} ({low:.2f}–{high:.2f})"
        cells.append(f"**{figure}**" if name == "bridge" else figure)
    size = ", ".join(
        f"{found['methods'][name]['parameters']:,}"
        for name in ("bridge", "distillation")
        if name in found["methods"]
    )
    return f"| {TITLES[found['recipe']]} | {' | '.join(cells)} | {size} |"


TITLES = {
    "bidmc_ecg_to_ppg": "small ECG transformer",
    "bidmc_openecg_to_ppg": "OpenECG, published weights",
}


TASKS = {
    "stress_predict": ("Stress on a wristband, EDA → PPG", "stress.md"),
    "eegmat": ("Mental arithmetic, EEG → ECG", "arithmetic.md"),
    "challenge2015": ("True alarms, ECG → PPG", "alarms.md"),
}
"""What a task's row is called, and its page below ``docs/tasks``."""

_FRONT = ("teacher", "bridge", "distillation", "distillation, with what goes into the bridge",
          "classic features, bridged", "classic features", "bridge, no baseline",
          "oracle: classic features, true labels", "majority")  # fmt: skip


STUDIES = {
    "stress_predict": ROOT / "docs" / "tasks" / "stress.md",
    "eegmat": ROOT / "docs" / "tasks" / "arithmetic.md",
    "bidmc_ecg_to_ppg": ROOT / "benchmarks" / "README.md",
}
"""On which page a recipe's study stands."""


def studied(found: dict[str, Any]) -> str:
    """Lay out what a bridge depends on: each axis point by point, and in words."""
    whole = found["bridge"]
    lines = [
        f"{found['people']} people tested, {found['windows']:,} windows, seeds "
        f"{', '.join(map(str, found['seeds']))}; the recipe as it is {whole['value']:.3f} "
        f"({whole['interval'][0]:.2f}–{whole['interval'][1]:.2f}); at commit "
        f"{found['commit'][:12]}.",
        "",
        "| what is varied | balanced accuracy, point by point | in words |",
        "| --- | --- | --- |",
    ]
    for axis in found["axes"]:
        points = [
            f"{one['label']} {one['figure']['value']:.3f}"
            for one in axis["places"]
            if one["figure"] is not None
        ]
        if axis["name"] == "threads":
            points = [f"{one['label']} {one['window']:.3f} ms a window" for one in axis["places"]]
        said = "; ".join(axis["lines"]) or axis["why_not"]
        lines.append(f"| {axis['title']} | {', '.join(points) or '–'} | {said} |")
    return "\n".join(lines)


def studies() -> dict[Path, dict[str, str]]:
    """Give what the studies found, by page and name."""
    found = [json.loads(path.read_text()) for path in sorted(KEPT.glob("study_*.json"))]
    return {STUDIES[each["recipe"]]: {f"study {each['recipe']}": studied(each)} for each in found}


def forms() -> dict[Path, dict[str, str]]:
    """Give what other forms of a bridge reach, by page and name."""
    every = [json.loads(path.read_text()) for path in sorted(KEPT.glob("forms_*.json"))]
    if not every:
        return {}
    people = "; ".join(
        f"{each['recipe']} {each['people']} people, seeds {', '.join(map(str, each['seeds']))}, at "
        f"commit {each['commit'][:12]}"
        for each in every
    )
    lines = [
        f"{people}.",
        "",
        f"| balanced accuracy (difference from the first, 95 % over people; trained) | "
        f"{' | '.join(each['recipe'] for each in every)} |",
        f"| {' | '.join(['---'] * (1 + len(every)))} |",
    ]
    for name in every[0]["methods"]:
        cells = []
        for each in every:
            row = each["methods"][name]
            cell = f"{row['balanced_accuracy']:.3f}"
            if "ahead" in row:
                low, high = row["ahead_interval"]
                cell += f" ({row['ahead']:+.3f}, {low:+.3f} to {high:+.3f}; {row['parameters']:,})"
            elif row["parameters"]:
                cell += f" ({row['parameters']:,})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return {ROOT / "benchmarks" / "README.md": {"forms": "\n".join(lines)}}


def prices() -> dict[Path, dict[str, str]]:
    """Give what being causal costs, recipe by recipe, by page and name."""
    lines = [
        "| recipe | row | from the stream | from whole recordings | cost (95 % over people) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path in sorted(KEPT.glob("*.json")):
        found = json.loads(path.read_text())
        for name, (cost, low, high) in found.get("causal_cost", {}).items():
            row = found["methods"][name]
            cells = [
                f"{found['recipe']}, at commit {found['commit'][:12]}",
                name,
                f"{row['balanced_accuracy']:.3f}",
                f"{row['reference']:.3f}",
                f"{cost:+.3f} ({low:+.3f} to {high:+.3f})",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return {ROOT / "benchmarks" / "README.md": {"causal": "\n".join(lines)}}


def front_of(found: dict[str, Any], folder: str) -> str:
    """Give the row of a task beside the others, with a link to its page, which lies in `folder`."""
    title, page = TASKS[found["recipe"]]
    cells = [f"[{title}]({folder}{page})"]
    for name in _FRONT:
        row = found["methods"].get(name)
        if row is None:
            cells.append("–")
            continue
        low, high = row["interval"]
        figure = f"{row['balanced_accuracy']:.2f} ({low:.2f}–{high:.2f})"
        cells.append(f"**{figure}**" if name == "bridge" else figure)
    return f"| {' | '.join(cells)} |"


def tasks() -> dict[Path, dict[str, str]]:
    """Give the tables of the three tasks, by page and name."""
    found = [
        json.loads((KEPT / f"{name}.json").read_text())
        for name in TASKS
        if (KEPT / f"{name}.json").exists()
    ]
    if not found:
        return {}
    titles = (
        "| balanced accuracy (95 % over people) | teacher, on its own sensor | **bridge** | "
        "whole encoder distilled | the same, with the bridge's classic features and baseline | "
        "bridge on classic features alone, no encoder | classic features, a linear model on the "
        "same pseudo-labels and baseline | bridge without the baseline | "
        "classic features, true labels | a constant |\n"
        f"| {' | '.join(['---'] * (1 + len(_FRONT)))} |"
    )
    docs = ROOT / "docs" / "tasks"
    own = {docs / TASKS[each["recipe"]][1]: {each["recipe"]: table(each)} for each in found}
    beside = {
        page: {"tasks": "\n".join([titles, *(front_of(each, folder) for each in found)])}
        for page, folder in ((ROOT / "README.md", "docs/tasks/"), (docs / "index.md", ""))
    }
    return {**beside, **own}


def pages() -> dict[Path, dict[str, str]]:
    """Give every table that the results make, by page and name."""
    found = heart()
    for more in (tasks(), studies(), forms(), prices()):
        for page, tables in more.items():
            found[page] = {**found.get(page, {}), **tables}
    return found


def heart() -> dict[Path, dict[str, str]]:
    """Give the tables of the heart-rate band, by page and name."""
    found = [json.loads(path.read_text()) for path in sorted(KEPT.glob("bidmc_*.json"))]
    if not found:
        return {}
    front = "\n".join(
        [
            "| balanced accuracy (95 % over people) | teacher on ECG | **bridge on PPG** | "
            "whole encoder distilled | classic features, same pseudo-labels | counting pulses | "
            "a constant | trained: bridge, distillation |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *(short(each) for each in found if each["recipe"] in TITLES),
        ]
    )
    return {
        ROOT / "README.md": {"bidmc": front},
        ROOT / "benchmarks" / "README.md": {each["recipe"]: table(each) for each in found},
    }


def filled(page: str, tables: dict[str, str]) -> str:
    """Put tables into a page."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"error: no {begin} … {end} in the page")
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def main() -> int:
    """Say of every kept result whether it is older than the code that it describes."""
    if sys.argv[1:] == ["--write"]:
        for page, tables in pages().items():
            page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
        return 0
    for path in sorted(KEPT.glob("*.json")):
        found = json.loads(path.read_text())
        changed = older(found)
        said = (
            f"older than the code: {len(changed)} files have changed" if changed else "up to date"
        )
        print(f"{path.relative_to(ROOT)} (commit {found['commit'][:12]}): {said}")
    return 0


if __name__ == "__main__":
    ended(main)
