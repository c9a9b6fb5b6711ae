"""What a bench found fastest on this machine, kept for the runs that come.

``bioxedge bench`` writes it, ``bioxedge run`` reads it. It holds for one bundle (by digest), one
machine and one version of ONNX Runtime; for any other there is no choice.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import onnxruntime
from msgspec import Meta

from bioxedge.manifest import Manifest
from bioxedge.runtime.host import cache, identity

__all__ = ["Choice", "cache", "identity", "load", "save"]

_LIMIT = 64 * 1024
_HEX = re.compile(r"[0-9a-f]{64}\Z")


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way to run a bundle, and where and when it was found the fastest.

    Attributes
    ----------
    variant : str
    threads : int
    provider : str
        A short name of :mod:`bioxedge.runtime.session`.
    milliseconds : float
        The median time of a window then.
    onnxruntime : str
        The version that was measured.
    machine : str
        See :func:`~bioxedge.runtime.host.identity`.
    made : str
        The day (UTC), as 2026-11-25.
    """

    variant: str
    threads: Annotated[int, Meta(ge=1)]
    provider: str
    milliseconds: Annotated[float, Meta(gt=0)]
    onnxruntime: str
    machine: str
    made: str


def _place(manifest: Manifest) -> Path:
    """Where a bundle's choice is kept."""
    if not _HEX.match(manifest.digest):
        raise ValueError(f"{manifest.digest!r} is no digest: open the bundle first")
    return cache() / manifest.digest / "choice.json"


def save(manifest: Manifest, choice: Choice) -> Path:
    """Keep a choice for a bundle; what was kept before is replaced in one step.

    Raises
    ------
    OSError
        The cache directory cannot be written.
    """
    path = _place(manifest)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".choice")  # mode 600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(choice) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return path


def load(manifest: Manifest) -> Choice | None:
    """Give the choice for a bundle on this machine, or None.

    None where there is none, where it is damaged, or where it was made for another machine,
    another version of ONNX Runtime or another state of the bundle: never an error.
    """
    try:
        with _place(manifest).open("rb") as file:
            choice = msgspec.json.decode(file.read(_LIMIT), type=Choice)
    except (OSError, RuntimeError, ValueError):  # msgspec's errors are ValueErrors
        return None
    here = (onnxruntime.__version__, identity())
    if (choice.onnxruntime, choice.machine) != here or choice.variant not in manifest.model:
        return None
    return choice
