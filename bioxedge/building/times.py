"""Milliseconds of one window through each method's exported graph, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.baselines import Aligned, Student
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report
from bioxedge.building.learnt import Learnt
from bioxedge.building.rows import (
    CONTRAST,
    DISTILLATION,
    DISTILLATION_WORN,
    Row,
    contrast_student,
    spec_of,
    student,
    student_worn,
)
from bioxedge.building.shipping import Shipped, bridged
from bioxedge.building.store import Store, Values, key_of
from bioxedge.errors import BundleError, ExportError
from bioxedge.exporting.onnx import graph_of, to_onnx
from bioxedge.exporting.splice import BridgedModel
from bioxedge.models.chain import Chain
from bioxedge.runtime.host import identity
from bioxedge.runtime.timed import milliseconds

BRIDGE, TEACHER = "bridge", "teacher"


class _Whole(nn.Module):
    """A model that gives tokens, and the head behind it."""

    def __init__(self, model: Chain | Student | Aligned, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, windows: Tensor) -> Tensor:
        """``[1, channels, samples]`` to ``[1, answers]``."""
        answers: Tensor = self.head(self.model(windows))
        return answers


def times(
    learnt: Learnt,
    store: Store,
    methods: Sequence[str],
    threads: int = 1,
    graphs: Mapping[str, Callable[[], bytes]] | None = None,
) -> dict[str, float]:
    """Time methods' graphs, or find what was timed before on this machine.

    Parameters
    ----------
    learnt : Learnt
    store : Store
    methods : sequence of str
        ``bridge``, ``teacher`` and those of students: weights do not matter for it, so untrained
        ones are timed.
    threads : int, optional
    graphs : mapping, optional
        What gives graphs that were exported already.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ExportError, BundleError
        A graph that cannot be exported, or not run on so many threads.
    """
    makes: dict[str, Callable[[], bytes]] = {
        BRIDGE: lambda: bridge_graph(learnt),
        TEACHER: lambda: _graph(learnt, _Whole(learnt.target, learnt.head), "target"),
        DISTILLATION: lambda: _graph(learnt, _Whole(student(learnt), learnt.head), "source"),
        DISTILLATION_WORN: lambda: _worn_graph(learnt),
        CONTRAST: lambda: _graph(learnt, _Whole(contrast_student(learnt), learnt.head), "source"),
    }
    makes |= graphs or {}
    if not learnt.recipe.target.plain:  # its head takes more than its encoder gives
        del makes[TEACHER]
    wanted = [name for name in methods if name in makes]
    facts = [learnt.seen.key, learnt.source_cut, learnt.target_cut, learnt.bridge.rank]
    facts += [len(learnt.bridge.prototypes), wanted, threads, identity()]

    def make(report: Report, _: Path) -> Values:
        found: Values = {}
        for number, name in enumerate(wanted):
            report(number, len(wanted))
            found[name] = milliseconds(makes[name](), threads=threads)
        return found

    title = f"Milliseconds a window here, on {threads} thread{'s' if threads > 1 else ''}"
    return dict(store.step("times", title, key_of("times", *facts), make))


def bridge_graph(learnt: Learnt) -> bytes:
    """Export what a device computes: source, bridge, tail and head."""
    channels, samples = learnt.prepared.windows.source.shape[1:]
    return to_onnx(bridged(learnt), channels, samples, features=learnt.features)


def _worn_graph(learnt: Learnt) -> bytes:
    """Export a student with what goes into the bridge, as a bundle would have it."""
    channels, samples = learnt.prepared.windows.source.shape[1:]
    one, spec = student_worn(learnt), spec_of(learnt)
    whole = BridgedModel(learnt.source, one.bridge, learnt.tail, learnt.head, features=spec)
    return to_onnx(whole, channels, samples, features=spec)


def _graph(learnt: Learnt, model: nn.Module, side: str) -> bytes:
    """Export a model of one sensor's windows."""
    windows: Tensor = getattr(learnt.prepared.windows, side)
    return graph_of(model.requires_grad_(False).eval(), torch.zeros(1, *windows.shape[1:]))


def timed(
    learnt: Learnt, store: Store, shipped: Shipped | None, rows: Sequence[Row]
) -> dict[str, float]:
    """Time what a build's table has: the bundle's graph, and those of students where there are any.

    A machine on which nothing can be timed builds all the same, and says so.
    """
    graphs: dict[str, Callable[[], bytes]] = {}
    if shipped is not None:
        bundle = shipped.bundle
        graphs[BRIDGE] = (bundle.path / bundle.manifest.variant().file).read_bytes
    methods = [BRIDGE, *([TEACHER] if rows else []), *(row.method for row in rows)]
    if shipped is None and not rows:
        return {}
    try:
        return times(learnt, store, methods, graphs=graphs)
    except (BundleError, ExportError, OSError) as error:
        store.say(f"no milliseconds: {' '.join(str(error).split())}")
        return {}
