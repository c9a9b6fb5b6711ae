"""Classic features, as docs/classic.md says them: NumPy alone."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor, log, nan, pi, sqrt
from typing import Any

import numpy as np
from bundle_windows import Window

Manifest = dict[str, Any]
BEATS = (
    "rate (bpm)", "SDNN (s)", "RMSSD (s)", "beat amplitude", "beat amplitude spread", "clean beats",
    "rise", "regularity", "spectral peak (Hz)", "pulse power (log)", "breathing power (log)",
    "spread",
)  # fmt: skip
PACES = (6, 12, 15, 18, 21, 24, 36)
BREATHING = (
    "breathing rate (1/min)", "breathing regularity",
    *(f"breathing at {a}–{b} a minute (log)" for a, b in pairwise(PACES)),
)  # fmt: skip
BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}
PLACES = range(24, 145)
SHARES = ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1))
BRAIN = (*(f"{one} (log)" for one in BANDS), *(f"{one} share" for one in BANDS))
SLOW = ("level", "slope (1/s)", "spread")
NAMES = {
    "ppg": BEATS,
    "ecg": BEATS,
    "eda": (*SLOW, "responses (1/min)", "response amplitude", "steepest (1/s)"),
    "temperature": SLOW,
    "acceleration": ("level", "spread", "movement (log)"),
    "eeg": BRAIN,
    "eog": BRAIN,
    "emg": ("RMS (log)", "zero crossings (1/s)", "mean frequency (Hz)", "median frequency (Hz)"),
}
REST = (
    "level", "spread", "slope (1/s)", "quartiles",
    *(f"power {a:g}–{b:g} of half the rate (log)" for a, b in SHARES),
)  # fmt: skip


def names(modality: str, channels: list[str], breathing: bool = False) -> list[str]:
    """Name the features of all channels."""
    known = BREATHING if breathing else NAMES.get(modality, REST)
    return [f"{one} {name}" for one in channels for name in known]


def breathes(about: Manifest) -> bool:
    """Say whether a bundle's are those of breathing."""
    return any(one.endswith(f" {BREATHING[0]}") for one in about["features"]["classic"])


def of_window(about: Manifest, x: np.ndarray, window: Window) -> np.ndarray:
    """Describe a window by a source's raw samples [channels, n]."""
    first = ceil(window.start)
    raw = x[:, first : first + floor(window.end - window.start)]
    kind, rate = about["input"]["modality"], about["input"]["rate"]
    rows = [held(row) for row in raw]
    of = breathing if breathes(about) else described
    return np.concatenate([of(row, rate, kind) for row in rows])


def held(x: np.ndarray) -> np.ndarray:
    """Hold real values over missing ones."""
    last = next((value for value in x if np.isfinite(value)), nan)
    out = []
    for value in x:
        last = value if np.isfinite(value) else last
        out.append(last)
    return np.array(out)


def described(x: np.ndarray, fs: float, modality: str) -> np.ndarray:
    """Describe one channel."""
    if modality in ("ppg", "ecg"):
        found = beats(x, fs, modality)
    elif modality in ("eeg", "eog"):
        bands = [band(x, fs, *edges) for edges in BANDS.values()]
        whole = sum(bands)
        found = [ln(one) for one in bands] + [one / whole if whole > 0 else nan for one in bands]
    elif modality == "emg":
        found = muscle(x, fs)
    elif modality == "acceleration":
        steps = np.diff(x) * fs
        found = [x.mean(), (x - x[0]).std(), ln((steps**2).mean()) if len(steps) else nan]
    elif modality in ("eda", "temperature"):
        found = [x.mean(), slope(x, fs), straight(x).std()]
        if modality == "eda":
            _, heights = peaks(x, -np.inf, max(round(fs), 1), 0.01)
            found += [len(heights) / (len(x) / fs / 60), np.mean(heights) if heights else 0.0]
            found.append(np.abs(np.diff(x)).max(initial=0.0) * fs)
    else:
        low, high = np.quantile(x, (0.25, 0.75))
        ends = [(a * fs / 2, b * fs / 2 if b < 1 else np.inf) for a, b in SHARES]
        found = [x.mean(), (x - x[0]).std(), slope(x, fs), high - low]
        found += [ln(band(x, fs, a, b)) for a, b in ends]
    return np.array(found, np.float64)


def ln(value: float) -> float:
    """Give the natural logarithm, or NaN."""
    return log(value) if value > 0 else nan


def slope(x: np.ndarray, fs: float) -> float:
    t = (np.arange(len(x)) - (len(x) - 1) / 2) / fs
    return float(((x - x[0]) * t).sum() / max((t * t).sum(), 1e-30))


