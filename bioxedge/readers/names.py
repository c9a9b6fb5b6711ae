"""What labels of channels tell: which kind of signal it is, and what people call it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bioxedge.signals import Channel

_LEADS = {
    "i", "ii", "iii", "v", "avr", "avl", "avf", "mcl", "mcl1", "mli", "mlii", "mliii", "ml2",
    *(f"v{k}" for k in range(1, 10)), *(f"mv{k}" for k in range(1, 7)),
}  # fmt: skip
_TEN_TWENTY = re.compile(
    r"(fp[12z]|af[0-9z]+|f[0-9z]+|ft[0-9]+|fc[0-9z]+|c[0-9z]+|t[3-9]|t10|tp[0-9]+|cp[0-9z]+|"
    r"p[0-9z]+|po[0-9z]+|o[12z]|a[12]|m[12]|nz|iz)",
)
# The first that is found in a label decides; whole words alone.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ecg", ("ecg", "ekg", "ecgi", "ecgii")),
    ("eog", ("eog", "loc", "roc", "e1", "e2", "horizontal", "vertical")),
    ("emg", ("emg", "chin", "submental", "tibialis", "leg")),
    ("eeg", ("eeg", "exg")),
    ("ppg", ("ppg", "pleth", "plethysmogram", "bvp", "optical", "ppg0", "ppg1", "ppg2", "ir")),
    ("eda", ("eda", "gsr", "scl", "scr")),
    ("pressure", ("abp", "art", "bp", "cvp", "pap", "nibp")),
    ("temperature", ("temp", "temperature", "tskin")),
    ("acceleration", ("acc", "accel", "accelerometer", "accx", "accy", "accz")),
    ("rotation", ("gyro", "gyr", "gyroscope")),
    ("respiration", ("resp", "respiration", "flow", "airflow", "thorax", "thor", "abdomen", "abdo",
                     "nasal", "breathing")),
    ("saturation", ("spo2", "sao2")),
    ("rate", ("hr", "pulse", "bpm")),
    ("reference", ("label", "labels", "class", "condition", "stage", "phase", "reference")),
)  # fmt: skip
_UNIT = re.compile(r"^(?P<name>.*?)\s*[\[(](?P<unit>[^\])]*)[\])]\s*$")


def modality_of(label: str) -> str:
    """Tell a kind of signal from a label; empty where it does not say."""
    words = re.findall(r"[a-z]+[0-9]*|[0-9]+", label.lower())
    for modality, known in _WORDS:
        if any(word in known for word in words):
            return modality
    whole = label.strip().lower()
    if whole in _LEADS:
        return "ecg"
    parts = [part for part in re.split(r"[-_\s]", whole) if part not in ("ref", "le", "cz")]
    if parts and all(_TEN_TWENTY.fullmatch(part) for part in parts):
        return "eeg"
    return "ecg" if words and all(word in _LEADS for word in words) else ""


def name_of(label: str, modality: str) -> str:
    """Give a channel's name without the kind of signal before it (``EEG Fp1`` is ``Fp1``)."""
    name = label.strip()
    first, _, rest = name.partition(" ")
    if rest.strip() and first.lower() == modality:
        name = rest.strip()
    return name or modality or "unnamed"


def name_and_unit(label: str) -> tuple[str, str]:
    """Part a header such as ``ecg [uV]`` or ``EDA (uS)``; the unit is empty where none stands."""
    match = _UNIT.match(label.strip())
    if match and match["name"]:
        return match["name"], match["unit"].strip()
    return label.strip(), ""


def distinct(names: Iterable[str]) -> list[str]:
    """Number names that come twice."""
    found: list[str] = []
    for name in names:
        own, number = name, 1
        while own in found:
            number += 1
            own = f"{name}_{number}"
        found.append(own)
    return found


def safe(name: str, default: str = "signal") -> str:
    """Make a name that can be a folder's: letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_").lower() or default


def channels_of(labels: Sequence[str], units: Sequence[str], modality: str) -> tuple[Channel, ...]:
    """Name the channels of one kind of signal."""
    names = distinct(name_of(label, modality) for label in labels)
    return tuple(Channel(name, unit or "a.u.") for name, unit in zip(names, units, strict=True))
