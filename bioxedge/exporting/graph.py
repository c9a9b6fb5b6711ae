"""An ONNX graph that can be searched and changed, as rewrites need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference

Array = npt.NDArray[Any]


class Graph:
    """An ONNX graph that can be searched and changed.

    Attributes
    ----------
    model : onnx.ModelProto
    constants : dict of str to ndarray
        Initializers by name.
    shapes : dict of str to tuple of int
        Of every value whose shape is static.
    """

    def __init__(self, raw: bytes) -> None:
        self.model = shape_inference.infer_shapes(onnx.load_from_string(raw), strict_mode=True)
        graph = self.model.graph
        self.constants: dict[str, Array] = {
            one.name: numpy_helper.to_array(one) for one in graph.initializer
        }
        self.shapes = {
            one.name: tuple(dim.dim_value for dim in one.type.tensor_type.shape.dim)
            for one in (*graph.input, *graph.value_info, *graph.output)
        }
        self._taken = 0
        self.reindex()

    def reindex(self) -> None:
        """Find producers and consumers anew, after nodes have changed."""
        nodes = self.model.graph.node
        self.makers = {name: node for node in nodes for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.final = {one.name for one in self.model.graph.output}

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Give the node that makes a value, if it is of that kind and nobody else reads it."""
        node = self.makers.get(name)
        alone = len(self.users.get(name, ())) == 1 and name not in self.final
        return node if node is not None and node.op_type == kind and alone else None

    def constant(self, value: Array) -> str:
        """Add a constant; give its name."""
        self._taken += 1
        name = f"clean_{self._taken}"
        self.constants[name] = value
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def reshaped(self, name: str, value: Array) -> str:
        """Give a weight another shape: in its place where nobody else reads it."""
        if len(self.users[name]) > 1:
            return self.constant(value)
        self.constants[name] = value
        tensor = next(one for one in self.model.graph.initializer if one.name == name)
        tensor.CopyFrom(numpy_helper.from_array(value, name))
        return name

    def fresh(self, shape: tuple[int, ...]) -> str:
        """Name a new value of that shape."""
        self._taken += 1
        name = f"clean_{self._taken}"
        self.shapes[name] = shape
        return name

    def is_scalar(self, name: str, value: float) -> bool:
        """Tell whether that is a constant of one element with that value."""
        found = self.constants.get(name)
        return found is not None and found.size == 1 and float(found.reshape(-1)[0]) == value

    def replace(self, changed: dict[int, Sequence[onnx.NodeProto]]) -> None:
        """Put other nodes in the place of some; ``changed`` goes by the old node's id."""
        nodes = [
            new for old in self.model.graph.node for new in changed.get(id(old), (old,))
        ]  # fmt: skip
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)
        self.reindex()

    def bytes(self) -> bytes:
        """Drop what nothing reads any more, and write the file."""
        graph = self.model.graph
        self.reindex()
        while dead := [
            node
            for node in graph.node
            if not any(name in self.final or name in self.users for name in node.output)
        ]:
            for node in dead:
                graph.node.remove(node)
            self.reindex()
        read = {name for node in graph.node for name in node.input}
        kept = [one for one in graph.initializer if one.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        del graph.value_info[:]
        written: bytes = self.model.SerializeToString()
        return written


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Give a node's attributes as plain values."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