def straight(x: np.ndarray) -> np.ndarray:
    t = np.arange(len(x)) - (len(x) - 1) / 2
    c = x - x[0]
    c = c - c.mean()
    f = c - t * ((c * t).sum() / max((t * t).sum(), 1.0))
    return f * 0.0 if np.abs(f).max() <= 1e-12 * np.abs(x).max() else f


def spectrum(x: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Give frequencies and P."""
    n = len(x)
    w = 0.5 - 0.5 * np.cos(2 * pi * (np.arange(n) + 1) / (n + 1))
    p = np.abs(np.fft.rfft(straight(x) * w)) ** 2 / (fs * (w * w).sum())
    p[1 : (n + 1) // 2] *= 2
    return np.arange(n // 2 + 1) * fs / n, p


def band(x: np.ndarray, fs: float, low: float, high: float) -> float:
    frequencies, p = spectrum(x, fs)
    step = fs / len(x) if len(x) > 1 else 1.0
    return float(p[(frequencies >= low) & (frequencies < high)].sum() * step)


def passed(x: np.ndarray, fs: float, low: float, high: float, p: int) -> np.ndarray:
    whole = np.fft.rfft(straight(x))
    frequencies = np.arange(len(whole)) * fs / len(x)
    gain = np.zeros(len(whole))
    v = frequencies[1:]
    gain[1:] = 1 / ((1 + (low / v) ** p) * (1 + (v / high) ** p))
    return np.fft.irfft(whole * gain, len(x))


def peaks(
    row: np.ndarray, height: float, distance: int, prominence: float
) -> tuple[list[int], list[float]]:
    """Give places and prominences."""
    x = row.tolist()
    found, i = [], 1
    while i < len(x) - 1:
        j = i
        while j + 1 < len(x) and x[j + 1] == x[i]:
            j += 1
        if x[i - 1] < x[i] and j + 1 < len(x) and x[j + 1] < x[i]:
            found.append((i + j) // 2)
        i = j + 1
    found = [at for at in found if x[at] >= height]
    there = set(found)
    for at in sorted(found, key=lambda at: (x[at], at), reverse=True):
        if at in there:
            there -= {other for other in there if other != at and abs(other - at) < distance}
    places, heights = [], []
    for at in sorted(there):
        left = right = at
        while left > 0 and x[left - 1] <= x[at]:
            left -= 1
        while right < len(x) - 1 and x[right + 1] <= x[at]:
            right += 1
        own = x[at] - max(min(x[left : at + 1]), min(x[at : right + 1]))
        if own >= prominence:
            places.append(at)
            heights.append(own)
    return places, heights


def marked(x: np.ndarray, fs: float, modality: str) -> tuple[np.ndarray, float]:
    """Give m and least."""
    if modality == "ppg":
        m = passed(x, fs, 0.48, 8.0, 4)
        least = 0.5 * 1.4826 * float(np.median(np.abs(m)))
    else:
        size = max(round(0.15 * fs), 1)
        k = 0.5 - 0.5 * np.cos(2 * pi * (np.arange(size) + 1) / (size + 1))
        full = np.convolve(passed(x, fs, 8.0, 20.0, 16) ** 2, k / k.sum())
        m = np.sqrt(np.maximum(full[(size - 1) // 2 :][: len(x)], 0.0))
        least = 0.6 * float(m.std())
    return m, least


def beats(x: np.ndarray, fs: float, modality: str) -> list[float]:
    """Describe a pulse."""
    m, least = marked(x, fs, modality)
    frequencies, p = spectrum(x, fs)
    alive = (frequencies >= 0.6) & (frequencies <= 3.5)
    peak = nan
    if alive.any() and p[alive].max() > 0:
        peak = frequencies[alive][p[alive].argmax()]
    rest = [peak, ln(band(x, fs, 0.6, 7.0)), ln(band(x, fs, 0.1, 0.5)), (x - x[0]).std()]
    if not m.std() > 0:
        return [nan] * 8 + rest
    places, heights = peaks(m, 0.0, max(round(fs / 3.5), 1), least)
    six = intervals(m, places, heights, fs) if len(places) >= 3 else [nan] * 6
    c = m - m.mean()
    lags = range(round(fs / 3.5), min(round(fs / 0.6) + 1, len(x)))
    r0 = max(float((c * c).sum()), 1e-30)
    regular = max(((c[lag:] * c[: len(c) - lag]).sum() / r0 for lag in lags), default=nan)
    return [*six, (np.diff(m) > 0).mean(), regular, *rest]


def placed(m: np.ndarray, places: list[int]) -> list[float]:
    """Place beats between samples."""
    exact = []
    for at in places:
        bend = m[at - 1] - 2 * m[at] + m[at + 1]
        off = 0.5 * (m[at - 1] - m[at + 1]) / bend if bend < 0 else 0.0
        exact.append(at + min(max(off, -0.5), 0.5))
    return exact


def intervals(m: np.ndarray, places: list[int], heights: list[float], fs: float) -> list[float]:
    """Describe beats."""
    all_of = [(b - a) / fs for a, b in pairwise(placed(m, places))]
    middle = float(np.median(all_of))
    clean = [abs(one - middle) <= 0.2 * middle for one in all_of]
    own = [one for one, good in zip(all_of, clean, strict=True) if good] or [middle]
    both = zip(pairwise(all_of), pairwise(clean), strict=True)
    steps = [b - a for (a, b), good in both if all(good)]
    rmssd = sqrt(np.mean(np.square(steps))) if steps else 0.0
    low, amplitude, high = np.quantile(heights, (0.25, 0.5, 0.75))
    spread = (high - low) / amplitude
    return [60 / np.mean(own), np.std(own), rmssd, amplitude, spread, np.mean(clean)]


def breathing(x: np.ndarray, fs: float, modality: str) -> np.ndarray:
    """Describe breathing."""
    if len(x) < 10 * fs:
        return np.full(len(BREATHING), nan)
    rows = [(x, fs)]
    m, least = marked(x, fs, modality)
    places, heights = peaks(m, 0.0, max(round(fs / 3.5), 1), least) if m.std() > 0 else ([], [])
    if len(places) >= 4:
        s, middle = [at / fs for at in placed(m, places)], float(np.median(heights))
        cut = [min(max(one, middle / 2), 1.5 * middle) for one in heights]
        lasting = [(b - a, (a + b) / 2) for a, b in pairwise(s)]
        usual = float(np.median([one for one, _ in lasting]))
        clean = [(at, one) for one, at in lasting if abs(one - usual) <= 0.2 * usual]
        for series in (list(zip(s, cut, strict=True)), clean):
            times, g = np.array(series).reshape(-1, 2).T
            if len(g) >= 4 and g.std() > 0.003 * g.mean():
                at = np.arange(floor(4 * (len(x) - 1) / fs) + 1) / 4
                rows.append((np.interp(at, times, g), 4.0))
    whole, weights = np.zeros(121), 0.0
    for y, r in rows:
        n = len(y)
        w = 0.5 - 0.5 * np.cos(2 * pi * (np.arange(n) + 1) / (n + 1))
        moving = straight(y)
        f = moving * w
        turns = np.arange(n) / r
        p = np.array([abs(np.sum(f * np.exp(-2j * pi * k / 240 * turns))) ** 2 for k in PLACES])
        inside = p.sum() * 2 / (240 * r * (w * w).sum())
        if p.sum() > 0 and (y is not x or inside > (0.003 * moving.std()) ** 2):
            q = p / p.sum()
            whole += around(q) ** 2 * q
            weights += around(q) ** 2
    if not weights > 0:
        return np.full(len(BREATHING), nan)
    whole /= weights
    summed = np.cumsum(whole)
    h = int(np.argmax(summed >= 0.5))
    rate = (PLACES[h] + 0.5 - (summed[h] - 0.5) / whole[h]) / 4
    bands = [
        sum(q for k, q in zip(PLACES, whole, strict=True) if a <= k / 4 < b or k / 4 == b == 36)
        for a, b in pairwise(PACES)
    ]
    return np.array([rate, around(whole), *(log(0.01 + one) for one in bands)])


def around(q: np.ndarray) -> float:
    """Give the share around the greatest."""
    top = int(np.argmax(q))
    return float(q[max(top - 12, 0) : top + 13].sum())


def muscle(x: np.ndarray, fs: float) -> list[float]:
    """Describe an EMG."""
    c = x - x[0]
    c = c - c.mean()
    frequencies, p = spectrum(x, fs)
    total = p.sum()
    crossings = (np.signbit(c[1:]) != np.signbit(c[:-1])).sum() / len(x) * fs
    if not total > 0:
        return [ln(sqrt((c * c).mean())), crossings, nan, nan]
    middle = frequencies[np.argmax(np.cumsum(p) / total >= 0.5)]
    return [ln(sqrt((c * c).mean())), crossings, (p * frequencies).sum() / total, middle]
