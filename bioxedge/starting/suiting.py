"""What suits a sensor: how long its windows are, what is filtered, which model reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge import units
from bioxedge.errors import ModelError
from bioxedge.models.cards import CARDS, Card, card
from bioxedge.starting.choosing import Choice

SMALL = "papagei"
"""A small convolutional model of any signal, pretrained on the windows at hand."""
_SMALL_ECG = "ecg_transformer"
_CLEAR = 0.475  # share of a rate up to which a filter's edge may lie
_BLOCK = 1 << 20


@dataclass(frozen=True)
class _Suits:
    """What suits a modality where a small model is trained on it.

    ``seconds`` is how long a window should be at least, ``rate`` in Hz what it needs not exceed,
    ``low`` and ``high`` the band in Hz; 0 where there is no edge.
    """

    seconds: float
    rate: float
    low: float
    high: float


# Bands are those in common use for each signal; what a task needs may differ, and the recipe says
# so beside them.
_SUITS: Mapping[str, _Suits] = {
    "ppg": _Suits(10, 64, 0.5, 8),
    "ecg": _Suits(10, 125, 0.5, 40),
    "eeg": _Suits(10, 125, 0.5, 45),
    "eog": _Suits(10, 64, 0.1, 15),
    "emg": _Suits(10, 500, 20, 200),
    "eda": _Suits(30, 4, 0, 1),
    "temperature": _Suits(60, 4, 0, 0.5),
    "respiration": _Suits(30, 25, 0.05, 2),
    "pressure": _Suits(10, 64, 0.5, 15),
    "acceleration": _Suits(10, 32, 0, 12),
    "rotation": _Suits(10, 32, 0, 12),
    "saturation": _Suits(60, 4, 0, 0),
    "rate": _Suits(60, 4, 0, 0),
}
_OTHER = _Suits(10, 125, 0, 0)
_SLOW = 12.0  # Hz
_SLOW_SECONDS = 30.0
# What pretraining needs of a window: seconds, or samples of a slow sensor.
_SHORTEST, _FEWEST = 4.0, 16


@dataclass(frozen=True)
class Chosen:
    """One side of a recipe, as it is written.

    Attributes
    ----------
    choice : Choice
    columns, channels, units : tuple of str
        The recordings' names, the live sensor's, and the units of each.
    rate : float
    length : int
        In samples of what is streamed.
    hop : int
    max_gap : int
    stages : list of dict, or "model"
    then : list of dict, or "model"
    model : dict
        Keys of the model's section.
    open : dict
        Keys that only the author can fill in; written as comments.
    card : Card
    seconds : float
    """

    choice: Choice
    columns: tuple[str, ...]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate: float
    length: int
    hop: int
    max_gap: int
    stages: list[dict[str, Any]] | str
    then: list[dict[str, Any]] | str
    model: dict[str, Any]
    open: dict[str, Any]
    card: Card
    seconds: float = field(default=0.0)


def seconds_of(*choices: Choice) -> float:
    """Say how long windows of some sensors should be: as the slowest of them needs."""
    return max(_seconds(choice) for choice in choices)


def _seconds(choice: Choice) -> float:
    """Say how long windows of one sensor should be at least."""
    seconds = _SUITS.get(choice.found.modality, _OTHER).seconds
    return max(seconds, _SLOW_SECONDS) if choice.found.rate <= _SLOW else seconds


def suit(choice: Choice, model: str, seconds: float, recipe: Path) -> Chosen:
    """Say how a sensor is streamed, cut and read.

    Parameters
    ----------
    choice : Choice
    model : str
        A model's name, and after ``=`` the file of its weights; empty for a small one that is
        pretrained here.
    seconds : float
        How long a window is.
    recipe : Path
        Where it will stand: files are named relative to it.

    Raises
    ------
    ModelError
        No such model or file, or a sensor that does not fit it.
    """
    name, _, file = model.partition("=")
    found = choice.found
    published = card(name) if name else CARDS[_small(choice)]
    own = not published.contract.rate or published.name == _SMALL_ECG or not name
    columns, channels = choice.channels, choice.channels
    keys: dict[str, Any] = {"name": published.name}
    blank: dict[str, Any] = {}
    stages: list[dict[str, Any]] | str
    then: list[dict[str, Any]] | str
    if own:
        stages, rate = _stages(found.modality, found.rate, seconds)
        then = [{"stage": "zscore"}]
        length = max(1, round(seconds * rate))
        shortest = _SHORTEST if rate > _SLOW else _FEWEST / rate
        if length / rate < shortest:
            raise ModelError(
                f"windows of {seconds:g} s are too short to pretrain {published.name} on: write "
                f"--seconds {shortest:g} or more, or name a model with weights"
            )
    else:
        columns, channels = _electrodes(choice, published)
        found_stages, _ = published.contract.streaming(found.rate)
        stages = "model" if found_stages else []
        then = "model" if published.contract.then else []
        rate = published.contract.rate
        length = _length(published, round(seconds * rate), seconds)
    if file:
        keys |= _weights(Path(file), published, recipe)
    elif published.name == _SMALL_ECG:
        keys |= {"config": {"samples": length}, "epochs": 10}
    elif not name:
        keys |= {"config": {"base_filters": 16, "blocks": 10}, "epochs": 8}
    elif published.name == "openecg":
        keys |= {"checkpoint": "pip:openecg"}
    elif not own:
        blank = {"checkpoint": "FILE", "sha256": "sha256sum FILE", "licence": published.licence}
        blank |= {"non_commercial": True} if published.non_commercial else {}
    return Chosen(
        choice, columns, channels, tuple(_unit(found.unit(column)) for column in columns),
        found.rate, length, max(1, length // 2), max(1, round(found.rate / 2)), stages, then, keys,
        blank, published, length / rate,
    )  # fmt: skip


def _small(choice: Choice) -> str:
    """Choose a small model."""
    return _SMALL_ECG if choice.found.modality == "ecg" else SMALL


def _stages(modality: str, rate: float, seconds: float) -> tuple[list[dict[str, Any]], float]:
    """Give causal stages for a small model, and the rate that they lead to."""
    about = _SUITS.get(modality, _OTHER)
    stages: list[dict[str, Any]] = []
    down = _down(rate, max(1, int(rate // about.rate)), seconds)
    if down > 1:
        stages.append({"stage": "resample", "up": 1, "down": down})
        rate /= down
    low = about.low if about.low < _CLEAR * rate else 0.0
    high = about.high if about.high < _CLEAR * rate else 0.0
    if low and high:
        kind, cutoff = "bandpass", [low, high]
    elif low or high:
        kind, cutoff = ("highpass", [low]) if low else ("lowpass", [high])
    else:
        return stages, rate
    stages.append(
        {"stage": "filter", "design": "butterworth", "kind": kind, "cutoff": cutoff, "order": 2}
    )
    return stages, rate


def _down(rate: float, most: int, seconds: float) -> int:
    """Choose by how much a rate is lowered, so that a window is a whole number of samples."""
    whole = [
        down for down in range(most, most // 2, -1) if float(seconds * rate / down).is_integer()
    ]
    return whole[0] if whole else most


def _electrodes(choice: Choice, published: Card) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the channels that a model's weights know, in their order, if it goes by names."""
    pairs = []
    for name in published.contract.channels:
        match = [have for have in choice.channels if _plain(have) == name.lower()]
        pairs += [(match[0], name)] if match else []
    if not pairs and published.contract.by_name:
        raise ModelError(
            f"{published.name} goes by the names of channels, "
            f"{', '.join(published.contract.channels[:6])} …, and {choice.found.name} has "
            f"{', '.join(choice.channels[:6])}: name those that are meant, such as --source "
            f"{choice.found.stream}:A,B, or take the small model"
        )
    if not pairs:
        return choice.channels, choice.channels
    return tuple(column for column, _ in pairs), tuple(name for _, name in pairs)


