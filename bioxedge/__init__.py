"""Take what a biosignal foundation model knows on one sensor to another, live on the edge.

The public face: :class:`Bundle`, :class:`Stream`, :class:`Chunk`, :class:`Prediction` and the
errors. The first four are imported when they are first asked for, because SciPy and ONNX Runtime
take a second or more on a small board.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bioxedge.errors import (
    BioxedgeError,
    BundleError,
    DatasetError,
    ExportError,
    ManifestError,
    MissingExtraError,
    ModelError,
    RecipeError,
    RecordingError,
    SignalError,
    SinkError,
    SourceError,
)

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime.stream import Prediction, Stream
    from bioxedge.signals import Chunk

__version__ = "0.1.0"

# Nothing phones home: ONNX Runtime (1.32, measured) would as it is imported (its Privacy.md), and
# leave an identifier among the temporary files. Whoever wants that sets it to 0 before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BioxedgeError",
    "Bundle",
    "BundleError",
    "Chunk",
    "DatasetError",
    "ExportError",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "Prediction",
    "RecipeError",
    "RecordingError",
    "SignalError",
    "SinkError",
    "SourceError",
    "Stream",
]


def __getattr__(name: str) -> Any:
    """Import the parts that take long when they are first asked for."""
    if name == "Bundle":
        from bioxedge.bundle import Bundle

        return Bundle
    if name == "Chunk":
        from bioxedge.signals import Chunk

        return Chunk
    if name in ("Prediction", "Stream"):
        from bioxedge.runtime import stream

        return getattr(stream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
