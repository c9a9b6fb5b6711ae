"""Which part of a bridged graph is how large: source, bridge, tail and head.

The exporter keeps the names of most weights and loses those that it folds (a transposed matrix
becomes ``val_86``), so parts are told by where they are used: nodes stand in the order in which
the model computes, the bridge begins behind the mean over the source's tokens and ends with the
product with its prototypes, the head begins with the last mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import onnx

from bioxedge.errors import ExportError

PARTS = ("source", "bridge", "tail", "head")
_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
}


@dataclass(frozen=True)
class Size:
    """What one part takes.

    Attributes
    ----------
    parameters : int
        Elements of its floating-point tensors; one that two parts share counts for the first.
    bytes : int
        In the file: of its tensors with names and shapes.
    """

    parameters: int
    bytes: int


def sizes(raw: bytes) -> dict[str, Size]:
    """Measure the parts of an fp32 graph that was spliced here.

    Parameters
    ----------
    raw : bytes
        The ONNX file.

    Returns
    -------
    dict of str to Size
        ``source``, ``bridge``, ``tail``, ``head``, and ``graph``: operators, names and shapes.
        Bytes add up to the file's.

    Raises
    ------
    ExportError
        No bridge is in it.
    """
    graph = onnx.load_from_string(raw).graph
    part_of = _parts(graph)
    found = {part: [0, 0] for part in PARTS}
    for tensor in graph.initializer:
        sums = found[part_of.get(tensor.name, "head")]
        if tensor.data_type in _FLOATS:
            sums[0] += math.prod(tensor.dims)
        body = tensor.ByteSize()
        # The field's tag and the length that stands before it are its own.
        sums[1] += body + 1 + _varint(body)
    rest = len(raw) - sum(size for _, size in found.values())
    return {**{part: Size(*sums) for part, sums in found.items()}, "graph": Size(0, rest)}


def _parts(graph: Any) -> dict[str, str]:
    """Say for each initializer in which part it is used first."""
    nodes = list(graph.node)
    means = [k for k, node in enumerate(nodes) if node.op_type == "ReduceMean"]
    weighed = [
        k for k, node in enumerate(nodes) if any("bridge.prototypes" in i for i in node.input)
    ]
    pools = [k for k in means if weighed and k < weighed[0]]
    if not weighed or not pools or means[-1] <= weighed[0]:
        raise ExportError("the graph holds no bridge: only what was spliced here is measured")
    ends = {"source": pools[-1], "bridge": weighed[-1], "tail": means[-1] - 1}
    part_of: dict[str, str] = {}
    for k, node in enumerate(nodes):
        part = next((part for part, end in ends.items() if k <= end), "head")
        for name in node.input:
            part_of.setdefault(name, part)
    return part_of


def _varint(value: int) -> int:
    """Count the bytes of a length in protobuf's format."""
    return max(1, math.ceil(value.bit_length() / 7))
