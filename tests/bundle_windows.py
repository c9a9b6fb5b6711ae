"""From samples to windows, as docs/format.md says it: NumPy alone."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, exp, gcd, log, prod, sqrt
from typing import Any, NamedTuple

import numpy as np

Manifest = dict[str, Any]


def streamed(about: Manifest, x: np.ndarray) -> tuple[np.ndarray, Fraction, Fraction]:
    """Pass a start's samples through all stages; give scale and offset of their positions."""
    names = [channel["name"] for channel in about["input"]["channels"]]
    scale, offset = Fraction(1), Fraction(0)
    for stage in about["stream"]["stages"]:
        own, shift = Fraction(1), Fraction(0)
        if stage["stage"] == "select":
            x, names = x[[names.index(n) for n in stage["channels"]]], stage["channels"]
        elif stage["stage"] == "scale":
            x = x * stage["gain"] + stage["offset"]
        elif stage["stage"] in ("filter", "standardise"):
            run = filtered if stage["stage"] == "filter" else standardised
            x, shift = run(stage, x)[:, stage["warmup"] :], Fraction(stage["warmup"])
        else:
            x, own, shift = resampled(stage, x)
        scale, offset = scale * own, offset + scale * shift
    return x, scale, offset


def filtered(stage: Manifest, x: np.ndarray) -> np.ndarray:
    """Run the sections, at rest at the first sample."""
    out = np.empty_like(x)
    for row, channel in enumerate(x):
        first = channel[0] if len(channel) else 0.0
        u = cascade(stage["sections"], (channel - first).tolist())
        gain = prod((b0 + b1 + b2) / (1 + a1 + a2) for b0, b1, b2, _, a1, a2 in stage["sections"])
        out[row] = np.array(u) + gain * first
    return out


def standardised(stage: Manifest, x: np.ndarray) -> np.ndarray:
    """Tell the distance from the running mean, in running deviations."""
    keep = exp(-1 / stage["memory"]) if stage["memory"] else 1.0
    out = np.zeros_like(x)
    for row, channel in enumerate(x):
        s0 = s1 = s2 = 0.0
        for n, value in enumerate(channel.tolist()):
            d = value - float(channel[0])
            s0, s1, s2 = 1 + keep * s0, d + keep * s1, d * d + keep * s2
            mean, power = s1 / s0, s2 / s0
            variance = power - mean * mean
            if variance > 1e-12 * power:
                out[row, n] = (d - mean) / sqrt(variance)
    return out


def cascade(sections: list[list[float]], u: list[float]) -> list[float]:
    """Run the sections one after the other, from rest."""
    for b0, b1, b2, _, a1, a2 in sections:
        u1 = u2 = y1 = y2 = 0.0
        y = []
        for u0 in u:
            y0 = b0 * u0 + b1 * u1 + b2 * u2 - a2 * y2 - a1 * y1
            u1, u2, y1, y2 = u0, u1, y0, y1
            y.append(y0)
        u = y
    return u


def settles(about: Manifest) -> bool:
    """Whether every warm-up is as long as it has to be."""
    for stage in about["stream"]["stages"]:
        if stage["stage"] == "resample":
            up, down, half = reduced(stage)
            if up == down or 2 * half >= 2**22 or stage["warmup"] < ceil(Fraction(2 * half, down)):
                return False
        elif stage["stage"] == "filter":
            if stage["sections"] is None:
                return False
            radius = max(np.abs(np.roots(row[3:])).max(initial=0.0) for row in stage["sections"])
            if radius >= 1:
                return False
            length = 2 if radius == 0 else ceil(log(1e-9) / log(radius)) + 2
            if length > 2**22:
                return False
            h = np.abs(cascade(stage["sections"], [1.0] + [0.0] * (length - 1)))
            left = np.cumsum(h[::-1])[::-1]
            if stage["warmup"] < (left > 1e-3 * left[0]).sum() - 1:
                return False
    return True


