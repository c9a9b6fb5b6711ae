"""The model on this machine: ONNX Runtime, set for a small device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError

Floats = npt.NDArray[np.float32]


class Engine:
    """Runs one variant of a bundle's model.

    Parameters
    ----------
    bundle : Bundle
        Its checked bytes are what is run; the file is not read again.
    variant : str, optional
        ``fp32`` by default.
    threads : int, optional
        Threads inside an operator. They wait without spinning, which on a board costs more
        than the model does.
    providers : sequence of str, optional
        ONNX Runtime execution providers in order of preference; the CPU's by default.

    Attributes
    ----------
    provider : str
        The provider that really runs.
    variant : str
        The variant's name in the manifest.

    Raises
    ------
    BundleError
        A variant that is not there, a model that ONNX Runtime refuses or that is not shaped as
        the manifest says, or a provider that this machine does not have.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: str | None = None,
        threads: int = 1,
        providers: Sequence[str] | None = None,
    ) -> None:
        part = bundle.manifest.variant(variant)
        self.variant = next(name for name, one in bundle.manifest.model.items() if one == part)
        wanted = list(providers or ["CPUExecutionProvider"])
        absent = set(wanted) - set(onnxruntime.get_available_providers())
        if absent:
            raise BundleError(
                f"this ONNX Runtime has no {', '.join(sorted(absent))}: it has "
                f"{', '.join(onnxruntime.get_available_providers())}"
            )
        with _refused(part.file):
            self._session = onnxruntime.InferenceSession(
                bundle.model(variant), _options(threads), providers=wanted
            )
        self._check(part.input.name, part.input.shape, self._session.get_inputs())
        self._check(part.output.name, part.output.shape, self._session.get_outputs())
        self.provider: str = self._session.get_providers()[0]
        self._input, self._outputs = part.input.name, [part.output.name]
        self._buffer = np.zeros(part.input.shape, np.float32)
        # A first run here: some versions notice only then that shapes do not fit, and the
        # first live window must not pay for memory that all the others reuse.
        with _refused(part.file):
            self._session.run(self._outputs, {self._input: self._buffer})

    def _check(self, name: str, shape: tuple[int, ...], found: Sequence[Any]) -> None:
        """Hold the graph's one input or output to the manifest."""
        has = [(one.name, tuple(one.shape)) for one in found]
        if has != [(name, shape)]:
            raise BundleError(
                f"variant {self.variant}: the model has {has}, the manifest says {(name, shape)}"
            )

    def run(self, window: Floats) -> Floats:
        """Answer one window.

        Parameters
        ----------
        window : ndarray of float32, shape [channels, length]

        Returns
        -------
        ndarray of float32, shape [labels]
            Probabilities, in the order of the manifest's labels.

        Raises
        ------
        SignalError
            A window of another shape.
        BundleError
            ONNX Runtime failed.
        """
        if window.shape != self._buffer.shape[1:]:
            raise SignalError(
                f"the model takes windows of {list(self._buffer.shape[1:])}, "
                f"got {list(window.shape)}"
            )
        self._buffer[0] = window
        try:
            (answer,) = self._session.run(self._outputs, {self._input: self._buffer})
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise BundleError(f"ONNX Runtime failed on a window: {said}") from error
        return np.array(answer[0], np.float32)


@contextmanager
def _refused(file: str) -> Iterator[None]:
    """Turn whatever ONNX Runtime raises into one line."""
    try:
        yield
    except Exception as error:  # its errors share no base class
        said = " ".join(str(error).split())[:300]
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} refuses {file}: {said}"
        ) from error


def _options(threads: int) -> Any:
    """Session options for a device: fixed threads that do not spin, errors only."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
