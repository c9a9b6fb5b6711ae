"""What an ONNX file says of itself, read without the onnx package.

A device has ONNX Runtime but no parser, and the runtime follows external-data references
before anyone is asked. So the few fields that a manifest makes claims about are read from the
protobuf wire format directly (ONNX IR specification, ``onnx.proto``), and any tensor that
keeps its data outside the file is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bioxedge.errors import BundleError

_FLOATS = {1, 10, 11, 16}  # TensorProto.DataType FLOAT, FLOAT16, DOUBLE, BFLOAT16
_DEPTH = 32  # nested messages; real models have two or three subgraphs in each other
_DIMS = 32  # dimensions of a tensor; the product of very many would take for ever

# Which fields of each message hold which messages that can hold a tensor.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "initializer", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
}


@dataclass(frozen=True)
class OnnxFacts:
    """What was read.

    Attributes
    ----------
    ir, opset : int
        Versions of the format and of the standard operators.
    parameters : int
        Elements of all floating-point initializers.
    """

    ir: int
    opset: int
    parameters: int


def inspect(raw: bytes) -> OnnxFacts:
    """Read the facts of an ONNX file.

    Parameters
    ----------
    raw : bytes
        The whole file.

    Raises
    ------
    BundleError
        Not an ONNX model, or one that keeps data outside the file.
    """
    try:
        ir = opset = 0
        for number, value in fields(memoryview(raw)):
            if number == 1 and isinstance(value, int):
                ir = value
            elif number == 8 and isinstance(value, memoryview):
                operators = dict(fields(value))
                domain = operators.get(1, memoryview(b""))
                version = operators.get(2, 0)
                if isinstance(domain, memoryview) and bytes(domain) in (b"", b"ai.onnx"):
                    opset = version if isinstance(version, int) else 0
        parameters = _walk(memoryview(raw), "model", 0)
    except (ValueError, IndexError) as error:
        raise BundleError(f"the model is not a readable ONNX file: {error}") from error
    if not ir or not opset:
        raise BundleError("the model is not an ONNX file: it states no version")
    return OnnxFacts(ir, opset, parameters)


def _walk(message: memoryview, kind: str, depth: int) -> int:
    """Visit every tensor below a message; give the number of floating-point parameters."""
    if depth > _DEPTH:
        raise ValueError(f"subgraphs nested deeper than {_DEPTH}")
    if kind in ("tensor", "initializer"):
        size = _tensor(message)
        return size if kind == "initializer" else 0
    children = _CHILDREN[kind]
    return sum(
        _walk(value, children[number], depth + 1)
        for number, value in fields(message)
        if number in children and isinstance(value, memoryview)
    )


def _tensor(message: memoryview) -> int:
    """Refuse external data; give the number of elements if they are floating-point."""
    dims: list[int] = []
    kind = 0
    for number, value in fields(message):
        if number == 13 or (number == 14 and value != 0):
            raise BundleError(
                "the model keeps weights outside its file (ONNX external data), which a bundle "
                "never does; export it again as one file"
            )
        if number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 1 and isinstance(value, memoryview):
            rest = value
            while len(rest) and len(dims) <= _DIMS:
                dim, rest = _varint(rest)
                dims.append(dim)
        elif number == 2 and isinstance(value, int):
            kind = value
        if len(dims) > _DIMS:
            raise ValueError(f"a tensor of more than {_DIMS} dimensions")
    return math.prod(dims) if kind in _FLOATS else 0


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Go through a protobuf message: field number, and an integer or the bytes."""
    while len(message):
        key, message = _varint(message)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, message = _varint(message)
            yield number, value
            continue
        if wire == 2:
            size, message = _varint(message)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if size > len(message):
            raise ValueError(f"a field of {size} bytes where {len(message)} are left")
        yield number, message[:size]
        message = message[size:]


def _varint(message: memoryview) -> tuple[int, memoryview]:
    """Read one base-128 integer; give it and the rest."""
    value = 0
    for place in range(10):
        byte = message[place]
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, message[place + 1 :]
    raise ValueError("an integer of more than 10 bytes")
