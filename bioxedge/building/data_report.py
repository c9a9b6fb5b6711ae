"""What there is to learn from, before anything is trained: who, how much, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.table import Table

from bioxedge.building.preparation import Prepared
from bioxedge.recipes import ROLES, Recipe

_CLOCKS = 4  # recordings whose clocks a terminal shows
_MOST = 12  # reasons that it shows


def facts(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """Count people, recordings, windows, classes and minutes by part, and what was left out."""
    windows = prepared.windows
    parts: dict[str, Any] = {}
    for role in ROLES:
        rows = prepared.of(role)
        sessions = np.unique(windows.session[rows])
        # A window counts for the time until the next one, so that overlaps are not counted twice.
        seconds = sum(
            windows.step_of(int(one)) * np.count_nonzero(windows.session[rows] == one)
            for one in sessions
        )
        parts[role] = {
            "people": list(getattr(prepared.people, role)),
            "recordings": len(sessions),
            "windows": len(rows),
            "minutes": round(float(seconds) / 60, 1),
            "known": _known(recipe, prepared, rows),
        }
    left = [
        {
            "recording": one.name,
            "person": one.person,
            "why": one.why,
            "windows": one.windows,
            "minutes": round(one.seconds / 60, 2),
        }
        for one in windows.left
    ]
    dealt = {name for role in ROLES for name in getattr(prepared.people, role)}
    unused = sorted({one.person for one in windows.sessions} - dealt)
    return {
        "name": recipe.name,
        "data": recipe.where,
        "split": msgspec.to_builtins(recipe.split),
        "parts": parts,
        "unused": unused,
        "left_out": left,
        "clocks": windows.clocks,
    }


def _known(recipe: Recipe, prepared: Prepared, rows: Any) -> dict[str, Any]:
    """Say what is known of some windows."""
    labels, task = prepared.labels[rows], recipe.task
    found: dict[str, Any] = {"without": int((labels < 0).sum())}
    if task.rule == "value":
        values = prepared.values[rows][labels >= 0]
        if len(values):
            found |= {"lowest": float(values.min()), "mean": float(values.mean()),
                      "highest": float(values.max())}  # fmt: skip
        return found
    return found | {name: int((labels == k).sum()) for k, name in enumerate(task.labels)}


def tables(recipe: Recipe, found: dict[str, Any]) -> list[Table]:
    """Lay it out for a terminal."""
    rows = Table(title=f"data: {found['data']}", title_justify="left")
    rows.add_column("part")
    for name in ("people", "recordings", "windows", "minutes"):
        rows.add_column(name, justify="right")
    rows.add_column("known")
    for role, part in found["parts"].items():
        rows.add_row(
            role,
            str(len(part["people"])),
            str(part["recordings"]),
            f"{part['windows']:,}",
            f"{part['minutes']:,.0f}",
            _words(role, part["known"], recipe.task.unit),
        )
    if found["unused"]:
        rows.caption = f"serve for nothing: {', '.join(found['unused'][:_MOST])}"
    made = [rows]
    if found["left_out"]:
        made.append(_left(found["left_out"]))
    return made


def clocks(found: dict[str, str]) -> list[str]:
    """Say in a few lines what was found of both sensors' clocks; all of it is in the report."""
    lines = [f"  clocks of {name}: {line}" for name, line in found.items()]
    if len(lines) <= _CLOCKS:
        return lines
    rest = f"  and of {len(lines) - _CLOCKS} more recordings, in report/data.json"
    return [*lines[:_CLOCKS], rest]


def _words(role: str, known: dict[str, Any], unit: str) -> str:
    """Say what is known in a few words; of pairs it is not read."""
    if role == "pair":
        return "not read"
    if "mean" in known:
        return f"{known['lowest']:.3g}–{known['highest']:.3g} {unit}, mean {known['mean']:.3g}"
    return ", ".join(f"{count:,} {name}" for name, count in known.items() if count) or "nothing"


def _left(left: list[dict[str, Any]]) -> Table:
    """Lay out what was left out: by reason, the most minutes first."""
    minutes: Counter[str] = Counter()
    windows: Counter[str] = Counter()
    names: dict[str, set[str]] = {}
    for one in left:
        minutes[one["why"]] += one["minutes"]
        windows[one["why"]] += one["windows"]
        names.setdefault(one["why"], set()).add(one["recording"])
    rows = Table(title="left out", title_justify="left")
    rows.add_column("why")
    for name in ("recordings", "windows", "minutes"):
        rows.add_column(name, justify="right")
    for why, count in minutes.most_common(_MOST):
        rows.add_row(why, str(len(names[why])), f"{windows[why]:,}", f"{count:,.1f}")
    if len(minutes) > _MOST:
        rows.caption = f"and {len(minutes) - _MOST} more reasons, in report/data.json"
    return rows


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write ``data.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path