def reduced(stage: Manifest) -> tuple[int, int, int]:
    """Give U, D and H."""
    common = gcd(stage["up"], stage["down"])
    up, down = stage["up"] // common, stage["down"] // common
    return up, down, stage["reach"] * max(up, down)


def resampled(stage: Manifest, x: np.ndarray) -> tuple[np.ndarray, Fraction, Fraction]:
    """Give every output whose newest input is there, and scale and offset of its position."""
    (up, down, half), warmup = reduced(stage), stage["warmup"]
    slower = max(up, down)
    depth = ceil(Fraction(2 * half + 1, up))
    i = np.arange(2 * half + 1)
    kaiser = np.i0(8 * np.sqrt(1 - ((i - half) / half) ** 2)) / np.i0(8.0)
    h = np.zeros(depth * up)
    h[: 2 * half + 1] = np.sinc((i - half) / slower) * kaiser / slower * up
    taps = [h[p::up] / h[p::up].sum() for p in range(up)]
    out = []
    m = warmup
    while m * down // up < x.shape[1]:
        b, p = divmod(m * down, up)
        total = np.zeros(len(x))
        for k in range(min(depth, b + 1)):
            total = total + taps[p][k] * x[:, b - k]
        out.append(total)
        m += 1
    y = np.array(out).T if out else np.empty((len(x), 0))
    return y, Fraction(down, up), Fraction(warmup * down - half, up)


class Window(NamedTuple):
    """One window; ``run`` counts starts."""

    samples: np.ndarray
    start: Fraction
    end: Fraction
    filled: int
    origin: int
    run: int


def starts(about: Manifest, x: np.ndarray, begin: int) -> list[tuple[int, np.ndarray, list[int]]]:
    """Part samples from ``begin`` on: each start's origin, samples, indices held over."""
    found: list[tuple[int, list[np.ndarray], list[int]]] = []
    last = None
    for at in np.flatnonzero(np.isfinite(x).all(axis=0)).tolist():
        if at < begin:
            continue
        missing = 0 if last is None else at - last - 1
        if last is None or missing > about["stream"]["max_gap"]:
            found.append((at, [], []))
        elif missing:
            found[-1][1].extend([x[:, last]] * missing)
            found[-1][2].extend(range(last + 1, at))
        found[-1][1].append(x[:, at])
        last = at
    return [(origin, np.array(rows).T, held) for origin, rows, held in found]


def windows(about: Manifest, x: np.ndarray, begin: int = 0, run: int = 0) -> list[Window]:
    """Cut all windows of a source's samples [channels, n], NaN where they are missing."""
    found = []
    length, hop = about["window"]["length"], about["window"]["hop"]
    for origin, samples, held in starts(about, x, begin):
        run += 1
        y, scale, offset = streamed(about, samples)
        for first in range(0, y.shape[1] - length + 1, hop):
            start, end = (origin + scale * j + offset for j in (first, first + length))
            filled = sum(ceil(start) <= at < ceil(end) for at in held)
            whole = finished(about, y[:, first : first + length])
            found.append(Window(whole, start, end, filled, origin, run))
    return found


def finished(about: Manifest, x: np.ndarray) -> np.ndarray:
    """Apply the stages of a window."""
    for stage in about["window"]["then"]:
        x = np.stack([(zscore if stage["stage"] == "zscore" else rank)(row) for row in x])
    return x.astype(np.float32)


def zscore(x: np.ndarray) -> np.ndarray:
    """Centre, divide by the deviation; 0 where flat."""
    c = x - x.mean()
    s = sqrt((c * c).mean())
    return c * 0.0 if s <= 1e-12 * np.abs(x).max() else c / s


def rank(x: np.ndarray) -> np.ndarray:
    """Average ranks in [−1, 1]."""
    smaller = (x[None] < x[:, None]).sum(axis=1)
    equal = (x[None] == x[:, None]).sum(axis=1)
    return 2 * (smaller + (equal - 1) / 2) / max(len(x) - 1, 1) - 1
