"""Where a window's time goes inside the engine: source, bridge, tail and head.

ONNX Runtime's own profile gives a time for each node that it ran, by name. Which part a node
belongs to is read from the model file: weights keep the names of the modules that they came from
(``source.…``, ``bridge.…``, ``tail.…``, ``head.…``), and what has no weight belongs where its
inputs come from. Nodes that the runtime made up belong where they ran, between their neighbours:
how much time that is, is told. Where no name tells, nothing is told.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.measuring.tasks import Parts, Task
from bioxedge.onnxfile import fields

Floats = npt.NDArray[np.float32]

PARTS = ("source", "bridge", "tail", "head")
"""In the order in which a window passes them; pooling is the source's end."""
WARMUP = 3


def parts(task: Task) -> Parts:
    """Profile one cell's engine, window by window."""
    from bioxedge.bundle import Bundle

    if task.provider.startswith("openvino"):
        return Parts(ms={}, by_position=0.0, windows=0, why="OpenVINO gives no profile here")
    bundle = Bundle.open(task.bundle)
    raw = bundle.model(task.variant)
    return inside(raw, bundle.golden.windows, task.windows, task.threads, task.provider)


def inside(
    raw: bytes, windows: Floats, count: int, threads: int = 1, provider: str = "cpu"
) -> Parts:
    """Profile a model.

    Parameters
    ----------
    raw : bytes
        An ONNX file.
    windows : ndarray of float32, shape [n, channels, length]
        What it is asked about, in turn.
    count : int
        How often.
    threads, provider
        See :class:`~bioxedge.runtime.session.Session`.
    """
    from bioxedge.runtime.session import Session

    owners = parts_of_nodes(raw)
    if not owners:
        why = "the model's weights do not say which part they belong to"
        return Parts(ms={}, by_position=0.0, windows=0, why=why)
    with tempfile.TemporaryDirectory(prefix="bioxedge-bench-") as folder:
        trace = Path(folder) / "trace.json"
        session = Session(raw, threads=threads, provider=provider, profile=trace)
        for index in range(WARMUP + count):
            session.run(windows[index % len(windows)][None])
        session.close()
        events = json.loads(trace.read_text(encoding="utf-8"))
    return by_part(list(_runs(events))[-count:], owners)


def parts_of_nodes(raw: bytes) -> dict[str, str]:
    """Tell each node's part by name.

    Parameters
    ----------
    raw : bytes
        An ONNX file.

    Returns
    -------
    dict of str to str
        The name of a node, or of what it gives, to its part; empty where no weight's name tells.
    """
    graph = _one(fields(memoryview(raw)), 7)
    nodes, known = [], {}
    for number, value in fields(graph):
        if number == 5 and isinstance(value, memoryview):
            name = _text(_one(fields(value), 8))
            if name.partition(".")[0] in PARTS:
                known[name] = PARTS.index(name.partition(".")[0])
        elif number == 1 and isinstance(value, memoryview):
            nodes.append(_node(value))
    if not known:
        return {}
    found: dict[str, str] = {}
    for name, inputs, outputs in nodes:  # a file's nodes are in an order in which they can run
        part = max((known.get(one, -1) for one in inputs), default=-1)
        for one in outputs:
            known[one] = part
        if part >= 0:  # a node that has no name is called after what it gives
            found |= dict.fromkeys((name, *outputs), PARTS[part])
    return found


def by_part(runs: Sequence[Sequence[tuple[str, float]]], owners: Mapping[str, str]) -> Parts:
    """Add up nodes by part, window by window; give the median window.

    Parameters
    ----------
    runs : sequence of sequences of (str, float)
        For each window the nodes that ran, in order, and their milliseconds.
    owners : mapping of str to str
        A node's part.
    """
    added: dict[str, list[float]] = {name: [] for name in PARTS}
    unnamed = total = 0.0
    for run in runs:
        sums = dict.fromkeys(PARTS, 0.0)
        part = PARTS[0]
        for name, ms in run:
            owner = owners.get(_written(name))
            part = owner or part
            sums[part] += ms
            total += ms
            unnamed += 0.0 if owner else ms
        for name, ms in sums.items():
            added[name].append(ms)
    if not total:
        why = "the provider runs the whole model as one node"
        return Parts(ms={}, by_position=0.0, windows=len(runs), why=why)
    middle = {name: round(statistics.median(values), 4) for name, values in added.items()}
    if unnamed > 0.5 * total:
        why = "the provider joins nodes of several parts"
        return Parts(ms={}, by_position=unnamed / total, windows=len(runs), why=why)
    return Parts(ms=middle, by_position=unnamed / total, windows=len(runs))


def _written(name: str) -> str:
    """Give the name of the node that the runtime made this one of, by what it appends."""
    return name.partition("/")[0].removesuffix("_nchwc").removesuffix("_bn")


def _runs(events: Sequence[Any]) -> Iterator[list[tuple[str, float]]]:
    """Cut a profile into windows: the nodes within each run of the model."""
    nodes = sorted(
        (event["ts"], event["name"].removesuffix("_kernel_time"), event["dur"] / 1e3)
        for event in events
        if event.get("cat") == "Node" and str(event.get("name")).endswith("_kernel_time")
    )
    runs = sorted(
        (event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("name") == "model_run"
    )
    for began, ended in runs:
        yield [(name, ms) for ts, name, ms in nodes if began <= ts <= ended]


def _node(message: memoryview) -> tuple[str, list[str], list[str]]:
    """Read a node's name, inputs and outputs."""
    name, inputs, outputs = "", [], []
    for number, value in fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 3:
            name = _text(value)
    return name, inputs, outputs


def _one(found: Iterator[tuple[int, int | memoryview]], number: int) -> memoryview:
    """Give the first field of a number; empty where there is none."""
    for key, value in found:
        if key == number and isinstance(value, memoryview):
            return value
    return memoryview(b"")


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", errors="replace")
