"""How long a build takes and what it needs: from models timed for a moment and windows counted."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bioxedge.bridging.costs import costs
from bioxedge.bridging.peak import peak_bytes
from bioxedge.bridging.runner import Runner
from bioxedge.building.encoders import compute_of
from bioxedge.building.feeding import options_of
from bioxedge.datasets import bidmc
from bioxedge.datasets.choosing import Chosen
from bioxedge.datasets.published import SETS
from bioxedge.datasets.windowed import hop_alone, streamed_rate
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe

_FORTH_AND_BACK = 3.0  # of a forward pass: what a training step takes
_BASE = 0.6e9  # bytes of Python, torch and its friends
_TIMED = 0.3  # seconds that a model is timed for
_USUAL = {"bidmc": bidmc.SECONDS} | {name: one.seconds for name, one in SETS.items()}
_TOGETHER = 16  # windows that are timed together, as far as they fit


@dataclass(frozen=True)
class Forecast:
    """What a build is expected to take.

    Attributes
    ----------
    seconds : float
    memory, disk : float
        In bytes.
    windows : dict of str to int
        Counted, or reckoned from how long recordings are.
    unknown : int
        Recordings that do not say how long they are.
    parameters : dict of str to int
        Of the source encoder up to its cut, of the bridge, and of the target's tail; empty where
        the cuts are yet to be chosen.
    missing : tuple of str
        What is not there yet, in words.
    """

    seconds: float
    memory: float
    disk: float
    windows: dict[str, int]
    unknown: int = 0
    parameters: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def line(self) -> str:
        """Say it in one line."""
        minutes = max(self.seconds / 60, 1.0)
        said = (
            f"Expected: about {minutes:.0f} min here, {self.memory / 1e9:.1f} GB of memory and "
            f"{self.disk / 1e9:.1f} GB of disk for {self.windows['source']:,} source and "
            f"{self.windows['target']:,} target windows"
        )
        if self.unknown:
            said += f"; {self.unknown} recordings do not say how long they are"
        return said

    def size(self) -> str:
        """Say in one line how large the parts are; empty where the cuts are yet to be chosen."""
        if not self.parameters:
            return ""
        source, bridge, tail = (self.parameters[key] for key in ("source", "bridge", "tail"))
        return (
            f"Parameters: {bridge:,} trained in the bridge, between {source:,} of the source "
            f"encoder and {tail:,} of the target's tail"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return vars(self)


def reckoned(recipe: Recipe, chosen: list[Chosen]) -> tuple[dict[str, int], int]:
    """Reckon how many windows recordings hold, by how long they say or usually are."""
    found, unknown = {"source": 0, "target": 0, "pair": 0}, 0
    hop = recipe.source.hop / streamed_rate(recipe.source)
    alone = hop_alone(recipe) / streamed_rate(recipe.target)
    for one in chosen:
        usual = _USUAL.get(one.data.dataset)
        parts = [part for part in (one.source, one.target) if part is not None]
        lengths = [usual if part.seconds is None else part.seconds for part in parts]
        if any(each is None for each in lengths):
            unknown += 1
            continue
        seconds = min(each for each in lengths if each is not None)
        if one.source is None:
            found["target"] += int(seconds / alone)
            continue
        found["source"] += int(seconds / hop)
        if one.target is not None:
            found["target"] += int(seconds / hop)
            found["pair"] += int(seconds / hop)
    found["pair"] = round(found["pair"] * paired(recipe))
    return found, unknown


def paired(recipe: Recipe) -> float:
    """Give the share of the people whose pairs a bridge is trained on, where a split says it."""
    given = recipe.split.shares or recipe.split.numbers
    return given.pair / sum(given.counts.values()) if given is not None else 1.0


def forecast(
    recipe: Recipe, chains: Mapping[str, Chain], windows: dict[str, int], unknown: int = 0
) -> Forecast:
    """Time both models for a moment, and reckon what a build takes.

    Parameters
    ----------
    recipe : Recipe
    chains : mapping of str to Chain
        Both models, whole; one of shapes alone is drawn at random for the moment.
    windows : dict of str to int
        ``source``, ``target`` and ``pair`` windows.
    unknown : int
        Recordings that are not counted in it.
    """
    seconds, memory, disk = 10.0, _BASE, 0.0
    spent: dict[str, float] = {}
    for side in ("source", "target"):
        about, chain = getattr(recipe, side), chains[side]
        own, count = _real(chain, about), windows[side]
        batch = Runner(compute_of(recipe)).batch(own, about.length)
        each = spent[side] = _timed(own, about.length, min(batch, _TOGETHER))
        seconds += each * count
        if about.model.checkpoint == "pretrain":
            seconds += _FORTH_AND_BACK * each * count * about.model.epochs
        features = sum(chain.cut(k, about.length).features for k in range(len(chain) + 1))
        disk += 4.0 * count * (features + chain.channels * about.length)
        weights = 4.0 * sum(parameter.numel() for parameter in own.parameters())
        memory += weights + batch * peak_bytes(own, (1, chain.channels, about.length))
    target = chains["target"]
    whole = costs(target, recipe.target.length)
    wanted = recipe.bridge
    if wanted.at == "last" and wanted.target_cut != "head":
        cut = wanted.target_cut if isinstance(wanted.target_cut, int) else 0
        share = 1 - whole[cut].macs / max(whole[-1].macs, 1)
        seconds += _FORTH_AND_BACK * spent["target"] * share * windows["pair"] * wanted.epochs
    if wanted.over == "tokens":
        last = target.cut(len(target), recipe.target.length)
        disk += 4.0 * windows["pair"] * last.tokens * last.features
    memory += 4.0 * windows["pair"] * target.cut(len(target), recipe.target.length).features
    return Forecast(seconds, memory, disk, windows, unknown, parameters(recipe, chains))


def parameters(recipe: Recipe, chains: Mapping[str, Chain]) -> dict[str, int]:
    """Count parameters by part: rank · in + prototypes · tokens · rank + prototypes · out.

    Parameters
    ----------
    recipe : Recipe
    chains : mapping of str to Chain
        Both models, whole.
    """
    wanted, source, target = recipe.bridge, chains["source"], chains["target"]
    if not isinstance(wanted.source_cut, int) or wanted.target_cut == "auto":
        return {}
    straight = wanted.target_cut == "head"
    j = len(target) if isinstance(wanted.target_cut, str) else wanted.target_cut
    given = source.cut(wanted.source_cut, recipe.source.length)
    made = target.cut(j, recipe.target.length)
    tokens = 1 if straight else made.tokens
    rank, prototypes = wanted.rank, wanted.prototypes
    return {
        "source": _count(source[: wanted.source_cut]),
        "bridge": rank * given.features + prototypes * (tokens * rank + made.features),
        "tail": _count(target[j:]),
    }


def _count(chain: Chain) -> int:
    """Count the parameters of a chain."""
    return sum(parameter.numel() for parameter in chain.parameters())


def _real(chain: Chain, about: Any) -> Chain:
    """Give a chain with numbers: one of shapes alone is made anew."""
    if not any(parameter.is_meta for parameter in chain.parameters()):
        return chain
    from bioxedge import models

    with torch.random.fork_rng(devices=[]):
        return models.create(about.model.name, **options_of(about)).freeze()


def _timed(chain: Chain, samples: int, batch: int) -> float:
    """Time a window of a batch, in seconds."""
    windows = torch.randn(
        batch, chain.channels, samples, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        chain(windows)
        least, until = math.inf, time.perf_counter() + _TIMED
        # The quickest pass: others on the machine must not be taken for the model.
        while not math.isfinite(least) or time.perf_counter() < until:
            start = time.perf_counter()
            chain(windows)
            least = min(least, time.perf_counter() - start)
    return least / batch
