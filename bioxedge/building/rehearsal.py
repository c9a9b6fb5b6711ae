"""A rehearsal: a recipe's models at full size with random weights, where no checkpoint is at hand.

What comes out has the size, the speed and the memory of the real bundle. Its answers mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.head import Head
from bioxedge.building import golden
from bioxedge.building.feeding import options_of
from bioxedge.errors import RecipeError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe


@dataclass(frozen=True)
class Rehearsed:
    """What stands in for trained files.

    Attributes
    ----------
    recipe : Recipe
        With the random checkpoints named, relative to ``folder``, and both cuts as numbers.
    folder : Path
    bridge, head : Path
        State dicts as a script of somebody else's might save them.
    """

    recipe: Recipe
    folder: Path
    bridge: Path
    head: Path


@torch.inference_mode()
def rehearse(recipe: Recipe, folder: Path) -> Rehearsed:
    """Write random checkpoints, a bridge and a head for a recipe.

    Where a cut is left to training, the last of the source and the first of the target are taken,
    which is the most that there can be to compute. Bridge and head are drawn so that the golden
    windows are told apart. Further tasks are left out.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Made if need be.

    Raises
    ------
    RecipeError
        A model that cannot be drawn at random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    recipe = msgspec.structs.replace(recipe, others=())
    chains = {}
    for side in ("source", "target"):
        about = getattr(recipe, side)
        if about.model.checkpoint == "pip:openecg":
            raise RecipeError(
                f"{about.model.name} comes with its weights: rehearse a recipe without it - "
                f"at `$.{side}.model.checkpoint`"
            )
        chain = _stirred(models.create(about.model.name, **options_of(about))).freeze()
        name = f"random-{side}.safetensors"
        digest = checkpoint.save(chain, folder / name)
        terms = about.model.licence or "none: random weights"
        model = msgspec.structs.replace(
            about.model, checkpoint=name, sha256=digest, licence=terms, config={}
        )
        changed = msgspec.structs.replace(about, model=model)
        recipe = msgspec.structs.replace(recipe, **{side: changed})
        chains[side] = chain
    recipe = _cut(recipe, chains["source"])
    bridge, head = _between(recipe, chains["source"], chains["target"])
    files = folder / "random-bridge.pt", folder / "random-head.pt"
    named = {"prototypes": bridge.prototypes, "down": bridge.A, "up": bridge.B}
    torch.save({f"module.{key}": value.data.clone() for key, value in named.items()}, files[0])
    torch.save(head.linear.state_dict(), files[1])
    return Rehearsed(recipe, folder, *files)


def _cut(recipe: Recipe, source: Chain) -> Recipe:
    """Write out the cuts that training would choose."""
    given = recipe.bridge
    cuts = {
        "source_cut": len(source) if given.source_cut == "auto" else given.source_cut,
        "target_cut": 0 if given.target_cut == "auto" else given.target_cut,
    }
    return msgspec.structs.replace(recipe, bridge=msgspec.structs.replace(given, **cuts))


def _between(recipe: Recipe, source: Chain, target: Chain) -> tuple[PrototypeBridge, Head]:
    """Draw a bridge and a head that answer differently to different windows."""
    wanted, side = recipe.bridge, recipe.source
    straight = wanted.target_cut == "head"
    j = len(target) if straight else wanted.target_cut
    assert isinstance(j, int) and isinstance(wanted.source_cut, int)
    worn, _ = golden.stand_in(side, recipe.seed)
    _, windows = golden.golden_signal(side, worn, "a rehearsal")
    z = _each(source[: wanted.source_cut], windows).mean(1)
    cut = target.cut(j, recipe.target.length)
    bridge = PrototypeBridge(
        z.shape[1],
        cut.features,
        1 if straight else cut.tokens,
        wanted.rank,
        wanted.prototypes,
        b_std=(wanted.rank * wanted.prototypes) ** -0.5,
        seed=recipe.seed,
    )
    # What all windows share would drown what they differ in: A does not see it.
    shared = z.mean(0)
    bridge.A.sub_(torch.outer(bridge.A @ shared, shared) / shared.dot(shared))
    bridge.A.div_((z @ bridge.A.T).std().clamp(min=1e-6))
    pooled = torch.cat([target[j:](bridge(row[None])).mean(1) for row in z])
    head = Head(pooled.shape[1], recipe.task.answers)
    logits = pooled @ head.linear.weight.T
    head.linear.weight.div_(logits.std(0).mean().clamp(min=1e-6))
    head.linear.bias.copy_(-(pooled @ head.linear.weight.T).mean(0))
    return bridge, head


def _each(chain: Chain, windows: npt.NDArray[np.float32]) -> Tensor:
    """Pass windows one by one: at full size a batch takes memory that nothing else needs."""
    return torch.cat([chain(torch.from_numpy(window[None])) for window in windows])


def _stirred(chain: Chain) -> Chain:
    """Move what starts at one value: equal tensors are stored once, trained ones are not equal."""
    generator = torch.Generator().manual_seed(1)
    for module in chain.modules():
        for value in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if value.is_floating_point() and value.numel() > 1 and float(value.std()) == 0:
                value.add_(1e-3 * torch.rand(value.shape, generator=generator))
    return chain
