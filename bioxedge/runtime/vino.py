"""OpenVINO's own Python package, an option on Intel and AMD processors (extra ``openvino``)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import BundleError, MissingExtraError
from bioxedge.runtime.host import give_back_memory

Floats = npt.NDArray[np.float32]
_TELEMETRY = "openvino_telemetry"


def load() -> Any:
    """Import OpenVINO so that it does not phone home, which it does when it is imported.

    Raises
    ------
    MissingExtraError
        It is not installed.
    BundleError
        It is, and broken.
    """
    if "openvino" not in sys.modules:
        # It does without this package where it is missing: so it is, while it looks.
        before = {name: part for name, part in sys.modules.items() if name == _TELEMETRY}
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            importlib.import_module("openvino")
        except ImportError as error:
            if error.name == "openvino":
                raise MissingExtraError("openvino", "openvino") from error
            raise BundleError(
                f"OpenVINO is installed and cannot be imported: {error}; install it again, or use "
                "provider cpu"
            ) from error
        finally:
            del sys.modules[_TELEMETRY]
            sys.modules.update(before)
    return sys.modules["openvino"]


class OpenVino:
    """One model in OpenVINO on the processor, its inputs and outputs bound once.

    Parameters
    ----------
    raw : callable
        Gives the ONNX file's bytes.
    threads : int
    bf16 : bool
        Compute in bfloat16; else in float32, which some processors have to be told.

    Raises
    ------
    BundleError
        A processor without bfloat16.
    """

    def __init__(self, raw: Callable[[], bytes], threads: int, *, bf16: bool) -> None:
        openvino = load()
        core = openvino.Core()
        model = core.read_model(raw(), b"")
        self.inputs = [_named(one) for one in model.inputs]
        self.outputs = [_named(one) for one in model.outputs]
        kinds = {one.element_type.to_string() for one in [*model.inputs, *model.outputs]}
        self.types = {"tensor(float)" if kind == "f32" else kind for kind in kinds}
        self._openvino = openvino
        self._request: Any = None
        if not all(one.partial_shape.is_static for one in [*model.inputs, *model.outputs]):
            return  # it will be refused by its shapes
        asked = "bf16" if bf16 else "f32"
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": asked,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,  # cores are the system's to give
            },
        )
        runs = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if runs != asked:
            raise BundleError(
                f"openvino-{asked} was asked for and OpenVINO {openvino.__version__} computes in "
                f"{runs} on this processor: use openvino, or cpu, with variant fp32"
            )
        self._request = compiled.create_infer_request()

    def start(self) -> tuple[list[Floats], list[Floats]]:
        """Make the memory of inputs and outputs, and run once on zeros."""
        given = [np.zeros(shape, np.float32) for _, shape in self.inputs]
        answers = [np.zeros(shape, np.float32) for _, shape in self.outputs]
        tensor = self._openvino.Tensor
        for number, memory in enumerate(given):
            self._request.set_input_tensor(number, tensor(memory, shared_memory=True))
        for number, memory in enumerate(answers):
            self._request.set_output_tensor(number, tensor(memory, shared_memory=True))
        self.answer()
        give_back_memory()
        return given, answers

    def answer(self) -> None:
        """Run on what the inputs' memory holds."""
        self._request.infer()

    def close(self) -> None:
        """Let go of the model."""
        self._request = None


def _named(port: Any) -> tuple[str, tuple[Any, ...]]:
    """Name and shape of an input or output; a size that is not fixed is text."""
    shape = port.partial_shape
    sizes = (size.get_length() if size.is_static else str(size) for size in shape)
    return port.any_name, tuple(sizes) if shape.rank.is_static else ("?",)
