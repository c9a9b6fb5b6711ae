"""ONNX Runtime, set for a small device: bounded memory, quiet threads, known providers."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.errors import BundleError
from bioxedge.runtime.host import give_back_memory

Floats = npt.NDArray[np.float32]
Named = tuple[str, tuple[Any, ...]]

NAMES = {
    "cpu": "CPUExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Short names of what ONNX Runtime runs a model with, and its own names for it."""
_CURES = {
    "xnnpack": "export the model in fp32, or use cpu",
    "cuda": "install the CUDA and cuDNN that this ONNX Runtime was built for, or use cpu",
    "tensorrt": "install the TensorRT that this ONNX Runtime was built for, or use cuda or cpu",
}


class OnnxRuntime:
    """One model in ONNX Runtime, its inputs and outputs bound once.

    Parameters
    ----------
    raw : callable
        Gives the ONNX file's bytes, and keeps none: nobody holds them while they are loaded.
    threads : int
    provider : str
        One of :data:`NAMES`.
    engines : Path
        Where TensorRT keeps what it builds.
    profile : Path or None
        Where :meth:`close` writes how long each node took, as a Chrome trace.

    Raises
    ------
    BundleError
        The provider took none of the model's nodes.
    """

    def __init__(
        self,
        raw: Callable[[], bytes],
        threads: int,
        provider: str,
        engines: Path,
        profile: Path | None,
    ) -> None:
        self._provider, self._profile = provider, profile
        if provider != "cpu":
            onnxruntime.set_default_logger_severity(4)  # its libraries' failures become errors
        options = _options(1 if provider == "xnnpack" else threads)
        if profile or provider != "cpu":
            folder = tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "trace")
        with _loadable(raw) as model:
            wanted = providers(provider, threads, engines)
            try:
                self._session = onnxruntime.InferenceSession(
                    model, options, providers=wanted, enable_fallback=0
                )
            except Exception as error:
                if provider == "cpu":
                    raise
                raise BundleError(
                    f"{provider} was asked for and ONNX Runtime {onnxruntime.__version__} could "
                    f"not load it or the model ({_CURES[provider]}): {said(error)}"
                ) from error
        # The Python object would hold the file's bytes for ever, for a fallback that is off.
        self._session._model_bytes = None
        self.inputs = [(one.name, tuple(one.shape)) for one in self._session.get_inputs()]
        self.outputs = [(one.name, tuple(one.shape)) for one in self._session.get_outputs()]
        self.types = {one.type for one in self._session.get_inputs() + self._session.get_outputs()}

    def start(self) -> tuple[list[Floats], list[Floats]]:
        """Make the memory of inputs and outputs, and run once on zeros.

        Returns
        -------
        given, answers : list of ndarray of float32
            What :meth:`answer` reads, and what it writes.
        """
        given = [np.zeros(shape, np.float32) for _, shape in self.inputs]
        answers = [np.zeros(shape, np.float32) for _, shape in self.outputs]
        self._binding = self._session.io_binding()
        bound = onnxruntime.OrtValue.ortvalue_from_numpy
        for (name, _), memory in zip(self.inputs, given, strict=True):
            self._binding.bind_ortvalue_input(name, bound(memory))
        for (name, _), memory in zip(self.outputs, answers, strict=True):
            self._binding.bind_ortvalue_output(name, bound(memory))
        self.answer()
        self._hold_to_provider()
        give_back_memory()  # the file, and weights as they were before they were packed
        return given, answers

    def answer(self) -> None:
        """Run on what the inputs' memory holds."""
        self._session.run_with_iobinding(self._binding)

    def close(self) -> None:
        """Let go of the model; write the profile if one was asked for."""
        if self._profile is not None:
            self._profile.write_bytes(Path(self._session.end_profiling()).read_bytes())
        del self._binding, self._session

    def _hold_to_provider(self) -> None:
        """Make sure that nodes were run by what was asked for.

        ONNX Runtime falls back to the CPU without a word, whole (where the provider's library
        cannot be loaded) or node by node: the trace of the first run tells.
        """
        if self._provider == "cpu":
            return
        name, cure = NAMES[self._provider], _CURES[self._provider]
        if name not in self._session.get_providers():
            raise BundleError(
                f"{self._provider} was asked for and ONNX Runtime {onnxruntime.__version__} could "
                f"not load it, it took {', '.join(self._session.get_providers())}: {cure}"
            )
        if self._profile is None:
            ran = placed(Path(self._session.end_profiling()))
            if not ran[name]:
                raise BundleError(
                    f"{self._provider} was asked for and ran none of the model's nodes "
                    f"({', '.join(f'{who} {count}' for who, count in ran.items())}): {cure}"
                )


def said(error: Exception) -> str:
    """Give what a runtime said on one line, without the places in its source."""
    text = re.sub(
        r"/onnxruntime_src/\S+ [^[]*?(?=\[ONNXRuntimeError\]|Please|$)",
        "",
        " ".join(str(error).split()),
    )
    return text[:300]


def providers(provider: str, threads: int, engines: Path) -> list[Any]:
    """Give ONNX Runtime's providers and their options for a short name.

    What one does not take goes to the next; the CPU, which ONNX Runtime adds, takes the rest.

    Parameters
    ----------
    provider : str
    threads : int
        XNNPACK has threads of its own.
    engines : Path
        Where TensorRT keeps what it builds.
    """
    cuda = (
        NAMES["cuda"],
        {
            "arena_extend_strategy": "kSameAsRequested",  # else the next power of two
            "cudnn_conv_algo_search": "HEURISTIC",  # trying them all takes long at every start
            "use_tf32": "0",  # fp32 must be fp32: a variant states how far it may be off
        },
    )
    if provider == "cuda":
        return [cuda]
    if provider == "tensorrt":
        kept = {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(engines),
        }
        return [(NAMES["tensorrt"], kept), cuda]
    if provider == "xnnpack":
        return [(NAMES["xnnpack"], {"intra_op_num_threads": str(threads)})]
    return [NAMES["cpu"]]


def placed(trace: Path) -> Counter[str]:
    """Count the runs of nodes by each provider in a trace of ONNX Runtime."""
    return Counter(
        event["args"]["provider"]
        for event in json.loads(trace.read_text())
        if event.get("cat") == "Node" and event["args"].get("provider")
    )


def _options(threads: int) -> Any:
    """Session options for a device: fixed threads that do not spin, errors only."""
    options = onnxruntime.SessionOptions()
    # A number, always: left to itself it binds threads to cores that a cpuset may forbid.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The arena keeps the most that a run ever took, rounded up: 370 MB for the largest of the
    # published models, whose answer comes no later without it.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


@contextmanager
def _loadable(raw: Callable[[], bytes]) -> Iterator[str | bytes]:
    """Give what ONNX Runtime loads with the least memory: a file in memory, where there are some.

    From bytes it makes two copies of all weights before the first is packed, from a path none.
    The path is to these very bytes: what was checked is what is run.
    """
    if not hasattr(os, "memfd_create") or not Path("/proc/self/fd").exists():
        yield raw()
        return
    descriptor = os.memfd_create("model.onnx")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(raw())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