def _plain(label: str) -> str:
    """Write a label as electrodes are called: ``EEG Fp1-REF`` is ``fp1``."""
    return label.lower().removeprefix("eeg").strip(" -_").split("-")[0].strip()


def _length(published: Card, samples: int, seconds: float) -> int:
    """Bring a length to what a model takes."""
    contract = published.contract
    length = max(samples, contract.shortest)
    if contract.longest:
        length = min(length, contract.longest)
    length -= length % contract.multiple
    if abs(length - samples) > contract.multiple:
        raise ModelError(
            f"{published.name} takes {contract.windows}, not {seconds:g} s: write "
            f"--seconds {length / contract.rate:g}"
        )
    return length


def _weights(file: Path, published: Card, recipe: Path) -> dict[str, Any]:
    """Say where a model's weights are, and what they are."""
    if not file.is_file():
        raise ModelError(f"{file} is not there: write NAME=FILE with the file of its weights")
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    near = file.resolve().parent == recipe.resolve().parent
    keys = {
        "checkpoint": file.name if near else str(file.resolve()),
        "sha256": digest.hexdigest(),
        "licence": published.licence,
    }
    return keys | ({"non_commercial": True} if published.non_commercial else {})


def foreign(side: Chosen) -> str:
    """Say that a model was made for another kind of signal; empty where it was not."""
    made, given = side.card.contract.modality, side.choice.found.modality
    if side.model["name"] == SMALL and "config" in side.model:
        return ""
    if "any" in (made, given) or made == given or not given:
        return ""
    return f"{side.card.name} was made for {made.upper()}, {side.choice.found.name} is none"


def _unit(unit: str) -> str:
    """Give a unit that is known."""
    return unit if units.known(unit) and unit else units.ARBITRARY
