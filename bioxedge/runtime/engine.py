"""A bundle's model on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError
from bioxedge.manifest import Manifest
from bioxedge.runtime.session import Session

Floats = npt.NDArray[np.float32]

BF16 = ("openvino-bf16",)
"""Providers that compute in bfloat16: they run variants of that precision, and no other."""


def fitting(precision: str) -> tuple[str, ...]:
    """Providers that a variant of some precision runs on where none is named."""
    return BF16 if precision == "bf16" else ("cpu",)


def misfit(about: Manifest, name: str, provider: str) -> str | None:
    """Tell why a variant is not run on a provider, in one line with the cure, or None.

    A variant states how far it is from fp32 in the arithmetic that it was proven in. Another one
    would be held to bounds that were never measured.
    """
    if (about.model[name].precision == "bf16") == (provider in BF16):
        return None
    if provider not in BF16:
        return (
            f"variant {name} computes in bf16 and {provider} does not: use {BF16[0]} (pip install "
            "'bioxedge[openvino]', on a processor with bf16), or another variant"
        )
    if others := [other for other, part in about.model.items() if part.precision == "bf16"]:
        return f"{provider} computes in bf16 and variant {name} does not: use variant {others[0]}"
    return (
        f"{provider} computes in bf16 and variant {name} does not: use openvino, or build the "
        'bundle with "bf16" in make under [variants]'
    )


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
        Short names in order of preference, the first that runs is taken; by default ``cpu``, or
        for a variant that computes in bf16 what does so (:func:`fitting`).

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
        says, or no provider that fits and runs it (what is wrong with the first is told).
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
        for provider in providers or fitting(part.precision):
            if why := misfit(bundle.manifest, self.variant, provider):
                refused.append(BundleError(why))
                continue
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
        says = [*bundle.manifest.inputs(part), *bundle.manifest.outputs(part)]
        if has != says:
            raise BundleError(
                f"variant {self.variant}: the model has {has}, the manifest says {says}"
            )
        self.provider, self.threads = self._session.provider, self._session.threads
        self.runtime = self._session.runtime
        self._shape, self._tolerance = part.input.shape[1:], part.tolerance
        self._scales = np.array(bundle.manifest.scales)

    def run(self, window: Floats, beside: Floats | None = None) -> Floats:
        """Answer one window.

        Parameters
        ----------
        window : ndarray of float32, shape [channels, length]
        beside : ndarray of float32, shape [numbers], optional
            What a bundle with features of its own takes beside it (:func:`bioxedge.wearer.beside`);
            what was given last, or zeros, where it is left out.

        Returns
        -------
        ndarray of float32, shape [labels]
            Probabilities, in the order of the manifest's labels; or the one value, in its unit; of
            several tasks, all their columns (:attr:`bioxedge.manifest.Manifest.tasks`).

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
        answer: Floats = self._session.run(window[None], None if beside is None else beside[None])[
            0
        ]
        return answer

    @property
    def features(self) -> Floats:
        """What the last window was made of [features], before the wearer's baseline scaled it.

        Raises
        ------
        BundleError
            A bundle without features of its own.
        """
        if self._session.made is None:
            raise BundleError("this bundle's model gives no features")
        copied: Floats = self._session.made[0].copy()
        return copied

    def hold_to(self, window: Floats, golden: Floats, beside: Floats | None = None) -> None:
        """Make sure of one answer, before what runs here is relied upon.

        Parameters
        ----------
        window : ndarray of float32, shape [channels, length]
        golden : ndarray of float32, shape [labels]
        beside : ndarray of float32, shape [numbers], optional

        Raises
        ------
        BundleError
            An answer that is further off than the variant's tolerance.
        """
        off = float((np.abs(self.run(window, beside) - golden) / self._scales).max())
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
