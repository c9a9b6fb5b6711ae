"""Hold the exported graph to the trained model before anything is written."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from bioxedge.errors import ExportError

TOLERANCE = 1e-4
"""Largest allowed difference of a probability, or of a value as a share of its range."""


def answers(
    model: nn.Module,
    windows: npt.NDArray[np.float32],
    beside: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Give torch's probabilities [n, labels] of windows [n, channels, samples], one by one.

    ``beside`` [n, numbers] is for models that take it.
    """
    with torch.inference_mode():
        if beside is None:
            parts = [model(torch.from_numpy(window[None])) for window in windows]
        else:
            parts = [
                model(torch.from_numpy(window[None]), torch.from_numpy(own[None]))[0]
                for window, own in zip(windows, beside, strict=True)
            ]
    return torch.cat(parts).numpy()


def prove(
    raw: bytes,
    wanted: npt.NDArray[np.float32],
    windows: npt.NDArray[np.float32],
    *,
    beside: npt.NDArray[np.float32] | None = None,
    scale: float | npt.NDArray[np.float64] = 1.0,
) -> float:
    """Compare ONNX Runtime's answers with torch's on windows of real signal.

    Parameters
    ----------
    raw : bytes
        The ONNX file.
    wanted : ndarray of float32, shape [n, labels]
        Torch's probabilities, or values [n, 1].
    windows : ndarray of float32, shape [n, channels, samples]
    beside : ndarray of float32, shape [n, numbers], optional
    scale : float or ndarray of shape [labels], optional
        What differences are a share of: a value's range.

    Returns
    -------
    float
        The largest difference.

    Raises
    ------
    ExportError
        It exceeds :data:`TOLERANCE`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    given = (windows,) if beside is None else (windows, beside)
    found = np.concatenate(
        [
            session.run(None, {name: one[None] for name, one in zip(names, row, strict=True)})[0]
            for row in zip(*given, strict=True)
        ]
    )
    difference = float((np.abs(found.astype(np.float64) - wanted) / scale).max())
    if not difference <= TOLERANCE:  # NaN exceeds every bound
        raise ExportError(
            f"the exported graph differs from the trained model by {difference:.2e} in a "
            f"{'probability' if wanted.shape[1] > 1 else 'value, as a share of its range'}, at "
            f"most {TOLERANCE:.0e} is allowed; nothing was written"
        )
    return difference
