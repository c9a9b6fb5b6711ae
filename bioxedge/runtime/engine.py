"""A bundle's model on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError
from bioxedge.runtime.session import Session

Floats = npt.NDArray[np.float32]


class Engine:
    """Runs one variant of a bundle's model.

    Parameters
    ----------
    bundle : Bundle
        Its checked bytes are what is run; they are taken from it, see
        :meth:`~bioxedge.bundle.Bundle.take`.
    variant : str, optional
        ``fp32`` by default.
    threads : int, optional
        Threads inside an operator; see :class:`~bioxedge.runtime.session.Session`.
    providers : sequence of str, optional
        Short names in order of preference, the first that runs is taken; ``cpu`` by default.

    Attributes
    ----------
    variant : str
        The variant's name in the manifest.
    provider : str
        The short name of the provider that really runs.
    threads : int
    runtime : str
        What computes, and its version.

    Raises
    ------
    BundleError
        A variant that is not there, a model that is refused or that is not shaped as the manifest
        says, or no provider that runs it (what is wrong with the first is told).
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
        refused = []
        for provider in providers or ("cpu",):
            try:
                self._session = Session(
                    lambda: bundle.take(variant),
                    threads=threads,
                    provider=provider,
                    name=part.file,
                )
                break
            except BundleError as error:
                refused.append(error)
        else:
            raise refused[0]
        has = self._session.inputs + self._session.outputs
        says = [(one.name, one.shape) for one in (part.input, part.output)]
        if has != says:
            raise BundleError(
                f"variant {self.variant}: the model has {has}, the manifest says {says}"
            )
        self.provider, self.threads = self._session.provider, self._session.threads
        self.runtime = self._session.runtime
        self._shape, self._tolerance = part.input.shape[1:], part.tolerance

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
            The runtime failed.
        """
        if window.shape != self._shape:
            raise SignalError(
                f"the model takes windows of {list(self._shape)}, got {list(window.shape)}"
            )
        answer: Floats = self._session.run(window[None])[0]
        return answer

    def hold_to(self, window: Floats, golden: Floats) -> None:
        """Make sure of one answer, before what runs here is relied upon.

        Parameters
        ----------
        window : ndarray of float32, shape [channels, length]
        golden : ndarray of float32, shape [labels]

        Raises
        ------
        BundleError
            An answer that is further off than the variant's tolerance.
        """
        off = float(np.abs(self.run(window) - golden).max())
        if not off <= self._tolerance:  # NaN is over every bound
            raise BundleError(
                f"it answers a golden window {off:.2e} off, allowed is {self._tolerance:.0e}"
            )

    @property
    def settings(self) -> dict[str, str | int]:
        """What runs, for records and reports."""
        return {
            "variant": self.variant,
            "provider": self.provider,
            "threads": self.threads,
            "runtime": self.runtime,
        }

    def close(self) -> None:
        """Let go of the model."""
        self._session.close()
