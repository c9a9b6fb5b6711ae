"""Small files in the format of published sets: what is in them is made up, their layout is not."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

FOG_EEG = [2 + place for place in (2, 4, 8, 3, 5, 9)]  # F3, C3, O1, F4, C4, O2


def python2(value: Any) -> bytes:
    """Pickle as Python 2 and its NumPy did, protocol 2: text and arrays' bytes are strings."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        value = value.encode("latin-1")
    if isinstance(value, bytes):
        short = len(value) < 256
        return (
            b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
        ) + value
    if isinstance(value, dict):
        items = b"".join(_python2(key) + _python2(one) for key, one in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_python2, value)) + b"t"
    assert isinstance(value, np.ndarray)
    kind = value.dtype
    made = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + _python2((0,)) + b"U\x01b\x87R"
    )
    order = kind.str[0]
    about = b"cnumpy\ndtype\n" + _python2(kind.str[1:]) + b"K\x00K\x01\x87R"
    about += _python2((3, order, None, None, None, -1, -1, 0)) + b"b"
    state = b"(K\x01" + _python2(value.shape) + about + b"\x89" + _python2(value.tobytes()) + b"tb"
    return made + state


def beats(seconds: float, rate: float, pulse: np.ndarray, seed: int) -> np.ndarray:
    """A heart that beats ``pulse`` times a second, as a sensor of some rate sees it."""
    t = np.arange(round(seconds * rate)) / rate
    speed = np.interp(t, np.arange(len(pulse)), pulse)
    noise = np.random.default_rng(seed).normal(0.0, 0.03, t.size)
    return np.sin(2 * np.pi * np.cumsum(speed) / rate) ** 9 + noise


def write_wesad(folder: Path, people: tuple[int, ...], phase: int = 100) -> None:
    """Write people who rest, are stressed, rest, are amused, for ``phase`` seconds each."""
    for number in people:
        course = np.repeat([1, 2, 4, 3], phase)
        pulse = np.repeat([1.0, 1.7, 1.1, 1.3], phase) + 0.01 * (number % 5)
        seconds = len(course)
        whole = {
            "subject": f"S{number}",
            "signal": {
                "chest": {
                    "ACC": np.zeros((7, 3)),
                    "ECG": beats(seconds, 700.0, pulse, number)[:, None],
                },
                "wrist": {"BVP": 40 * beats(seconds, 64.0, pulse, 90 + number)[:, None]},
            },
            "label": np.repeat(course, 700).astype("<i4"),
        }
        place = folder / f"S{number}"
        place.mkdir(parents=True)
        (place / f"S{number}.pkl").write_bytes(python2(whole))
    (folder / "wesad_readme.txt").write_text("not a person")


def write_isruc(folder: Path, people: tuple[int, ...], epochs: int = 12) -> None:
    """Write nights in which sleep and wake alternate; the scorer's text is 30 lines longer."""
    from scipy.io import savemat

    for number in people:
        rng = np.random.default_rng(number)
        scored = np.array([0, 0, 2, 3, 5, 1] * epochs)[:epochs]
        wake = (scored == 0).astype(np.float64)
        t = np.arange(epochs * 6000) / 200.0
        alpha = np.repeat(10 + 30 * wake, 6000) * np.sin(2 * np.pi * 10 * t)
        heart = 300 * beats(epochs * 30, 200.0, np.repeat(0.9 + 0.5 * wake, 30), number)
        signals = {
            name: (alpha + rng.normal(0, 8, t.size)).reshape(epochs, 6000)
            for name in ("F3_A2", "C3_A2", "O1_A2", "F4_A1", "C4_A1", "O2_A1", "LOC_A2")
        }
        signals["X2"] = heart.reshape(epochs, 6000)
        (folder / "ExtractedChannels").mkdir(parents=True, exist_ok=True)
        savemat(folder / "ExtractedChannels" / f"subject{number}.mat", signals)
        raw = folder / "RawData" / str(number)
        raw.mkdir(parents=True)
        lines = [*scored.tolist(), *[0] * 30]
        (raw / f"{number}_1.txt").write_text("\n".join(map(str, lines)) + "\n\n")


def write_fog(folder: Path, visits: dict[str, int], seconds: int = 60) -> None:
    """Write visits of so many tasks each, in which walking and freezing alternate every 10 s."""
    for number, (visit, tasks) in enumerate(visits.items()):
        place = folder / "Filtered Data" / visit
        place.mkdir(parents=True)
        for task in range(1, tasks + 1):
            rng = np.random.default_rng([number, task])
            count = 500 * seconds
            t = np.arange(count) / 500.0
            frozen = (t // 10) % 2
            rows = rng.normal(0, 5, (count, 61))
            rows[:, 0] = np.arange(count)
            wave = (8 + 25 * frozen) * np.sin(2 * np.pi * (9 + 4 * frozen) * t)
            rows[:, 2:27] += wave[:, None]
            rows[:, 27:32] *= (2 + 8 * frozen)[:, None]
            rows[:, 60] = frozen
            unused = ",".join(["0"] * 28)  # what is worn on legs, waist and arm
            with (place / f"task_{task}.txt").open("w") as file:
                for k, row in enumerate(rows.round(2).tolist()):
                    leads = ",".join(map(str, row[2:32]))
                    file.write(f"{k},10:11:12.{k % 1000:03d},{leads},{unused},{row[60]:.0f}\n")
