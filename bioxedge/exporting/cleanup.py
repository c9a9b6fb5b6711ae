"""The same graph in forms that ONNX Runtime runs faster, in standard operators only.

What an optimiser would save offline is bound to one runtime and one processor. These rewrites
only choose among equivalent forms of the exported graph; each function says what changes in the
answers: nothing to the last bit, or rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import helper

from bioxedge.exporting.graph import Graph, attributes
from bioxedge.exporting.images import images


def clean(raw: bytes, passes: Sequence[Callable[[Graph], None]] | None = None) -> bytes:
    """Rewrite an exported graph; the parameters stay what they are.

    Parameters
    ----------
    raw : bytes
        A static ONNX graph of opset 18.
    passes : sequence of functions, optional
        Which rewrites; all of them by default.

    Returns
    -------
    bytes
        A graph of the same input, output, opset and IR.
    """
    graph = Graph(raw)
    for each in PASSES if passes is None else passes:
        each(graph)
    return graph.bytes()


def gelu(graph: Graph) -> None:
    """``x · (½ · (1 + erf))`` becomes ``(x · ½) · (1 + erf)``, which runtimes know as one Gelu.

    Equal to the last bit as written; a runtime's one Gelu rounds in its own way.
    """
    changed: dict[int, Sequence[onnx.NodeProto]] = {}
    for last in graph.model.graph.node:
        if last.op_type != "Mul":
            continue
        for x, product in (tuple(last.input), tuple(last.input)[::-1]):
            inner = graph.maker(product, "Mul")
            if inner is None:
                continue
            half = next((one for one in inner.input if graph.is_scalar(one, 0.5)), None)
            sums = [graph.maker(one, "Add") for one in inner.input]
            plus = next((one for one in sums if one is not None), None)
            if half is None or plus is None:
                continue
            erfs = [graph.maker(one, "Erf") for one in plus.input]
            if not any(erfs) or not any(graph.is_scalar(one, 1.0) for one in plus.input):
                continue
            name = graph.fresh(graph.shapes[x])
            changed[id(last)] = [
                helper.make_node("Mul", [x, half], [name]),
                helper.make_node("Mul", [name, plus.output[0]], list(last.output)),
            ]
            break
    graph.replace(changed)


def keys(graph: Graph) -> None:
    """Attention's keys are turned once: two transpositions and two reshapes become one.

    Equal to the last bit.
    """
    changed: dict[int, Sequence[onnx.NodeProto]] = {}
    for last in graph.model.graph.node:
        turned = graph.maker(last.input[0], "Transpose") if last.op_type == "Reshape" else None
        flat = graph.maker(turned.input[0], "Reshape") if turned is not None else None
        first = graph.maker(flat.input[0], "Transpose") if flat is not None else None
        if turned is None or flat is None or first is None:
            continue
        wide, narrow = graph.shapes[first.output[0]], graph.shapes[flat.output[0]]
        out = graph.shapes[last.output[0]]
        if (
            len(wide) != 4
            or narrow != (wide[0] * wide[1], *wide[2:])
            or _perm(turned) != [0, 2, 1]
            or out != (*wide[:2], wide[3], wide[2])
        ):
            continue
        a, b, c, d = _perm(first)
        changed[id(last)] = [
            helper.make_node("Transpose", [first.input[0]], list(last.output), perm=[a, b, d, c])
        ]
    graph.replace(changed)


def pads(graph: Graph) -> None:
    """A pad whose zeros a pooling never reaches goes. Equal to the last bit."""
    changed: dict[int, Sequence[onnx.NodeProto]] = {}
    for pool in graph.model.graph.node:
        pad = graph.maker(pool.input[0], "Pad") if pool.op_type == "MaxPool" else None
        if pad is None or pad.input[1] not in graph.constants:
            continue
        added = graph.constants[pad.input[1]].tolist()
        shape, about = graph.shapes[pad.input[0]], attributes(pool)
        plain = not any(about["pads"]) and not about.get("ceil_mode", 0)
        if len(shape) != 3 or any(added[:5]) or not plain or max(about["dilations"]) > 1:
            continue
        (kernel,), (stride,) = about["kernel_shape"], about["strides"]
        if (graph.shapes[pool.output[0]][2] - 1) * stride + kernel <= shape[2]:
            new = onnx.NodeProto.FromString(pool.SerializeToString())
            new.input[0] = pad.input[0]
            changed[id(pool)] = [new]
    graph.replace(changed)


def sums(graph: Graph) -> None:
    """A sum before a LayerNormalization is written as ``Sum``. Equal to the last bit.

    ONNX Runtime joins ``Add`` and the norm in a kernel that on x86-64 takes from 1.0 (1.23.2)
    to 7 times (1.32) what the two take apart.
    """
    changed: dict[int, Sequence[onnx.NodeProto]] = {}
    for norm in graph.model.graph.node:
        added = graph.makers.get(norm.input[0]) if norm.op_type == "LayerNormalization" else None
        if added is not None and added.op_type == "Add":
            changed[id(added)] = [
                helper.make_node("Sum", list(added.input), list(added.output), name=added.name)
            ]
    graph.replace(changed)


PASSES: tuple[Callable[[Graph], None], ...] = (gelu, keys, pads, images, sums)


def _perm(node: onnx.NodeProto) -> list[int]:
    return list(next(one.ints for one in node.attribute if one.name == "perm"))
