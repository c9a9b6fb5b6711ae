"""Is this a signal at all: both error rates of the judge, on real recordings.

    python benchmarks/quality.py --out out/quality [--data ../shared/data]

Five-fold cross-fitting by person: every window is judged by what *other* people's recordings
look like, through the same judge that a device runs. Good windows are recordings as they are;
bad ones are the same windows with one fault each (:data:`FAULTS`, stated there), and windows of
Challenge 2015 that are bad by a criterion of their own. Starts: what is refused before the
first label, for right and for wrong units and modalities. Then: how few people teach enough,
another sensor of the same kind, and what judging costs. Wants the ``[data]`` extra.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from quality_data import (
    ELECTRIC,
    FAULTS,
    Set,
    bad_by,
    read_bidmc,
    read_challenge,
    read_eegmat,
    read_stress_predict,
    spoiled,
    typical,
)
from rich.console import Console
from rich.table import Table

from bioxedge import dsp, spec
from bioxedge.building.expect import expectations, quality_of
from bioxedge.quality import Judge, Verdict, memory_for
from bioxedge.quality.measures import measure
from bioxedge.signals import Chunk, Recording

FOLDS = 5
WALK = "random walk"  # what the judge cannot tell, so it stands apart
PLAIN = spec.StreamSpec()


# -- judging --------------------------------------------------------------------------------


def folds(data: Set) -> list[set[str]]:
    """Deal people out, fixed for good."""
    people = sorted({one.person for one in data.recordings})
    order = np.random.default_rng(0).permutation(len(people))
    return [{people[i] for i in order[fold::FOLDS]} for fold in range(FOLDS)]


Fold = tuple[tuple[Recording, ...], tuple[spec.Expect, ...]]


def fitted(data: Set) -> list[Fold]:
    """Give each fold's people, and what the others' recordings look like."""
    out = []
    for tested in folds(data):
        taught = [one for one in data.recordings if one.person not in tested]
        own = tuple(one for one in data.recordings if one.person in tested)
        out.append((own, expectations(taught, data.source, PLAIN, data.window)))
    return out


def verdicts(
    recording: Recording, source: spec.Input, window: spec.WindowSpec, expect: Any
) -> list[Verdict]:
    """Judge a recording's windows, side by side, as a device would."""
    memory = memory_for(source, PLAIN, window)
    judge = Judge(source, expect, quality_of(source), memory=memory)
    judge.push(Chunk(recording.samples, 0, recording.rate))
    last = recording.samples.shape[1] - window.length
    return [judge.verdict(i, i + window.length) for i in range(0, last + 1, window.length)]


def good_and_bad(data: Set, fits: list[Fold], console: Console) -> dict[str, Any]:
    """Count both errors of one set."""
    faults = [
        name for name in FAULTS if name not in ELECTRIC or data.source.modality in ("ecg", "eeg")
    ]
    length = data.window.length
    least = float(np.median([t.size for one in data.recordings for t in typical(one, length)]))
    flagged: Counter[str] = Counter()
    channels: Counter[str] = Counter()
    windows = 0
    by_person: dict[str, list[int]] = {}
    missed = dict.fromkeys(faults, 0)
    examples: list[list[Any]] = []
    for tested, expect in fits:
        for number, recording in enumerate(tested):
            found = verdicts(recording, data.source, data.window, expect)
            windows += len(found)
            own = by_person.setdefault(recording.person, [0, 0])
            for at, verdict in enumerate(found):
                bad = [one for one in verdict.channels if one.fault]
                channels.update(str(one.fault) for one in bad)
                flagged[str(bad[0].fault) if bad else ""] += 1
                own[0] += bool(bad)
                own[1] += 1
                if bad:
                    examples.append([recording.person, at, bad[0].channel, bad[0].fault])
            for fault in faults:
                worse = spoiled(recording, length, fault, number, least)
                judged = verdicts(worse, data.source, data.window, expect)
                missed[fault] += sum(verdict.reason is None for verdict in judged)
    flagged.pop("", None)
    result = {
        "set": data.name,
        "people": len(by_person),
        "windows": windows,
        "seconds": data.seconds,
        "channels": len(data.source.channels),
        "abstained": sum(flagged.values()) / windows,
        "abstained_by_fault": {k: v / windows for k, v in sorted(flagged.items())},
        "people_with_a_tenth_abstained": sum(a / n > 0.1 for a, n in by_person.values()),
        "labelled": {name: count / windows for name, count in missed.items()},
        "labelled_overall": sum(missed.values()) / windows / len(missed),
        "flagged_windows": examples,
    }
    console.print(
        f"{data.name}: {result['abstained']:.2%} of {windows} good windows abstained from, "
        f"{result['labelled_overall']:.2%} of bad ones labelled"
    )
    return result


