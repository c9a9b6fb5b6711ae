"""Cut two models into parts that a device can time: stem, blocks, bridge, head.

Weights are random: time does not depend on them, and none that were trained or licensed leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge import __version__, kit, models
from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report, quiet
from bioxedge.errors import ExportError
from bioxedge.exporting.onnx import graph_of
from bioxedge.models.chain import Chain, Layout

Shape = tuple[int, ...]


def plan_of(
    source: Chain,
    samples: int,
    target: Chain,
    target_samples: int,
    *,
    rank: int,
    prototypes: int,
    classes: int,
    straight: bool = False,
) -> kit.Plan:
    """Say what is cut; the chains may be without weights (on the meta device)."""
    return kit.Plan(
        source=_sliced(source, samples),
        target=_sliced(target, target_samples),
        rank=rank,
        prototypes=prototypes,
        classes=classes,
        straight=straight,
    )


def _sliced(chain: Chain, samples: int) -> kit.Sliced:
    # Through JSON and back: a tuple would differ from the list that a file holds.
    config = msgspec.json.decode(msgspec.json.encode(chain.options()))
    return kit.Sliced(model=chain.name, config=config, channels=chain.channels, samples=samples)


def write_kit(
    path: str | Path, plan: kit.Plan, source: Chain, target: Chain, report: Report = quiet
) -> kit.Kit:
    """Export every distinct part of both models, and write them as a kit.

    Parameters
    ----------
    path : path
        The kit's directory.
    plan : Plan
        From `plan_of` for these chains.
    source, target : Chain
        Of which only the dimensions are taken.
    report : callable, optional
        Told how many of how many places are done.

    Raises
    ------
    ExportError
        A part that cannot be exported.
    BundleError
        Something else stands in the place of the kit.
    """
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        cutter = _Cutter(len(source) * 3 + len(target) * 3 + 4, report)
        parts = _cut(plan, blank(source), blank(target), cutter)
    return kit.write(path, plan, parts, cutter.graphs, __version__)


def blank(chain: Chain) -> Chain:
    """Make a chain of the same dimensions, with random weights, frozen."""
    if chain.name == "openecg":
        return models.create(chain.name, pretrained=False).freeze()
    return models.create(chain.name, **chain.options()).freeze()


def _cut(plan: kit.Plan, source: Chain, target: Chain, cutter: _Cutter) -> kit.Parts:
    """Export the parts in the order in which a window passes them."""
    cutter.add(kit.CALL, _Next(), torch.zeros(1, 1))
    window = torch.randn(1, source.channels, plan.source.samples)
    stem, blocks, seams, natives = _walk("source", source, window, cutter)
    pools = [
        cutter.add(f"pool-{i:02d}", _Pool(source, i, plan.rank, native), _pack(native))
        for i, native in enumerate(natives)
    ]
    bridges, tail, tail_seams = [], [], []
    last = target.last
    for j in range(last):
        tokens, features = target.cut(j, plan.target.samples)
        spread = _Spread(plan.rank, plan.prototypes, tokens, features, target.layout)
        native = spread(torch.zeros(1, plan.rank))
        bridges.append(cutter.add(f"bridge-{j:02d}", spread, torch.randn(1, plan.rank)))
        block = _Block(target.blocks[j], target.layout, native)
        tail.append(cutter.add(f"target-block-{j:02d}", block, _pack(native)))
        if j + 1 < last:
            after = _Block(target.blocks[j + 1], target.layout, target.blocks[j](native))
            seam = nn.Sequential(block, after)
            tail_seams.append(cutter.add(f"target-seam-{j:02d}", seam, _pack(native)))
    tokens, features = target.cut(last, plan.target.samples)
    native = target.layout.enter(torch.randn(1, tokens, features))
    head = cutter.add("head", _Last(target.layout, features, plan.classes), native)
    spread = _Spread(plan.rank, plan.prototypes, 1 if plan.straight else tokens, features, Layout())
    closing = nn.Sequential(spread, _Last(Layout(), features, plan.classes))
    bridges.append(cutter.add(f"bridge-{last:02d}", closing, torch.randn(1, plan.rank)))
    return kit.Parts(
        stem=stem,
        blocks=tuple(blocks),
        pools=tuple(pools),
        bridges=tuple(bridges),
        tail=tuple(tail),
        head=head,
        seams=tuple(seams),
        tail_seams=tuple(tail_seams),
    )


def _walk(
    side: str, chain: Chain, window: Tensor, cutter: _Cutter
) -> tuple[str, list[str], list[str], list[Any]]:
    """Export a chain's stem, blocks and seams; give their names and what stands at every cut."""
    assert chain.stem is not None
    before, given = _Block(chain.stem, chain.layout, window), window
    stem = cutter.add(f"{side}-stem", before, given)
    natives = [chain.layout.settle(chain.stem(window))]
    names, seams = [], []
    for k, block in enumerate(chain.blocks):
        here, packed = _Block(block, chain.layout, natives[-1]), _pack(natives[-1])
        names.append(cutter.add(f"{side}-block-{k:02d}", here, packed))
        seams.append(cutter.add(f"{side}-seam-{k:02d}", nn.Sequential(before, here), given))
        natives.append(chain.layout.settle(block(natives[-1])))
        before, given = here, packed
    return stem, names, seams, natives


