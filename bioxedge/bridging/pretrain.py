"""Self-supervised pretraining of a small encoder on unlabelled windows of its own sensor.

Without it a bridge would rest on random features. The pretext: a window is played faster or
slower, its beats' shape is changed by a random short filter, noise is added; from what comes
out of the last block, averaged over tokens, the rhythm of the undisturbed window is regressed:
its log magnitude spectrum (0.5 to 5.3 Hz: the pulse, breathing's sidebands, first harmonics)
and its autocorrelation (lags of 0.25 to 1.75 s: the beat's period). To answer, the encoder must
find the beats and time them through noise and through shapes it has not seen; the stretch makes
every rate occur, whatever the few people at hand have. No label is read.

Breathing is slower than any beat: its rate moves the level, the size and the times of beats. Where
a lower end is named, the spectrum starts there, and lags up to its period are asked for, too.

A slow sensor (skin conductance, temperature) holds no beat. Up to 12 Hz the same is asked of what
it does hold: frequencies from two periods in a window to what the rate carries, lags to half a
window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.augment import disturb, draw_factors, standardise, stretch
from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.features import Windows, taken
from bioxedge.bridging.loop import Report, fit, quiet
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain

LOWEST, HIGHEST = 0.5, 5.3  # Hz, of the spectrum
SHORTEST, LONGEST = 0.25, 1.75  # s, of the autocorrelation's lags: 240 to 34 beats a minute
SLOW_STEP = 0.1  # s: 15 breaths a minute are then told from 15.4
LAG_STEP = 0.016  # s: a beat of 0.7 s is then told apart by 1.6 beats a minute
REFERENCE = 1024  # windows that set the answers' mean and spread
SLOW = 12.0  # Hz, up to which a rate does not hold HIGHEST with room to spare
_USABLE = 0.45  # share of the rate up to which a spectrum is of the signal, not of its filter
_LAGS = 94  # as many as between SHORTEST and LONGEST
_FEWEST = 16  # samples of a slow window


@dataclass(frozen=True)
class Span:
    """What the pretext asks for: a spectrum's frequencies in Hz, an autocorrelation's lags in s."""

    lowest: float = LOWEST
    highest: float = HIGHEST
    shortest: float = SHORTEST
    longest: float = LONGEST
    step: float = LAG_STEP
    slowest: float = 0.0  # s: up to where lags go on from the longest, in steps of SLOW_STEP


def span_of(samples: int, rate: float, lowest: float = LOWEST) -> Span:
    """Say which rhythms windows at a rate can be asked for, from ``lowest`` Hz on.

    Raises
    ------
    ModelError
        Windows too short to hold the spectrum's lowest frequency twice.
    """
    seconds = samples / rate
    if rate <= SLOW:
        if samples < _FEWEST:
            raise ModelError(
                f"windows of {samples} samples are too short to pretrain on: {_FEWEST} or more "
                f"are needed, {_FEWEST / rate:.0f} s at {rate:g} Hz"
            )
        highest = min(HIGHEST, _USABLE * rate)
        shortest, longest = 1 / highest, seconds / 2
        return Span(2 / seconds, highest, shortest, longest, (longest - shortest) / _LAGS)
    if seconds < 2 / lowest:
        raise ModelError(
            f"windows of {seconds:.1f} s are too short to pretrain on: the spectrum "
            f"starts at {lowest:g} Hz and needs {2 / lowest:.0f} s"
        )
    if lowest >= HIGHEST:
        raise ModelError(f"a lowest rhythm of {lowest:g} Hz is not below {HIGHEST} Hz")
    return Span(lowest=lowest, slowest=1 / lowest if lowest < LOWEST else 0.0)


def pretrain(
    chain: Chain,
    windows: Windows,
    *,
    rows: Tensor | None = None,
    rate: float,
    epochs: int,
    batch: int = 64,
    learning_rate: float = 2e-3,
    lowest: float = LOWEST,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Train a whole chain on windows of its sensor; it is left frozen.

    Parameters
    ----------
    chain : Chain
        A whole chain, stem included.
    windows : Tensor or ndarray of float32, shape [n, channels, samples]
        Unlabelled, each channel at zero mean and unit deviation. May be mapped from a file: a
        batch is read at a time.
    rows : Tensor of int64, optional
        Which of them; all if left out.
    rate : float
        Rate of the windows in Hz.
    epochs, batch, learning_rate, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`; the rate falls along half a cosine.
    lowest : float
        Slowest rhythm that is asked for, in Hz.

    Returns
    -------
    list of float
        Mean loss of each epoch: 1 is what a constant answer gets.

    Raises
    ------
    ModelError
        Windows too short to hold a rhythm (:func:`span_of`).
    """
    samples = windows.shape[2]
    rhythm = _rhythm(samples, rate, span_of(samples, rate, lowest))
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(len(windows)) if rows is None else rows
    some = torch.randperm(len(rows), generator=generator)[:REFERENCE]
    played = stretch(taken(windows, rows[some]), draw_factors(len(some), generator), generator)
    reference = rhythm(standardise(played))
    mean, spread = reference.mean(0), reference.std(0).clamp_min(1e-6)
    features = chain.cut(chain.last, samples).features
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        answer = nn.Linear(features, reference.shape[1])
    task = nn.ModuleDict({"chain": chain, "answer": answer})
    pool = TokenMean()
    chain.train()

    def loss(indices: Tensor, generator: torch.Generator) -> Tensor:
        factors = draw_factors(len(indices), generator)
        stretched = standardise(stretch(taken(windows, rows[indices]), factors, generator))
        wanted = (rhythm(stretched) - mean) / spread
        disturbed = standardise(disturb(stretched, rate, generator))
        answered: Tensor = answer(pool(chain(disturbed)))
        return (answered - wanted).square().mean()

    history = fit(
        task,
        loss,
        len(rows),
        epochs=epochs,
        batch=batch,
        rate=learning_rate,
        seed=seed,
        schedule="cosine",
        state=state,
        report=report,
        what=f"pretraining {chain.name}",
    )
    chain.freeze()
    return history


def _rhythm(samples: int, rate: float, span: Span) -> Callable[[Tensor], Tensor]:
    """Make the map from windows to log magnitudes and autocorrelations, [n, answers]."""
    step = rate / samples
    low, high = math.ceil(span.lowest / step), math.floor(span.highest / step) + 1
    stride = max(1, round(span.step * rate))
    first, last = round(span.shortest * rate), round(span.longest * rate)
    lags = [*range(first, last, stride), *range(last, round(span.slowest * rate),
            max(1, round(SLOW_STEP * rate)))]  # fmt: skip
    hann = torch.hann_window(samples)

    def rhythm(windows: Tensor) -> Tensor:
        power = torch.fft.rfft(windows * hann)[..., low:high].abs().square()
        magnitude = 0.5 * torch.log(power / samples + 1e-3)
        # Twice the length: the correlation must not wrap around.
        density = torch.fft.rfft(windows, 2 * samples).abs().square()
        correlation = torch.fft.irfft(density)[..., :samples]
        correlation = correlation / correlation[..., :1].clamp_min(1e-6)
        both = torch.cat([magnitude, correlation[..., lags]], dim=-1)
        return both.flatten(1)

    return rhythm