# -- Challenge 2015: windows that are bad already ----------------------------------------


def field(data: Set, fits: list[Fold], console: Console) -> dict[str, Any]:
    """Count what is flagged of the windows that are bad by :func:`bad_by`, and of the rest."""
    length = data.window.length
    seen: dict[str, Counter[str]] = {}
    for tested, expect in fits:
        for recording in tested:
            x, step = recording.samples[0], recording.facts["step"]
            ends = float(np.nanmin(x)), float(np.nanmax(x))
            for at, verdict in enumerate(verdicts(recording, data.source, data.window, expect)):
                why = bad_by(x[at * length : (at + 1) * length], step, *ends) or "rest"
                seen.setdefault(why, Counter())[str(verdict.channels[0].fault)] += 1
    bad = [count for why, count in seen.items() if why != "rest"]
    windows = sum(count.total() for count in bad)
    missed = sum(count["None"] for count in bad)
    console.print(f"{data.name}: {missed} of {windows} bad windows labelled; {seen}")
    return {
        "set": data.name,
        "bad_windows": windows,
        "bad_labelled": missed / windows,
        "by_criterion": {why: dict(count) for why, count in seen.items()},
    }


# -- starts: what is refused before the first label -------------------------------------------

STARTS = 12
"""Places in a recording, evenly spread, at which a run begins."""

PATIENCE = 30
"""Windows until a run counts as having given no label."""


def outcome(found: list[Verdict], judge: Judge) -> str:
    """Begin a run: refused, labelled, or no label within ``PATIENCE`` windows."""
    judge.reset()
    for verdict in found[:PATIENCE]:
        if judge.misfit(verdict) is not None:
            return "refused"
        if verdict.reason is None:
            return "labelled"
    return "no label"


def starts(data: Set, fits: list[Fold], change: Callable[[Recording], Recording]) -> Counter[str]:
    """Begin runs all over every recording, changed in some way."""
    seen: Counter[str] = Counter()
    for tested, expect in fits:
        judge = Judge(data.source, expect, quality_of(data.source), memory=1)
        for recording in tested:
            found = verdicts(change(recording), data.source, data.window, expect)
            places = np.unique(np.linspace(0, len(found) - 1, STARTS).astype(int))
            seen.update(outcome(found[place:], judge) for place in places)
    return seen


def worn(other: Recording, data: Set) -> Recording:
    """Give another sensor's recording in this one's place: its rate, its channels."""
    ratio = (Fraction(data.source.rate) / Fraction(other.rate)).limit_denominator(1000)
    samples = other.samples[:1, : round(2 * PATIENCE * data.seconds * other.rate)]
    if ratio != 1:
        stage = dsp.ResampleStage(spec.Resample(up=ratio.numerator, down=ratio.denominator))
        samples = stage.push(samples)
    samples = np.repeat(samples, len(data.source.channels), axis=0)
    channels = data.recordings[0].channels
    return Recording(samples, data.source.rate, channels, data.source.modality, other.person)


def refusals(data: Set, fits: list[Fold], others: list[Set], console: Console) -> dict[str, Any]:
    """Count what becomes of right starts and of wrong ones."""
    rows = {"as it is": starts(data, fits, lambda one: one)}
    for gain in (1e-6, 1e-3, 1e3, 1e6):
        rows[f"x {gain:g}"] = starts(
            data, fits, lambda one, gain=gain: replace(one, samples=one.samples * gain)
        )
    for other in others:
        if other.source.modality == data.source.modality:
            continue
        alien = replace(other, recordings=tuple(worn(one, data) for one in other.recordings))
        # Nobody of the other set was in training: each fold takes its share of them.
        dealt = [(alien.recordings[fold::FOLDS], expect) for fold, (_, expect) in enumerate(fits)]
        rows[f"{other.name} instead"] = starts(data, dealt, lambda one: one)
    labelled = sum(count["labelled"] for name, count in rows.items() if name != "as it is")
    console.print(
        f"{data.name}: {rows['as it is']['refused']} right starts refused, {labelled} "
        "wrong ones labelled"
    )
    return {"set": data.name, "starts": {name: dict(count) for name, count in rows.items()}}


# -- few people, another sensor, cost -----------------------------------------------------------


def abstained(own: Iterable[Recording], data: Set, expect: Any) -> tuple[int, int]:
    """Count windows without a label, and windows."""
    found = [v for one in own for v in verdicts(one, data.source, data.window, expect)]
    return sum(verdict.reason is not None for verdict in found), len(found)


