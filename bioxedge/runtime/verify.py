"""Prove a bundle on this machine: its files, its stages and its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError
from bioxedge.manifest import Golden, Variant
from bioxedge.runtime.engine import Engine
from bioxedge.signals import Chunk


@dataclass(frozen=True)
class Report:
    """What was found; every figure is within its bound, or there is no report.

    Attributes
    ----------
    name : str
        The bundle's.
    files, bytes : int
        Files that match size and sha256, the manifest counted, and their bytes without it.
    windows : int
        Golden windows.
    dsp_difference, dsp_tolerance : float
        Largest absolute difference of windows cut here from golden ones, and its bound.
    dsp_bitwise : bool
        Whether they are equal to the last bit.
    difference, tolerance : float
        Largest absolute difference of probabilities, and its bound.
    repeat_difference : float
        The same between two runs on this machine.
    variant, provider : str
        What ran.
    """

    name: str
    files: int
    bytes: int
    windows: int
    dsp_difference: float
    dsp_tolerance: float
    dsp_bitwise: bool
    difference: float
    tolerance: float
    repeat_difference: float
    variant: str
    provider: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {**asdict(self), "pass": True}

    def lines(self) -> list[str]:
        """Give the report as lines of text."""
        exact = "equal to the last bit" if self.dsp_bitwise else "not bitwise equal"
        return [
            f"{self.name}",
            f"  files   {self.files} match their size and sha256 ({self.bytes / 1e6:.2f} MB)",
            f"  stages  {self.windows} golden windows cut from raw samples: {exact}, largest "
            f"difference {self.dsp_difference:.1e} (bound {self.dsp_tolerance:.0e})",
            f"  model   {self.variant} on {self.provider}: largest difference of a probability "
            f"{self.difference:.1e} (bound {self.tolerance:.0e}), between two runs "
            f"{self.repeat_difference:.1e}",
            "PASS",
        ]


def verify(bundle: Bundle, *, variant: str | None = None, threads: int = 1) -> Report:
    """Hold this machine to a bundle's golden windows and answers.

    Parameters
    ----------
    bundle : Bundle
        Opening it has checked the files.
    variant : str, optional
    threads : int, optional

    Raises
    ------
    BundleError
        Stages or model give something else here than where the bundle was made; says how far.
    """
    about, golden = bundle.manifest, bundle.golden
    cut = [
        window.samples
        for piece in golden.raw
        for window in bundle.windows().push(Chunk(piece, 0, about.input.rate))
    ]
    if len(cut) != len(golden.windows):
        raise BundleError(
            f"{bundle.path}: the golden samples give {len(cut)} windows here, "
            f"{len(golden.windows)} where the bundle was made; build it again"
        )
    windows = np.stack(cut)
    dsp = _bounded(
        bundle, "windows cut from the golden samples", windows, golden.windows,
        about.golden.dsp_tolerance,
    )  # fmt: skip
    engine = Engine(bundle, variant, threads)
    first, second = (np.stack([engine.run(w) for w in golden.windows]) for _ in range(2))
    tolerance = about.variant(variant).tolerance
    found = _bounded(bundle, "probabilities", first, golden.probabilities, tolerance)
    _bounded(bundle, "probabilities of a second run", second, golden.probabilities, tolerance)
    parts: list[Variant | Golden] = [*about.model.values(), about.golden]
    return Report(
        name=about.name,
        files=len(parts) + 1,
        bytes=sum(part.bytes for part in parts),
        windows=len(windows),
        dsp_difference=dsp,
        dsp_tolerance=about.golden.dsp_tolerance,
        dsp_bitwise=windows.tobytes() == golden.windows.tobytes(),
        difference=found,
        tolerance=tolerance,
        repeat_difference=float(np.abs(first - second).max()),
        variant=engine.variant,
        provider=engine.provider,
    )


def _bounded(bundle: Bundle, what: str, found: Any, golden: Any, tolerance: float) -> float:
    """Give the largest absolute difference, which must not exceed the bound."""
    difference = float(np.abs(found.astype(np.float64) - golden).max())
    if not difference <= tolerance:  # NaN is over every bound
        raise BundleError(
            f"{bundle.path}: {what} differ by {difference:.2e}, at most {tolerance:.0e} is "
            "allowed: this machine does not compute what the bundle was proven with; "
            "update numpy, scipy and onnxruntime, or build the bundle again"
        )
    return difference
