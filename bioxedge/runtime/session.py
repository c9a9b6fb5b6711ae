"""One model, one way to run it: every provider behind the same small face."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.errors import BioxedgeError, BundleError, SignalError
from bioxedge.runtime import ort

Floats = npt.NDArray[np.float32]


def available() -> list[str]:
    """Short names of the providers that this machine has the software for."""
    has = onnxruntime.get_available_providers()
    names = [short for short, long in ort.NAMES.items() if long in has]
    if importlib.util.find_spec("openvino"):
        names += ["openvino", "openvino-bf16"]
    return names


def cores() -> int:
    """Give the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Session:
    """A model that is loaded and has run once.

    Parameters
    ----------
    raw : bytes
        An ONNX file with one input and one output of float32, all shapes static.
    threads : int, optional
        Threads inside an operator; at most as many as this process may use cores. They wait
        without spinning, which on a board costs more than the model does.
    provider : str, optional
        What runs the model: ``cpu``, ``xnnpack``, ``cuda``, ``tensorrt``, ``openvino`` or
        ``openvino-bf16``; :func:`available` tells what is there.
    cache : Path, optional
        Where a provider keeps what it builds; the user's cache directory by default.
    name : str, optional
        The file's, for messages.
    profile : Path, optional
        Where :meth:`close` writes how long each node took (ONNX Runtime only).

    Attributes
    ----------
    provider : str
        What really runs the model.
    threads : int
    inputs, outputs : list of (str, tuple of int)
        The name and the shape of the one input and of the one output.
    given : ndarray of float32, shape of the input
        The input's memory; :meth:`again` answers what stands there.

    Raises
    ------
    BundleError
        A model that cannot be run, or a provider that is not here or did not run.
    """

    def __init__(
        self,
        raw: bytes,
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
            raise BundleError(
                f"provider {provider} is not on this machine: it has {', '.join(available())}"
            )
        self.provider, self.threads, self._name = provider, threads, name
        with self._refused():
            self._runs = ort.OnnxRuntime(raw, threads, provider, cache or Path(), profile)
            self.inputs, self.outputs = self._runs.inputs, self._runs.outputs
            self._check()
            self.given = self._runs.bind()
            # A first run here: some versions notice only then that shapes do not fit, and the
            # first live window must not pay for memory that all the others reuse.
            self._runs.answer()

    def _check(self) -> None:
        """One input, one output, all sizes known."""
        for what, found in (("input", self.inputs), ("output", self.outputs)):
            if len(found) != 1:
                raise BundleError(f"{self._name} has {len(found)} {what}s, one can be run")
            (name, shape), *_ = found
            if not all(isinstance(size, int) for size in shape):
                raise BundleError(
                    f"{self._name}: {what} {name} has the shape {list(shape)}, only sizes that "
                    "are fixed can be run: export it with static shapes"
                )

    def run(self, x: Floats) -> Floats:
        """Answer one input.

        Parameters
        ----------
        x : ndarray of float32, shape of the input

        Returns
        -------
        ndarray of float32, shape of the output

        Raises
        ------
        SignalError
            Another shape.
        BundleError
            The runtime failed.
        """
        if x.shape != self.given.shape:
            raise SignalError(f"the model takes {list(self.given.shape)}, got {list(x.shape)}")
        self.given[...] = x
        copied: Floats = self.again().copy()  # the next one is written over it
        return copied

    def again(self) -> Floats:
        """Answer what stands in `given`, and copy nothing: the next answer is written over it."""
        try:
            return self._runs.answer()
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise BundleError(f"ONNX Runtime failed on a window: {said}") from error

    def close(self) -> None:
        """Let go of the model; write the profile if one was asked for."""
        self._runs.close()

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Turn whatever a runtime raises into one line."""
        try:
            yield
        except BioxedgeError:
            raise
        except Exception as error:  # its errors share no base class
            said = " ".join(str(error).split())[:300]
            raise BundleError(
                f"ONNX Runtime {onnxruntime.__version__} refuses {self._name}: {said}"
            ) from error