def few(data: Set, counts: tuple[int, ...] = (3, 6, 12)) -> dict[int, float]:
    """Teach by so many people, two draws a fold; give the share of good windows abstained from."""
    shares = {}
    for count in counts:
        pairs = []
        for draw in range(2):
            for fold, tested in enumerate(folds(data)):
                others = sorted({one.person for one in data.recordings} - tested)
                chosen = np.random.default_rng([fold, draw]).permutation(others)[:count]
                taught = [one for one in data.recordings if one.person in chosen]
                expect = expectations(taught, data.source, PLAIN, data.window)
                own = [one for one in data.recordings if one.person in tested]
                pairs.append(abstained(own, data, expect))
        shares[count] = sum(bad for bad, _ in pairs) / sum(n for _, n in pairs)
    return shares


def elsewhere(taught: Set, data: Set) -> float:
    """Teach by another sensor of the same modality, brought to the same rate."""
    as_here = [worn(one, data) for one in taught.recordings]
    bad, n = abstained(
        data.recordings, data, expectations(as_here, data.source, PLAIN, data.window)
    )
    return bad / n


def cost() -> dict[str, float]:
    """Time one window's measures, in milliseconds: median of 200."""
    found = {}
    for channels, n, rate in ((1, 640, 64.0), (8, 2500, 250.0), (32, 2500, 250.0)):
        x = np.cumsum(np.random.default_rng(0).standard_normal((channels, n)), axis=1)
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            measure(x, rate)
            times.append(time.perf_counter() - begun)
        found[f"{channels} x {n}"] = 1000 * float(np.median(times))
    return found


# -- the report ---------------------------------------------------------------------------------


def tables(results: dict[str, Any]) -> Iterator[Table]:
    """Lay everything out."""
    sets = results["sets"]
    table = Table("", *(one["set"] for one in sets), title="good windows, and bad ones labelled")
    table.add_row("windows", *(str(one["windows"]) for one in sets))
    table.add_row("good, abstained from", *(f"{one['abstained']:.2%}" for one in sets))
    for fault in FAULTS:
        shares = (one["labelled"].get(fault) for one in sets)
        table.add_row(fault, *("-" if s is None else f"{s:.2%}" for s in shares))
    table.add_row("all bad", *(f"{one['labelled_overall']:.2%}" for one in sets))
    rest = [[s for name, s in one["labelled"].items() if name != WALK] for one in sets]
    table.add_row("all but the walk", *(f"{np.mean(shares):.2%}" for shares in rest))
    yield table
    table = Table("set", "bad by", "windows", "labelled", "flagged as", title="Challenge 2015")
    for one in results["field"]:
        for why, count in one["by_criterion"].items():
            n, labelled = sum(count.values()), count.get("None", 0)
            flagged = {k: v for k, v in count.items() if k != "None"}
            table.add_row(one["set"], why, str(n), str(labelled), str(flagged))
    yield table
    table = Table(
        "bundle for", "comes", "starts", "refused", "no label", "labelled", title="starts"
    )
    for one in results["starts"]:
        for what, count in one["starts"].items():
            shares = [count.get(kind, 0) for kind in ("refused", "no label", "labelled")]
            table.add_row(one["set"], what, str(sum(shares)), *map(str, shares))
    yield table


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    asked = parser.parse_args()
    console = Console()
    readers = (read_bidmc, read_stress_predict, read_eegmat)
    sets = [data for reader in readers for data in reader(asked.data)]
    fits = {data.name: fitted(data) for data in sets}
    by_name = {data.name: data for data in sets}
    results: dict[str, Any] = {
        "sets": [good_and_bad(data, fits[data.name], console) for data in sets],
        "field": [field(data, fitted(data), console) for data in read_challenge(asked.data)],
        "starts": [refusals(data, fits[data.name], sets, console) for data in sets],
        "few": {d.name: few(d) for d in sets if d.name in ("BIDMC PPG", "BIDMC ECG", "eegmat ECG")},
        "wrist PPG, taught by fingertip PPG": elsewhere(
            by_name["BIDMC PPG"], by_name["Stress-Predict PPG"]
        ),
        "milliseconds": cost(),
        "bounds": msgspec.to_builtins(spec.QualitySpec()),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
    for table in tables(results):
        console.print(table)
    for name in ("few", "wrist PPG, taught by fingertip PPG", "milliseconds"):
        console.print(name, results[name])


if __name__ == "__main__":
    main()
