"""One model, one way to run it: every provider behind the same small face."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.errors import BioxedgeError, BundleError, SignalError
from bioxedge.runtime import ort, vino
from bioxedge.runtime.host import cache as user_cache
from bioxedge.runtime.host import cores, identity

__all__ = ["Session", "available", "cores"]

Floats = npt.NDArray[np.float32]
_OPENVINO = ("openvino", "openvino-bf16")
_FROM = {
    "xnnpack": "a build of ONNX Runtime with XNNPACK",
    "cuda": "NVIDIA's build of ONNX Runtime (onnxruntime-gpu)",
    "tensorrt": "NVIDIA's build of ONNX Runtime (onnxruntime-gpu) and TensorRT",
    **dict.fromkeys(_OPENVINO, "pip install 'bioxedge[openvino]'"),
}


def available() -> list[str]:
    """Short names of the providers that this machine has the software for.

    Whether one runs is another question: a :class:`Session` answers it.
    """
    has = onnxruntime.get_available_providers()
    names = [short for short, long in ort.NAMES.items() if long in has]
    return names + list(_OPENVINO if importlib.util.find_spec("openvino") else ())


class Session:
    """A model that is loaded and has run once.

    Parameters
    ----------
    raw : bytes or callable
        An ONNX file, or what gives it: then nobody need hold it while it is loaded. All shapes
        are static, all numbers float32. It has one input and one output, or two of one or both:
        what stands beside a window, and the features that were made of it.
    threads : int, optional
        Threads inside an operator; at most as many as this process may use cores. They wait
        without spinning, which on a board costs more than the model does.
    provider : str, optional
        What runs the model: ``cpu``, ``xnnpack``, ``cuda``, ``tensorrt``, ``openvino`` or
        ``openvino-bf16``; :func:`available` tells what is there.
    cache : Path, optional
        Where TensorRT keeps what it builds; in the user's cache directory by default.
    name : str, optional
        The file's, for messages.
    profile : Path, optional
        Where :meth:`close` writes how long each node took (ONNX Runtime only).

    Attributes
    ----------
    provider : str
        What really runs the model.
    threads : int
    runtime : str
        What computes, and its version, as ``ONNX Runtime 1.32.0``.
    inputs, outputs : list of (str, tuple of int)
        Names and shapes.
    given : ndarray of float32, shape of the first input
        Its memory; :meth:`again` answers what stands there.
    beside : ndarray of float32, shape of the second input, or None
        Its memory, zeros until something is written there.
    made : ndarray of float32, shape of the second output, or None
        Its memory: what the last answer left there.

    Raises
    ------
    BundleError
        A model that cannot be run, a number of threads that cannot be had, or a provider that is
        not here or did not run.
    """

    def __init__(
        self,
        raw: bytes | Callable[[], bytes],
        *,
        threads: int = 1,
        provider: str = "cpu",
        cache: Path | None = None,
        name: str = "model",
        profile: Path | None = None,
    ) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= cores():
            raise BundleError(
                f"{threads} threads were asked for, this process may use {cores()} cores: "
                f"ask for 1 to {cores()}"
            )
        if provider not in available():
            cure = f"; {provider} comes with {_FROM[provider]}" if provider in _FROM else ""
            raise BundleError(
                f"provider {provider} is not on this machine: it has {', '.join(available())}{cure}"
            )
        if profile and provider in _OPENVINO:
            raise BundleError("nodes are profiled by ONNX Runtime alone: use provider cpu")
        self.provider, self.threads, self._name = provider, threads, name
        self.runtime = (
            f"OpenVINO {vino.load().__version__.partition('-')[0]}"
            if provider in _OPENVINO
            else f"ONNX Runtime {onnxruntime.__version__}"
        )
        get: Callable[[], bytes] = (lambda: raw) if isinstance(raw, bytes) else raw
        with self._refused(f"refuses {name}"):
            if provider in _OPENVINO:
                self._start(vino.OpenVino(get, threads, bf16=provider == "openvino-bf16"))
            elif provider == "tensorrt":
                engines = _engines(cache, get())
                with _building(engines, name):
                    self._start(ort.OnnxRuntime(get, threads, provider, engines, profile))
            else:
                self._start(ort.OnnxRuntime(get, threads, provider, Path(), profile))

    def _start(self, runs: ort.OnnxRuntime | vino.OpenVino) -> None:
        """Check what was loaded and run it once.

        Some versions notice only then that shapes do not fit, and the first live window must not
        pay for what all the others reuse.
        """
        self._runs, self.inputs, self.outputs = runs, runs.inputs, runs.outputs
        for what, found in (("input", self.inputs), ("output", self.outputs)):
            if len(found) not in (1, 2):
                raise BundleError(
                    f"{self._name} has {len(found)} {what}s: only one or two can be run"
                )
            for name, shape in found:
                if not all(isinstance(size, int) for size in shape):
                    raise BundleError(
                        f"{self._name}: {what} {name} has the shape {list(shape)}, only sizes "
                        "that are fixed can be run: export it with static shapes"
                    )
        if runs.types != {"tensor(float)"}:
            raise BundleError(
                f"{self._name} takes and gives {', '.join(sorted(runs.types))}: only "
                "tensor(float) can be run, export it with input and output in float32"
            )
        given, answers = runs.start()
        self.given, self.beside = given[0], given[1] if len(given) > 1 else None
        self._answer, self.made = answers[0], answers[1] if len(answers) > 1 else None

    def run(self, x: Floats, beside: Floats | None = None) -> Floats:
        """Answer one input.

        Parameters
        ----------
        x : ndarray of float32, shape of the first input
            Written once, to where the runtime reads it.
        beside : ndarray of float32, shape of the second input, optional
            Where it is left out, what was written there before stands.

        Returns
        -------
        ndarray of float32, shape of the first output

        Raises
        ------
        SignalError
            Another shape.
        BundleError
            The runtime failed.
        """
        if x.shape != self.given.shape:
            raise SignalError(f"the model takes {list(self.given.shape)}, got {list(x.shape)}")
        if beside is not None:
            if self.beside is None or beside.shape != self.beside.shape:
                takes = "nothing" if self.beside is None else f"{list(self.beside.shape)}"
                raise SignalError(
                    f"beside a window the model takes {takes}, got {list(beside.shape)}"
                )
            self.beside[...] = beside
        self.given[...] = x
        copied: Floats = self.again().copy()  # the next one is written over it
        return copied

    def again(self) -> Floats:
        """Answer what stands in `given`, and copy nothing: the next answer is written over it."""
        try:
            self._runs.answer()
            return self._answer
        except Exception as error:
            raise BundleError(f"{self.runtime} failed on a window: {ort.said(error)}") from error

    def close(self) -> None:
        """Let go of the model; write the profile if one was asked for."""
        self._runs.close()

    @contextmanager
    def _refused(self, what: str) -> Iterator[None]:
        """Turn whatever a runtime raises into one line."""
        try:
            yield
        except (BioxedgeError, MemoryError):
            raise
        except Exception as error:  # its errors share no base class
            raise BundleError(f"{self.runtime} {what}: {ort.said(error)}") from error


def _engines(cache: Path | None, raw: bytes) -> Path:
    """Make and name the directory of one model's TensorRT engines on this machine."""
    key = hashlib.sha256(raw)
    key.update(f"{onnxruntime.__version__} {identity()}".encode())
    folder = (cache or user_cache() / "engines") / key.hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BundleError(
            f"TensorRT's engines cannot be kept in {folder}: {error.strerror}; set XDG_CACHE_HOME "
            "to a directory that can be written"
        ) from error
    return folder


@contextmanager
def _building(engines: Path, name: str) -> Iterator[None]:
    """Show for how long TensorRT has been building, on standard error; nothing if it has built."""
    if any(engines.iterdir()):
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    what = f"TensorRT builds an engine for {name}: minutes, once"
    if not console.is_terminal:  # a journal takes lines
        console.print(what, soft_wrap=True)
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        bar.add_task(what, total=None)
        yield
