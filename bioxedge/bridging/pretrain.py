"""Self-supervised pretraining of a small encoder on unlabelled windows of its own sensor.

Without it a bridge would rest on random features. The pretext: from the token mean of the last
block, regress the log magnitude spectrum (0.5 to 5.3 Hz, where the pulse and its first
harmonics lie) of a window that was stretched in time at random and then disturbed by noise.
To answer, the encoder must find the pulse and measure its rate and shape through the noise;
the stretch makes every rate occur, whatever the few people at hand have. No label is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.loop import Report, fit, quiet
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain

LOWEST, HIGHEST = 0.5, 5.3  # Hz
SHORTEST_CROP = 0.6  # share of the window that is stretched to its whole length
NOISE = 0.3  # greatest deviation of the added noise, in deviations of the signal


def pretrain(
    chain: Chain,
    windows: Tensor,
    *,
    rate: float,
    epochs: int,
    batch: int = 64,
    learning_rate: float = 2e-3,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Train a whole chain on windows of its sensor; it is left frozen.

    Parameters
    ----------
    chain : Chain
        A whole chain, stem included.
    windows : Tensor of float32, shape [n, channels, samples]
        Unlabelled, each channel at zero mean and unit deviation.
    rate : float
        Rate of the windows in Hz.
    epochs, batch, learning_rate, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`; the rate falls along half a cosine.

    Returns
    -------
    list of float
        Mean loss of each epoch: 1 is what a constant answer gets.

    Raises
    ------
    ModelError
        Windows too short to hold the spectrum's lowest frequency twice.
    """
    samples = windows.shape[2]
    if samples / rate < 2 / LOWEST:
        raise ModelError(
            f"windows of {samples / rate:.1f} s are too short to pretrain on: the spectrum "
            f"starts at {LOWEST} Hz and needs {2 / LOWEST:.0f} s"
        )
    spectrum = _spectrum(samples, rate, windows.shape[1])
    reference = spectrum(windows)
    mean, spread = reference.mean(0), reference.std(0).clamp_min(1e-6)
    features = chain.cut(chain.last, samples).features
    task = nn.ModuleDict({"chain": chain, "answer": nn.Linear(features, reference.shape[1])})
    pool = TokenMean()
    chain.train()

    def loss(indices: Tensor, generator: torch.Generator) -> Tensor:
        stretched = _stretch(windows[indices], generator)
        wanted = (spectrum(stretched) - mean) / spread
        strength = NOISE * torch.rand(len(indices), 1, 1, generator=generator)
        noisy = stretched + strength * torch.randn(stretched.shape, generator=generator)
        answer: Tensor = task["answer"](pool(chain(_standardise(noisy))))
        return (answer - wanted).square().mean()

    history = fit(
        task,
        loss,
        len(windows),
        epochs=epochs,
        batch=batch,
        rate=learning_rate,
        seed=seed,
        cosine=True,
        state=state,
        report=report,
    )
    chain.freeze()
    return history


def _stretch(windows: Tensor, generator: torch.Generator) -> Tensor:
    """Stretch a random part of each window to the whole length (linear interpolation)."""
    n, channels, samples = windows.shape
    share = SHORTEST_CROP + (1 - SHORTEST_CROP) * torch.rand(n, 1, generator=generator)
    start = (1 - share) * torch.rand(n, 1, generator=generator)
    where = (start + share * torch.linspace(0, 1, samples)) * (samples - 1)
    left = where.floor().clamp(0, samples - 2).long()
    weight = (where - left)[:, None, :]
    left = left[:, None, :].expand(n, channels, samples)
    stretched = windows.gather(2, left) * (1 - weight) + windows.gather(2, left + 1) * weight
    return _standardise(stretched)


def _standardise(windows: Tensor) -> Tensor:
    """Zero mean and unit deviation of each channel, as the device's z-score does."""
    centred = windows - windows.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)


def _spectrum(samples: int, rate: float, channels: int) -> Callable[[Tensor], Tensor]:
    """Make the map from windows to log magnitudes [n, channels · bins] (Hann window)."""
    step = rate / samples
    bins = torch.arange(math.ceil(LOWEST / step), math.floor(HIGHEST / step) + 1)
    angle = 2 * torch.pi * bins[None] * torch.arange(samples)[:, None] / samples
    hann = torch.hann_window(samples)[:, None]
    real, imaginary = hann * torch.cos(angle), hann * torch.sin(angle)

    def spectrum(windows: Tensor) -> Tensor:
        power = (windows @ real).square() + (windows @ imaginary).square()
        return 0.5 * torch.log(power / samples + 1e-3).reshape(len(windows), -1)

    return spectrum
