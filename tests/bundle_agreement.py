"""What docs/format.md says of keys that have to fit each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bundle_classic

Manifest = dict[str, Any]
Must = Callable[[bool, str], None]


def hold(about: Manifest, must: Must) -> None:
    """Hold the parts against each other."""
    width = _streamed(about, must)
    others = about["others"] or []
    names = [other["name"] for other in others]
    must(len(set(names)) == len(names), "$.others")
    answers = sum(_told(one, must) for one in tasks(about))
    _files(about, len(width), answers, must)
    _features(about, must)
    _origin(about, must)


def tasks(about: Manifest) -> list[Manifest]:
    """Give each task's output, in the order of the graph's answer."""
    return [about["output"], *(other["output"] for other in about["others"] or [])]


def _streamed(about: Manifest, must: Must) -> list[str]:
    """Hold channels and stages; give the channels that come out."""
    names = [channel["name"] for channel in about["input"]["channels"]]
    must(len(set(names)) == len(names), "$.input.channels")
    expect = [one["channel"] for one in about["input"]["expect"]]
    must(expect in ([], names), "$.input.expect")
    for one in about["input"]["expect"]:
        whole = about["quality"] is None or len(one["measures"]) == 8
        must(whole, "$.input.expect")
    width, rate = names, about["input"]["rate"]
    for stage in about["stream"]["stages"]:
        if stage["stage"] == "select":
            must(set(stage["channels"]) <= set(width), "$.stream.stages")
            width = stage["channels"]
        elif stage["stage"] == "resample":
            rate = rate * stage["up"] / stage["down"]
        elif stage["stage"] == "filter":
            pair = stage["design"] != "notch" and stage["kind"] in ("bandpass", "bandstop")
            cutoff = stage["cutoff"]
            must(len(cutoff) == 1 + pair and max(cutoff) < rate / 2, "$.stream.stages")
            must(not pair or cutoff[0] < cutoff[1], "$.stream.stages")
            must(all(row[3] == 1.0 for row in stage["sections"] or ()), "$.stream.stages")
    return list(width)


def _told(output: Manifest, must: Must) -> int:
    """Hold labels or a value; give how many numbers the model answers."""
    labels, value = output["labels"], output["value"]
    must(len(set(labels)) == len(labels), "$.output.labels")
    must(len(labels) >= 2 if value is None else not labels, "$.output.labels")
    if value is not None:
        size, wide = max(abs(value["low"]), abs(value["high"])), value["high"] - value["low"]
        must(1e-6 * size < wide < math.inf, "$.output.value")
        decision = output["decision"]
        rules = (decision["threshold"], decision["patience"], decision["refractory"])
        must(rules == (0, 1, 0), "$.output.decision")
    answers = len(labels) or 1
    must(len(output["calibration"]["bias"]) == answers, "$.output.calibration.bias")
    return answers


def _files(about: Manifest, width: int, answers: int, must: Must) -> None:
    """Hold the variants."""
    seen: dict[str, dict[str, Any]] = {}
    for one in about["model"].values():
        must(one["input"]["shape"] == [1, width, about["window"]["length"]], "$.model")
        must(one["output"]["shape"] == [1, answers], "$.model")
        other = seen.setdefault(one["file"], one)
        if other is not one:
            must({one["precision"], other["precision"]} == {"fp32", "bf16"}, "$.model")
            for key in ("opset", "ir", "sha256", "bytes", "parameters", "input", "output"):
                must(one[key] == other[key], "$.model")
    own = {*seen, about["golden"]["file"]}
    must(len(own) == len(seen) + 1 and "manifest.json" not in own, "$.model")


def _features(about: Manifest, must: Must) -> None:
    """Hold what goes into the bridge."""
    features = about["features"]
    if features is None:
        return
    own, source = features["classic"], about["input"]
    names = [channel["name"] for channel in source["channels"]]
    more = bool(own) and bundle_classic.breathes(about)
    known = bundle_classic.names(source["modality"], names, more)
    must(own in ([], known) and not (own and about["quality"] is None), "$.features.classic")
    must(len(features["fill"]) == len(own), "$.features.fill")
    must(bool(own) or features["baseline"] is not None, "$.features")
    count = features["encoder"] + len(own)
    must(count == about["made_by"]["bridge"]["in_features"], "$.features.encoder")


def _origin(about: Manifest, must: Must) -> None:
    """Hold provenance."""
    made = about["made_by"]
    must(all(made[side]["cut"] <= made[side]["blocks"] for side in ("source", "target")), "$")
    free = not any(one["non_commercial"] for one in made["licences"])
    must(made["non_commercial"] != free, "$.made_by.non_commercial")
