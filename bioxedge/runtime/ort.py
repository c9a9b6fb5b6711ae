"""ONNX Runtime, set for a small device: bounded memory, quiet threads, known providers."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.errors import BundleError

Floats = npt.NDArray[np.float32]
Named = tuple[str, tuple[Any, ...]]

NAMES = {
    "cpu": "CPUExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Short names of what ONNX Runtime runs a model with, and its own names for it."""


class OnnxRuntime:
    """One model in ONNX Runtime, its input and output bound once.

    Parameters
    ----------
    raw : bytes
        The ONNX file.
    threads : int
    provider : str
        One of :data:`NAMES`.
    cache : Path
        Where TensorRT keeps what it builds.
    profile : Path or None
        Where :meth:`close` writes how long each node took, as a Chrome trace.

    Raises
    ------
    BundleError
        A provider that took none of the model's nodes.
    """

    def __init__(
        self, raw: bytes, threads: int, provider: str, cache: Path, profile: Path | None
    ) -> None:
        self._profile = profile
        with tempfile.TemporaryDirectory() as folder:
            # Where it falls back it does so without a word: the trace of a run tells.
            traced = profile is not None or provider != "cpu"
            prefix = str((profile.parent if profile else Path(folder)) / ".trace")
            self._session = onnxruntime.InferenceSession(
                raw,
                _options(threads, prefix if traced else None),
                providers=_providers(provider, threads, cache),
                enable_fallback=0,
            )
            # The Python object holds the file's bytes for ever, for a fallback that is off.
            self._session._model_bytes = None
            self.inputs: list[Named] = _named(self._session.get_inputs())
            self.outputs: list[Named] = _named(self._session.get_outputs())

    def bind(self) -> Floats:
        """Make the input's and the output's memory; give the input's.

        Returns
        -------
        ndarray of float32, shape of the input
            What :meth:`answer` reads.
        """
        (name, shape), (out, out_shape) = self.inputs[0], self.outputs[0]
        given, self._answer = np.zeros(shape, np.float32), np.zeros(out_shape, np.float32)
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(given))
        self._binding.bind_ortvalue_output(
            out, onnxruntime.OrtValue.ortvalue_from_numpy(self._answer)
        )
        return given

    def answer(self) -> Floats:
        """Run on what the input's memory holds; give the output's memory."""
        self._session.run_with_iobinding(self._binding)
        return self._answer

    def close(self) -> None:
        """Let go of the model; write the profile if one was asked for."""
        if self._profile is not None:
            Path(self._session.end_profiling()).replace(self._profile)
        del self._session


def _named(values: Any) -> list[Named]:
    """Names and shapes of a graph's inputs or outputs; all must be of float32."""
    for one in values:
        if one.type != "tensor(float)":
            raise BundleError(f"{one.name} is {one.type}, only tensor(float) is run: export again")
    return [(one.name, tuple(one.shape)) for one in values]


def _options(threads: int, trace: str | None) -> Any:
    """Session options for a device: fixed threads that do not spin, errors only."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Weights go past the arena, which would round each up to the next power of two.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    if trace:
        options.enable_profiling = True
        options.profile_file_prefix = trace
    return options


def _providers(provider: str, threads: int, cache: Path) -> list[Any]:
    """ONNX Runtime's list of providers and their options for a short name."""
    return [NAMES[provider]]


def placed(trace: Path) -> Counter[str]:
    """Count the runs of nodes by each provider in a trace of ONNX Runtime."""
    events = json.loads(trace.read_text())
    return Counter(
        event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    )
