"""Smaller files of the same graph: weights in 8 bits or in half precision, standard operators only.

int8 takes the large products of tokens and weights. Everything else stays float: convolutions,
norms, softmax, attention's products of activations with each other, the head, whose answer is the
model's, and products that are too small to win back what quantising their input costs.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from bioxedge.errors import ExportError
from bioxedge.exporting.graph import Graph
from bioxedge.manifest import Precision
from bioxedge.onnxfile import inspect

Floats = npt.NDArray[np.float32]

PRECISION: dict[str, Precision] = {
    "int8": "int8",
    "int8-unsigned": "int8",
    "int8-static": "int8",
    "fp16": "fp16",
}
"""What is made here, and the precision it counts as."""

OPSET, IR = 18, 10
_LEAST_PRODUCTS = 65_536
"""Multiplications below which int8 took as long as fp32 (x86-64 with VNNI, one thread)."""
_LEAST_SUMMED = 32
"""Terms of a sum below which it took longer, whatever the size."""
_LEAST_HALVED = 1_024
_LARGEST_HALF = 65_504.0


def variant_of(graph: bytes, name: str, calibration: Floats, beside: Floats | None = None) -> bytes:
    """Make one variant of an fp32 graph.

    ``int8`` finds the range of activations window by window, ``int8-static`` has it from
    calibration. Weights are signed, with a scale for each output channel. ``int8-unsigned`` has
    unsigned weights: x86-64 without VNNI adds them up exactly where signed ones saturate, and
    some Arm cores are faster with them. ``fp16`` halves the file and nothing else: weights are
    widened once, when the model is loaded, and computed with as fp32.

    Parameters
    ----------
    graph : bytes
        The fp32 ONNX file.
    name : str
        One of :data:`PRECISION`.
    calibration : ndarray of float32, shape [n, channels, samples]
        Windows of real signal, from which static variants learn the range of activations.
    beside : ndarray of float32, shape [n, numbers], optional
        What the graph takes beside them.

    Returns
    -------
    bytes
        The whole ONNX file.

    Raises
    ------
    ExportError
        Nothing in the graph gains by it, no windows to calibrate with, or a file that devices
        would not read.
    """
    if name == "fp16":
        raw = _halved(graph)
    else:
        model, chosen = _chosen(graph)
        if not chosen:
            raise ExportError(
                f"{name}: no product with weights has {_LEAST_PRODUCTS:,} multiplications or "
                "more: this model is too small to gain by 8 bits"
            )
        if name == "int8-static" and not len(calibration):
            raise ExportError(f"{name}: there are no windows of real signal to calibrate with")
        with tempfile.TemporaryDirectory() as folder, _quiet():
            made = Path(folder) / "variant.onnx"
            if name == "int8-static":
                _static(model, made, chosen, calibration, beside)
            else:
                kind = QuantType.QUInt8 if name == "int8-unsigned" else QuantType.QInt8
                quantize_dynamic(
                    model, made, per_channel=True, weight_type=kind, nodes_to_quantize=chosen
                )
            raw = made.read_bytes()
    _check(name, raw)
    return raw


def _chosen(graph: bytes) -> tuple[onnx.ModelProto, list[str]]:
    """Name the products with weights that are worth 8 bits; every node gets a name."""
    about = Graph(graph)
    for number, node in enumerate(about.model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    chosen = []
    for node in about.model.graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in about.constants:
            continue
        weight, out = about.constants[node.input[1]], about.shapes[node.output[0]]
        summed = weight.size // out[-1] if weight.ndim == 2 else 0
        worth = summed >= _LEAST_SUMMED and math.prod(out) * summed >= _LEAST_PRODUCTS
        if worth and not _answers(about, node.output[0]):
            chosen.append(node.name)
    # As it came, without the shapes that were inferred: the quantiser infers its own.
    del about.model.graph.value_info[:]
    return about.model, chosen


def _answers(graph: Graph, name: str) -> bool:
    """Tell whether a value is logits: only sums, the softmax and other tasks' stand behind it."""
    if name in graph.final:
        return True
    return any(
        user.op_type in ("Add", "Softmax", "Concat") and _answers(graph, user.output[0])
        for user in graph.users.get(name, ())
    )


class _Windows(CalibrationDataReader):  # type: ignore[misc]
    """Hands windows to the calibration, one by one."""

    def __init__(self, names: list[str], given: Sequence[Floats]) -> None:
        rows = zip(*given, strict=True)
        self._feeds = iter(
            [{name: one[None] for name, one in zip(names, row, strict=True)} for row in rows]
        )

    def get_next(self) -> Any:
        """Give the next window, or None."""
        return next(self._feeds, None)


def _static(
    model: onnx.ModelProto,
    made: Path,
    chosen: list[str],
    windows: Floats,
    beside: Floats | None,
) -> None:
    """Quantise with ranges of activations that were seen before."""
    quantize_static(
        model,
        made,
        _Windows(
            [one.name for one in model.graph.input],
            (windows,) if beside is None else (windows, beside),
        ),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Signed activations took three times as long as fp32 on x86-64.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=chosen,
    )


def _halved(raw: bytes) -> bytes:
    """Store large weights in half precision; runtimes widen constants when they load a model."""
    model = onnx.load_from_string(raw)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < _LEAST_HALVED:
            continue
        if not np.abs(value).max() <= _LARGEST_HALF:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    if not casts:
        raise ExportError(
            f"fp16: no weight has {_LEAST_HALVED:,} numbers or more: nothing would be smaller"
        )
    nodes = [*casts, *(onnx.NodeProto.FromString(one.SerializeToString()) for one in graph.node)]
    del graph.node[:]
    graph.node.extend(nodes)
    written: bytes = model.SerializeToString()
    return written


def _check(name: str, raw: bytes) -> None:
    """Hold a variant to what any device reads."""
    facts = inspect(raw)
    if facts.opset > OPSET or facts.ir > IR:
        raise ExportError(
            f"{name}: opset {facts.opset} and IR {facts.ir} were written, devices read up to "
            f"{OPSET} and {IR}"
        )
    domains = {node.domain for node in onnx.load_from_string(raw).graph.node}
    if odd := sorted(domains - {"", "ai.onnx"}):
        raise ExportError(f"{name}: operators of {', '.join(odd)} are not on every device")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser's advice, which the clean-up has followed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
