"""An exported graph in an older version of the operators, for runtimes that read no newer one."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, numpy_helper, version_converter

from bioxedge.errors import ExportError

OLDEST, NEWEST = 13, 18
"""What a manifest can state."""

# Operators whose definition changed with version 18, and that an exported graph may hold.
_AXES_MOVED = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2")


def check(opset: int) -> None:
    """Refuse a version that is out of bounds with an ExportError."""
    if not OLDEST <= opset <= NEWEST:
        raise ExportError(
            f"opset {opset} is not written: ask for {OLDEST} to {NEWEST} ({NEWEST} where nothing "
            "is said)"
        )


def lowered(raw: bytes, opset: int) -> bytes:
    """Rewrite a graph of opset 18 in an older one.

    Version 17 is one step that is done here; onnx's own converter does the rest where it can.

    Parameters
    ----------
    raw : bytes
        An ONNX file of opset 18.
    opset : int
        13 to 18.

    Raises
    ------
    ExportError
        The bound, or an operator that does not exist in the version asked for.
    """
    check(opset)
    if opset == NEWEST:
        return raw
    model = onnx.load_from_string(raw)
    ir = model.ir_version
    try:
        _to_17(model)
        if opset < 17:
            model = version_converter.convert_version(model, opset)
        onnx.checker.check_model(model)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        why = " ".join(str(error).rpartition("failed: ")[2].split())[:160]
        raise ExportError(
            f"the graph cannot be written in opset {opset} ({why}): ask for 17 or 18; nothing "
            "was written"
        ) from error
    model.ir_version = ir
    written: bytes = model.SerializeToString()
    return written


def _to_17(model: Any) -> None:
    """Take the one step from 18 to 17, in place."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _AXES_MOVED:
            _axes_as_attribute(node, constants)
        elif node.op_type == "Pad" and len(node.input) > 3:
            raise RuntimeError("Pad with axes is new in opset 18")
        elif node.op_type == "Split":
            kept = [each for each in node.attribute if each.name != "num_outputs"]
            _replace(node.attribute, kept)
    used = {name for node in graph.node for name in node.input}
    _replace(graph.initializer, [each for each in graph.initializer if each.name in used])
    for operators in model.opset_import:
        if operators.domain in ("", "ai.onnx"):
            operators.version = 17


def _axes_as_attribute(node: Any, constants: dict[str, Any]) -> None:
    """Give a reduction its axes as it had them before they became an input."""
    kept = [each for each in node.attribute if each.name != "noop_with_empty_axes"]
    if len(node.input) > 1 and node.input[1]:
        if node.input[1] not in constants:
            raise RuntimeError(f"{node.op_type} over axes that are computed is new in opset 18")
        axes = numpy_helper.to_array(constants[node.input[1]]).astype(int).tolist()
        kept.append(helper.make_attribute("axes", axes))
    _replace(node.input, [node.input[0]])
    _replace(node.attribute, kept)


def _replace(field: Any, values: list[Any]) -> None:
    """Put other values into a repeated field."""
    values = list(values)
    copies = [value if isinstance(value, str) else type(value).FromString(value.SerializeToString())
              for value in values]  # fmt: skip
    del field[:]
    field.extend(copies)
