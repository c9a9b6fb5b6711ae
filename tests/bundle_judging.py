"""Is it a signal, and where a stream begins afresh, as docs/format.md says it: NumPy alone."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, pi, sin, sqrt
from typing import Any

import numpy as np
from bundle_windows import Window, windows

Manifest = dict[str, Any]


def run(about: Manifest, x: np.ndarray) -> list[tuple[Window, list[str | None]]]:
    """Give the windows of a run, judged, with each channel's fault."""
    given: list[tuple[Window, list[str | None]]] = []
    quality = about["quality"]
    if quality is None:
        return [(window, []) for window in windows(about, x)]
    rate, remembers = about["input"]["rate"], any(
        stage.get("warmup", 0) for stage in about["stream"]["stages"]
    )  # fmt: skip
    share = min(1.0, max(
        most(quality[bound], expect, figure)
        for expect in expects(about)
        for figure, bound in (("run", "flat_run"), ("edge", "railed_edge"))
    ))  # fmt: skip
    waiting, was_bad, bad, looked = windows(about, x), False, 0, 0
    while waiting:
        window, *waiting = waiting
        faults = judge(about, x[:, ceil(window.start) : ceil(window.end)])
        again = False
        if any(faults):
            bad, was_bad = ceil(window.end), True
        else:
            if remembers and was_bad:
                again = True
            elif remembers and window.run != looked:
                looked = window.run
                before = x[:, window.origin : ceil(window.start)]
                n = ceil(window.end) - ceil(window.start)
                enough = before.shape[1] >= max(round(rate), 32)
                again = enough and any(judge(about, before, n))
            was_bad = False
        if not again:
            given.append((window, faults))
            continue
        at = ceil(float(window.start) + share * float(window.end - window.start))
        waiting = windows(about, x, min(max(at, bad), ceil(window.end)), window.run)
    return given


def expects(about: Manifest) -> list[Manifest | None]:
    """What training saw, channel by channel."""
    return list(about["input"]["expect"]) or [None] * len(about["input"]["channels"])


def judge(about: Manifest, x: np.ndarray, n: int = 0) -> list[str | None]:
    """Give each channel's fault; of a stretch shorter than a window's n, by shares of that."""
    faults: list[str | None] = []
    for row, expect in zip(x, expects(about), strict=True):
        values = row[np.isfinite(row)]
        figures = measures(values, about["input"]["rate"])
        if figures is not None and len(row) < n:
            figures["run"] *= len(row) / n
            figures["edge"] *= len(row) / n
        faults.append(fault(figures, len(values) / len(row), expect, about["quality"]))
    return faults


def measures(x: np.ndarray, rate: float) -> dict[str, float] | None:
    """Look at one channel's real values."""
    n = len(x)
    if n < 16:
        return None
    size = min(max(round(rate), 32), n)
    t = np.arange(size) - (size - 1) / 2
    blocks = [x[i * size : (i + 1) * size] for i in range(n // size)]
    flat = []
    for block in blocks:
        c = block - block.mean()
        flat.append(c - t * ((c * t).sum() / max((t * t).sum(), 1)))
    spans = [float(f.max() - f.min()) for f in flat]
    rough = [_over(_rms(np.diff(b)), _rms(f)) for b, f in zip(blocks, flat, strict=True)]
    crest = [_over(span, _rms(f)) for span, f in zip(spans, flat, strict=True)]
    bends = [float((np.diff(b, n=2) ** 2).mean()) for b in blocks]
    longest = now = 1
    for before, after in pairwise(x.tolist()):
        now = now + 1 if before == after else 1
        longest = max(longest, now)
    e = 0.005 * (x.max() - x.min())
    plateaus = (x >= x.max() - e, x <= x.min() + e)
    found = {
        "span": float(np.median(spans)),
        "level": float(np.median([b.mean() for b in blocks])),
        "hiss": sqrt(min(bends) / 6),
        "roughness": float(np.median(rough)),
        "crest": float(np.median(crest)),
        "run": longest / n,
        "edge": max(int((p[2:] & p[1:-1] & p[:-2]).sum()) for p in plateaus) / n,
        "mains": 0.0,
    }
    least = sqrt(0.1) * 2 * sin(pi * 48 / rate)
    if rate >= 104 and size >= rate / 2 and found["roughness"] >= least:
        w = 0.5 - 0.5 * np.cos(2 * pi * np.arange(size) / (size - 1))
        power = sum(np.abs(np.fft.rfft(f * w)) ** 2 for f in flat)
        for hertz in (50, 60):
            low, high = ((hertz + beside) * size / rate for beside in (-2, 2))
            near = power[ceil(low) : floor(high) + 1].sum()
            found["mains"] = max(found["mains"], _over(float(near), float(power.sum())))
    return found


def _rms(v: np.ndarray) -> float:
    return sqrt(float((v * v).mean()))


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def most(bound: float, expect: Manifest | None, figure: str) -> float:
    """Give the most of a share that is good."""
    return bound if expect is None else max(bound, 2 * expect["measures"][figure]["high"])


def fault(
    figures: dict[str, float] | None, real: float, expect: Manifest | None, quality: Manifest
) -> str | None:
    """Name the first fault that is not off."""
    if figures is None or real < quality["min_real"]:
        return None if "missing" in quality["off"] else "missing"
    found = {
        "flat": figures["span"] == 0,
        "no contact": False,
        "noise": figures["roughness"] > 1.75,
    }
    found["flat"] |= figures["run"] > most(quality["flat_run"], expect, "run")
    found["railed"] = figures["edge"] > most(quality["railed_edge"], expect, "edge")
    found["no contact"] = figures["mains"] > most(quality["mains"], expect, "mains")
    lowest = quality["contact_level"]
    found["no contact"] |= lowest is not None and figures["level"] < lowest
    if expect is not None:
        known, few = expect["measures"], 1 + max(0, 12 - expect["people"]) / 12

        def outside(figure: str, margin: float) -> bool:
            low, high, own = known[figure]["low"], known[figure]["high"], margin**few
            return not low / own <= figures[figure] <= high * own

        sized, h = quality["amplitude"], known["roughness"]["high"]
        found["flat"] |= sized and figures["span"] < known["span"]["low"] * quality["flat_span"]
        if h < 1:
            limit = h * h + (2 - h * h) * min(quality["noise"] * few, 1)
            found["noise"] |= figures["roughness"] ** 2 > limit
        else:
            hiss = figures["hiss"] > known["hiss"]["high"]
            found["noise"] |= sized and figures["roughness"] > 1 and hiss
        sizes = ["span"] if lowest is None else ["span", "level"]
        found["amplitude"] = sized and any(
            outside(one, quality["amplitude_margin"]) for one in sizes
        )
        found["unlike"] = outside("roughness", quality["roughness_margin"]) or outside(
            "crest", quality["crest_margin"]
        )
    order = ("flat", "railed", "no contact", "noise", "amplitude", "unlike")
    return next((one for one in order if found.get(one) and one not in quality["off"]), None)