class _Cutter:
    """Exports each distinct part once, under the name of its first place."""

    def __init__(self, places: int, report: Report) -> None:
        self.graphs: dict[str, tuple[Shape, bytes]] = {}
        self._known: dict[str, str] = {}
        self._done, self._places, self._report = 0, places, report

    def add(self, name: str, module: nn.Module, example: Tensor) -> str:
        """Export a module unless its like is there; give the name under which it is found."""
        example = example.detach().clone()
        module = module.eval().requires_grad_(False)
        with torch.inference_mode(False), torch.no_grad():
            try:
                program = torch.export.export(module, (example.clone(),))
            except Exception as error:  # whatever the operator at hand raises
                said = " ".join(str(error).split())[:300]
                raise ExportError(f"{name} cannot be exported: {said}") from error
            key = _structure(program)
            if key not in self._known:
                self._known[key] = name
                self.graphs[name] = tuple(example.shape), graph_of(program, example)
        self._done += 1
        self._report(min(self._done, self._places), self._places)
        return self._known[key]


def _structure(program: torch.export.ExportedProgram) -> str:
    """Hash a graph with its constants and shapes, but without the values of its weights."""
    lines = [
        f"{node.op} {node.name} {node.target} {node.args} {node.kwargs} {_shapes(node)}"
        for node in program.graph.nodes
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _shapes(node: torch.fx.Node) -> list[Any]:
    """Shapes and types of what a node gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, tuple | list) else [value]
    return [(tuple(one.shape), one.dtype) for one in values if isinstance(one, Tensor)]


def _pack(native: Any) -> Tensor:
    """Give what passes between blocks as one tensor; several are laid end to end."""
    if isinstance(native, Tensor):
        return native
    return torch.cat([one.flatten(1) for one in _tensors(native)], dim=1)


def _tensors(native: Any) -> Iterator[Tensor]:
    yield from native


class _Unpack(nn.Module):
    """Undo `_pack` for what is shaped like an example."""

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.single = isinstance(like, Tensor)
        self.kind = type(like)
        self.shapes = [] if self.single else [tuple(one.shape) for one in _tensors(like)]

    def forward(self, packed: Tensor) -> Any:
        """Give the model's own layout."""
        if self.single:
            return packed
        parts, at = [], 0
        for shape in self.shapes:
            size = torch.Size(shape[1:]).numel()
            parts.append(packed[:, at : at + size].reshape(shape))
            at += size
        return self.kind(*parts)


class _Block(nn.Module):
    """A stem or a block in its model's own layout, as it stands within a whole chain."""

    def __init__(self, block: nn.Module, layout: Layout, like: Any) -> None:
        super().__init__()
        self.unpack, self.block, self.layout = _Unpack(like), block, layout

    def forward(self, packed: Tensor) -> Tensor:
        """Run it."""
        return _pack(self.layout.settle(self.block(self.unpack(packed))))


class _Pool(nn.Module):
    """Token mean of a source cut, through the bridge's first factor."""

    def __init__(self, chain: Chain, cut: int, rank: int, like: Any) -> None:
        super().__init__()
        self.unpack, self.layout, self.mean = _Unpack(like), chain.layout, TokenMean()
        self.first = nn.Linear(chain.config.features(cut), rank)

    def forward(self, packed: Tensor) -> Tensor:
        """``[1, rank]``."""
        found: Tensor = self.first(self.mean(self.layout.leave(self.unpack(packed))))
        return found


class _Spread(nn.Module):
    """The rest of a prototype bridge, into the target's own layout."""

    def __init__(
        self, rank: int, prototypes: int, tokens: int, features: int, layout: Layout
    ) -> None:
        super().__init__()
        self.tokens, self.layout = tokens, layout
        self.B = nn.Parameter(torch.randn(prototypes * tokens, rank))
        self.prototypes = nn.Parameter(torch.randn(prototypes, features))

    def forward(self, z: Tensor) -> Tensor:
        """``[1, rank]`` to what the target's cut holds."""
        weights = functional.linear(z, self.B).reshape(1, -1, self.tokens)
        tokens: Tensor = self.layout.enter(weights.transpose(1, 2) @ self.prototypes)
        return tokens


class _Last(nn.Module):
    """The task layer, to probabilities."""

    def __init__(self, layout: Layout, features: int, classes: int) -> None:
        super().__init__()
        self.layout, self.head = layout, Head(features, classes)

    def forward(self, native: Tensor) -> Tensor:
        """``[1, classes]``."""
        logits: Tensor = self.head(self.layout.leave(native))
        return logits.softmax(dim=1)


class _Next(nn.Module):
    """Next to nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Add one."""
        return x + 1
