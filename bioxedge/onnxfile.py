"""What an ONNX file says of itself, read without the onnx package.

A device has ONNX Runtime but no parser, and the runtime follows external-data references
before anyone is asked. So the few fields that a manifest makes claims about are read from the
protobuf wire format directly (ONNX IR specification, ``onnx.proto``), and any tensor that
keeps its data outside the file is refused. Operators of other domains are not: whether this
machine has them only its runtime knows, and a variant that cannot be loaded leaves the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from bioxedge.errors import BundleError

_FLOATS = {1, 10, 11, 16}  # TensorProto.DataType FLOAT, FLOAT16, DOUBLE, BFLOAT16
_BYTES = {2, 3}  # UINT8, INT8
_INT32 = 6
# Which inputs of operators for quantised values are scales and zero points.
_SCALING: dict[str, frozenset[int]] = {
    "QuantizeLinear": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1, 2}),
    "MatMulInteger": frozenset({2, 3}),
    "ConvInteger": frozenset({2, 3}),
    "QLinearMatMul": frozenset({1, 2, 4, 5, 6, 7}),
    "QLinearConv": frozenset({1, 2, 4, 5, 6, 7}),
}
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
        Elements of the initializers that are weights: of floating point, of 8 bits, and biases
        of 32 bits that are read through DequantizeLinear. Scales and zero points are none, so
        a quantised file has as many as the one it was made from.
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
        parameters = _walk(memoryview(raw), "model", 0, _Roles())
    except (ValueError, IndexError) as error:
        raise BundleError(f"the model is not a readable ONNX file: {error}") from error
    if not ir or not opset:
        raise BundleError("the model is not an ONNX file: it states no version")
    return OnnxFacts(ir, opset, parameters)


@dataclass(frozen=True)
class _Roles:
    """What the nodes of a graph use initializers for."""

    scaling: frozenset[bytes] = frozenset()
    biases: frozenset[bytes] = frozenset()


def _roles(graph: memoryview) -> _Roles:
    """Find scales, zero points and quantised biases by the nodes that read them."""
    nodes = [_node(value) for number, value in fields(graph) if number == 1 and _is_bytes(value)]
    # Dynamic quantisation multiplies the scale it has found with that of the weights.
    found = {outputs[1] for kind, _, outputs in nodes if kind == "DynamicQuantizeLinear"
             and len(outputs) > 1}  # fmt: skip
    scaling: set[bytes] = set()
    biases: set[bytes] = set()
    for kind, inputs, _ in nodes:
        places = _SCALING.get(kind, frozenset())
        scaling |= {name for place, name in enumerate(inputs) if place in places}
        if kind == "Mul" and found.intersection(inputs):
            scaling.update(inputs)
        if kind == "DequantizeLinear":
            biases.update(inputs[:1])
    return _Roles(frozenset(scaling), frozenset(biases))


def _is_bytes(value: int | memoryview) -> TypeGuard[memoryview]:
    return isinstance(value, memoryview)


def _node(message: memoryview) -> tuple[str, list[bytes], list[bytes]]:
    """Give a node's operator, inputs and outputs."""
    kind, inputs, outputs = b"", [], []
    for number, value in fields(message):
        if isinstance(value, memoryview):
            if number == 1:
                inputs.append(bytes(value))
            elif number == 2:
                outputs.append(bytes(value))
            elif number == 4:
                kind = bytes(value)
    return kind.decode("ascii", "replace"), inputs, outputs


def _walk(message: memoryview, kind: str, depth: int, roles: _Roles) -> int:
    """Visit every tensor below a message; give the number of parameters."""
    if depth > _DEPTH:
        raise ValueError(f"subgraphs nested deeper than {_DEPTH}")
    if kind in ("tensor", "initializer"):
        size = _tensor(message, roles)
        return size if kind == "initializer" else 0
    if kind == "graph":
        roles = _roles(message)
    children = _CHILDREN[kind]
    return sum(
        _walk(value, children[number], depth + 1, roles)
        for number, value in fields(message)
        if number in children and isinstance(value, memoryview)
    )


def _tensor(message: memoryview, roles: _Roles) -> int:
    """Refuse external data; give the number of elements if they are parameters."""
    dims: list[int] = []
    kind = 0
    name = b""
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
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value)
        if len(dims) > _DIMS:
            raise ValueError(f"a tensor of more than {_DIMS} dimensions")
    weighs = kind in _FLOATS | _BYTES or (kind == _INT32 and name in roles.biases)
    return math.prod(dims) if weighs and name not in roles.scaling else 0


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
