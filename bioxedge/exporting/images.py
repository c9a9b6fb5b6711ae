"""One-dimensional convolutions as two-dimensional ones over an image of one row.

ONNX Runtime keeps two-dimensional convolutions, and what stands between them, in a layout that
its kernels are made for; one-dimensional ones it unrolls for a matrix product, window by window.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from bioxedge.exporting.graph import Graph, attributes

# Element by element, or channel by channel: what they do does not depend on how many dimensions
# lie behind the channels.
_ELEMENTS = {"Relu", "Add", "Sub", "Mul", "Div", "Erf", "Sigmoid", "Tanh", "LeakyRelu", "Elu"}
_CHANNELS = {"BatchNormalization", "InstanceNormalization"}
_SPATIAL = {"Conv", "MaxPool", "AveragePool"}


def images(graph: Graph) -> None:
    """Rewrite 1-D convolutions and what stands between them.

    Answers change by rounding: the products are summed in another order.
    """
    lifting = _Lifting(graph)
    graph.replace({id(node): lifting.of(node) for node in list(graph.model.graph.node)})
    graph.model.graph.node.extend(lifting.outputs())
    graph.reindex()


class _Lifting:
    """Goes through the nodes in order; knows which values exist as images."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.image: dict[str, str] = {}
        self.flat: set[str] = set()  # values whose plain form was asked for again

    def of(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Give what stands in a node's place."""
        if self._begins(node) or self._follows(node):
            return self._lifted(node)
        before = [
            self._lowered(name)
            for name in dict.fromkeys(node.input)
            if name in self.image and name not in self.flat
        ]
        self.flat |= {one.output[0] for one in before}
        return [*before, node]

    def outputs(self) -> list[onnx.NodeProto]:
        """Give the graph's outputs in their plain form, where they exist as images alone."""
        names = [one.name for one in self.graph.model.graph.output]
        return [
            self._lowered(name) for name in names if name in self.image and name not in self.flat
        ]

    def _begins(self, node: onnx.NodeProto) -> bool:
        """Tell a 1-D convolution of constant weights."""
        return (
            node.op_type == "Conv"
            and len(self.graph.shapes.get(node.input[0], ())) == 3
            and node.input[1] in self.graph.constants
        )

    def _follows(self, node: onnx.NodeProto) -> bool:
        """Tell what stays an image where its inputs are some."""
        if not node.input or node.input[0] not in self.image:
            return False
        if node.op_type in _CHANNELS | {"MaxPool", "AveragePool"}:
            return len(node.output) == 1
        if node.op_type == "Pad":
            return node.input[1] in self.graph.constants and len(node.input) < 4
        constants = self.graph.constants
        return node.op_type in _ELEMENTS and all(
            name in self.image or (name in constants and constants[name].size == 1)
            for name in node.input
        )

    def _lifted(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        new = onnx.NodeProto.FromString(node.SerializeToString())
        before = []
        for place, name in enumerate(node.input):
            if name not in self.image and place == 0 and node.op_type == "Conv":
                before.append(self._raised(name))
            new.input[place] = self.image.get(name, name)
        if node.op_type in _SPATIAL:
            _widen(new)
        if node.op_type == "Conv":
            weight = self.graph.constants[node.input[1]]
            new.input[1] = self.graph.reshaped(node.input[1], np.expand_dims(weight, 2))
        if node.op_type == "Pad":
            begin, end = np.split(self.graph.constants[node.input[1]], 2)
            wide = np.concatenate([np.insert(begin, 2, 0), np.insert(end, 2, 0)])
            new.input[1] = self.graph.constant(wide)
        for place, name in enumerate(node.output):
            batch, channels, samples = self.graph.shapes[name]
            self.image[name] = self.graph.fresh((batch, channels, 1, samples))
            new.output[place] = self.image[name]
        return [*before, new]

    def _raised(self, name: str) -> onnx.NodeProto:
        batch, channels, samples = self.graph.shapes[name]
        shape = (batch, channels, 1, samples)
        self.image[name] = self.graph.fresh(shape)
        self.flat.add(name)
        return helper.make_node("Reshape", [name, self._shape(shape)], [self.image[name]])

    def _lowered(self, name: str) -> onnx.NodeProto:
        shape = self._shape(self.graph.shapes[name])
        return helper.make_node("Reshape", [self.image[name], shape], [name])

    def _shape(self, shape: tuple[int, ...]) -> str:
        return self.graph.constant(np.array(shape, np.int64))


def _widen(node: onnx.NodeProto) -> None:
    """Give a 1-D operator's attributes their second dimension."""
    wide = dict(attributes(node))
    for key, one in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        if key in wide:
            wide[key] = [one, *wide[key]]
    if "pads" in wide:
        begin, end = wide["pads"]
        wide["pads"] = [0, begin, 0, end]
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(key, value) for key, value in wide.items())
