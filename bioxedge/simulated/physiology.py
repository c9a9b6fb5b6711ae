"""One simulated heart, and how an ECG and a PPG sensor see its beats.

Heart rate, its variability, breathing, vessel tone and arousal are drawn once; both waveforms
are laid over the *same* beats, so whatever one sensor shows of the body the other shows too.

What is taken from where:

* ECG: each of P, Q, R, S, T is a Gaussian at a fixed phase from the R peak (McSharry et al.
  2003, IEEE Trans. Biomed. Eng. 50:289, ECGSYN). Times and widths are theirs at 60 bpm; heights
  are their coefficients in closed form, a·b², relative to R. P, T stretch with √RR, after Bazett
  (1920, Heart 7:353), where ECGSYN stretches by the mean rate only.
* Heart-rate variability: low (0.04–0.15 Hz) and high (0.15–0.4 Hz) frequency bands, and the size
  of a normal short-term variability (RMSSD 27 ± 12 ms), after the Task Force (1996, Circulation
  93:1043). The low-frequency part is a narrow band at 0.1 Hz, as in ECGSYN.
* Respiratory sinus arrhythmia is proportional to the depth of breathing and falls by 21 dB a
  decade above 7.2 breaths a minute (Hirsch and Bishop 1981, Am. J. Physiol. 241:H620).
* Stress lowers the high-frequency part (Kim et al. 2018, Psychiatry Investig. 15:235), raises
  the pulse rate and lowers the pulse amplitude (Minakuchi et al. 2013, J. Physiol. Anthropol.
  32:17), shortens the time from R peak to pulse onset (Ernst et al. 2021, Curr. Dir. Biomed. Eng.
  7:419), and changes the time from onset to peak (Celka et al. 2020, Healthc. Technol. Lett. 7:7).
* From the R peak to the pulse's foot there are the pre-ejection period (104 ms at rest, 90 ms
  under mental stress: Pilz et al. 2023, Front. Cardiovasc. Med. 10:1138356; it varies by 2–6 ms
  within a healthy young person: Kortekaas et al. 2018, PLoS ONE, PMC6179208) and the transit
  along the arteries (Mukkamala et al. 2015, IEEE Trans. Biomed. Eng. 62:1879). Strictly the sum
  is the pulse *arrival* time, and is called so here.
* Breathing moves the PPG's baseline, its amplitude and its pulse times (Allen 2007, Physiol.
  Meas. 28:R1).

Everything else is our judgement, chosen to look right and to make the task neither trivial nor
hopeless, not measured: every range in :func:`draw_body`, the size of each effect of stress (and
that onset to peak gets shorter), the log-normal systolic and Gaussian diastolic wave of a pulse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Track = npt.NDArray[np.float64]
"""float64, shape ``[n]``."""

GRID = 20.0
"""Rate in Hz of the slow tracks; sensors interpolate between its points."""

MARGIN = 5.0
"""Seconds lived before and after a recording, so that its ends hold whole beats."""

_FOOT = np.sqrt(2 * np.log(20.0))
"""A log-normal wave passes a twentieth of its height this many widths before its peak."""


@dataclass(frozen=True)
class Body:
    """One person's physiology. Shares are of the resting value; the ranges are our judgement.

    Parameters
    ----------
    resting_rate : float
        Heart rate at rest, bpm.
    stress_rise : float
        What full stress adds to it, bpm.
    sinus_arrhythmia : float
        Swing of the heart rate with a normal breath at 0.2 Hz, share.
    vagal_withdrawal : float
        How much of that swing full stress takes away, share.
    mayer : float
        Standard deviation of the heart rate's 0.1 Hz wave, share.
    drift : float
        Standard deviation of the heart rate's slow drift, share.
    breathing_rate, breathing_rise : float
        Breathing at rest, and what full stress adds to it, Hz.
    arrival, arrival_drop : float
        R peak to pulse foot at rest, and what full stress takes away, s.
    vasoconstriction : float
        How much of the PPG pulse's amplitude full stress takes away, share.
    """

    resting_rate: float
    stress_rise: float
    sinus_arrhythmia: float
    vagal_withdrawal: float
    mayer: float
    drift: float
    breathing_rate: float
    breathing_rise: float
    arrival: float
    arrival_drop: float
    vasoconstriction: float


@dataclass(frozen=True)
class Heart:
    """What one body did, which every sensor on it sees.

    Parameters
    ----------
    seconds : ndarray, shape [n]
        Times of the slow tracks, s; 0 is the recording's first sample.
    arousal, breath, tone : ndarray, shape [n]
        Stress from 0 to about 1; breathing, in normal depths; PPG pulse amplitude, in resting ones.
    beats, intervals : ndarray, shape [beats]
        Times of the R peaks, and the interval before each, s.
    feet : ndarray, shape [beats]
        When each beat's pulse reaches the PPG sensor, s.
    """

    seconds: Track
    arousal: Track
    breath: Track
    tone: Track
    beats: Track
    intervals: Track
    feet: Track

    def at(self, track: Track, times: Track) -> Track:
        """Read a slow track at any times in s."""
        return np.interp(times, self.seconds, track)

    def rate(self, times: Track) -> Track:
        """True heart rate in bpm, from the beats around each time in s."""
        return np.interp(times, self.beats - self.intervals / 2, 60 / self.intervals)


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a person: who reacts strongly does so in every respect, more or less.

    One in eight is a weak responder, whose heart rate rises by 5–10 bpm only.
    """
    reactivity = rng.uniform(0.2, 0.35) if rng.random() < 0.125 else rng.uniform(0.55, 1.0)
    return Body(
        resting_rate=52 + 30 * rng.beta(2, 2),
        stress_rise=30 * reactivity * rng.uniform(0.85, 1.0),
        sinus_arrhythmia=float(np.exp(rng.uniform(np.log(0.025), np.log(0.05)))),
        vagal_withdrawal=0.8 * reactivity * rng.uniform(0.75, 1.1),
        mayer=rng.uniform(0.012, 0.025),
        drift=rng.uniform(0.008, 0.02),
        breathing_rate=rng.uniform(0.18, 0.26),
        breathing_rise=0.1 * reactivity * rng.uniform(0.4, 1.2),
        arrival=rng.uniform(0.17, 0.25),
        arrival_drop=0.035 * reactivity * rng.uniform(0.5, 1.0),
        vasoconstriction=0.65 * reactivity * rng.uniform(0.7, 1.1),
    )


def live(body: Body, seconds: Track, arousal: Track, rng: np.random.Generator) -> Heart:
    """Let a body live through a course of arousal.

    Parameters
    ----------
    body : Body
    seconds, arousal : ndarray, shape [n]
        Times at ``GRID``, in s, and the stress at each.
    rng : numpy.random.Generator

    Returns
    -------
    Heart
        Its beats stand where the integral of the instantaneous heart rate passes a whole number.
    """
    pace = body.breathing_rate + body.breathing_rise * arousal
    pace = pace * (1 + 0.08 * wander(seconds, low=0.01, high=0.08, rng=rng))
    depth = np.clip(1 + 0.2 * wander(seconds, low=0.01, high=0.1, rng=rng), 0.3, None)
    breath = depth * np.sin(2 * np.pi * np.cumsum(pace) / GRID + rng.uniform(0, 2 * np.pi))

    roll_off = (np.maximum(pace, 0.12) / 0.2) ** (-21 / 20)
    vagal = body.sinus_arrhythmia * roll_off * (1 - body.vagal_withdrawal * np.clip(arousal, 0, 1))
    mayer = wander(seconds, low=0.085, high=0.115, rng=rng)
    drift = wander(seconds, low=0.004, high=0.04, rng=rng)
    level = body.resting_rate + body.stress_rise * arousal
    rate = level * (1 + vagal * breath + body.mayer * mayer + body.drift * drift)

    count = np.cumsum(np.maximum(rate, 30.0)) / 60 / GRID
    beats = np.interp(np.arange(np.ceil(count[0]), count[-1]), count, seconds)
    intervals = np.diff(beats)
    beats = beats[1:]

    tone = 1 - body.vasoconstriction * np.clip(arousal, 0, 1.2)
    tone = tone * np.exp(0.1 * wander(seconds, low=0.005, high=0.05, rng=rng) - 0.06 * mayer)
    delay = body.arrival - body.arrival_drop * arousal + 0.004 * breath + 0.003 * mayer
    feet = beats + np.interp(beats, seconds, delay) + rng.normal(0, 0.003, beats.size)
    return Heart(seconds, arousal, breath, tone, beats, intervals, feet)


def wander(seconds: Track, *, low: float, high: float, rng: np.random.Generator) -> Track:
    """Noise of unit variance in a band: sixteen sinusoids, log-spaced at random, of equal power.

    Parameters
    ----------
    seconds : ndarray, shape [n]
        Times, s. The result is a function of time, whatever the rate.
    low, high : float
        The band's edges, Hz.
    rng : numpy.random.Generator
    """
    frequencies = np.exp(rng.uniform(np.log(low), np.log(high), 16))
    phases = rng.uniform(0, 2 * np.pi, 16)
    total = np.zeros_like(seconds)
    for frequency, phase in zip(frequencies, phases, strict=True):
        total += np.sin(2 * np.pi * frequency * seconds + phase)
    return np.asarray(total / np.sqrt(8))


def electric_beats(heart: Heart, times: Track, *, shape: Track) -> Track:
    """Lay P, Q, R, S, T over every beat.

    Parameters
    ----------
    heart : Heart
    times : ndarray, shape [n]
        Evenly spaced sample times from 0, s.
    shape : ndarray, shape [5]
        This person's height of each wave, as a multiple of the model's.

    Returns
    -------
    ndarray, shape [n]
        The ECG in units of the R wave's nominal height, on a flat line.
    """
    stretch = np.sqrt(heart.intervals)
    fixed = np.ones_like(stretch)
    # Stress flattens T a little: judgement.
    flat = 1 - 0.15 * np.clip(heart.at(heart.arousal, heart.beats), 0, 1)
    waves = (  # seconds after R at 60 bpm, width in s, height, and what follows the interval
        (-70 / 360, 0.25 / (2 * np.pi), 1.2 * 0.25**2, stretch, fixed),
        (-15 / 360, 0.10 / (2 * np.pi), -5.0 * 0.10**2, fixed, fixed),
        (0.0, 0.10 / (2 * np.pi), 30.0 * 0.10**2, fixed, fixed),
        (15 / 360, 0.10 / (2 * np.pi), -7.5 * 0.10**2, fixed, fixed),
        (100 / 360, 0.40 / (2 * np.pi), 0.75 * 0.40**2, stretch, flat),
    )
    total = np.zeros_like(times)
    for (offset, width, height, scale, fade), own in zip(waves, shape, strict=True):
        centres = heart.beats + offset * scale
        heights = height / (30.0 * 0.10**2) * own * fade
        total += _gaussians(times, centres, width * scale, heights)
    return total


def pulse_beats(
    heart: Heart, times: Track, *, rise: float, width: float, notch: float, dicrotic: float
) -> Track:
    """Lay a systolic and a diastolic wave over every pulse.

    Parameters
    ----------
    heart : Heart
    times : ndarray, shape [n]
        Evenly spaced sample times from 0, s.
    rise : float
        Foot to systolic peak at rest, s.
    width : float
        Width of the systolic wave: its logarithm's standard deviation.
    notch : float
        Systolic to diastolic peak at 60 bpm, s.
    dicrotic : float
        Height of the diastolic wave, as a share of the systolic one.

    Returns
    -------
    ndarray, shape [n]
        The pulses, blood volume upwards, in units of the resting systolic wave.
    """
    stress = np.clip(heart.at(heart.arousal, heart.feet), 0, 1.2)
    heights = heart.at(heart.tone, heart.feet)
    heights = heights * (1 + 0.06 * heart.at(heart.breath, heart.feet))
    quick = 1 - 0.15 * stress
    peak = rise * quick / (1 - np.exp(-_FOOT * width))
    origin = heart.feet - peak * np.exp(-_FOOT * width)
    stretch = np.sqrt(heart.intervals)

    index, keep = _around(times, origin, before=0.0, after=2.0)
    since = np.maximum(index * (times[1] - times[0]) - origin[:, None], 1e-9)
    systolic = heights[:, None] * np.exp(-0.5 * (np.log(since / peak[:, None]) / width) ** 2)
    total = np.bincount(index[keep], systolic[keep], minlength=times.size)
    return total + _gaussians(
        times,
        origin + peak + notch * stretch * quick,
        0.08 * stretch,
        heights * dicrotic * (1 + 0.2 * stress),
    )


def _around(
    times: Track, centres: Track, *, before: float, after: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Sample numbers near each centre ``[centres, n]``, and which of them were recorded."""
    rate = 1 / (times[1] - times[0])
    span = np.arange(-np.ceil(before * rate), np.ceil(after * rate) + 1)
    index = (np.rint(centres * rate)[:, None] + span).astype(np.int64)
    return index, (index >= 0) & (index < times.size)


def _gaussians(times: Track, centres: Track, widths: Track, heights: Track) -> Track:
    """Sum of Gaussians at evenly spaced times."""
    reach = 4.5 * float(np.max(widths))
    index, keep = _around(times, centres, before=reach, after=reach)
    distance = index * (times[1] - times[0]) - centres[:, None]
    values = heights[:, None] * np.exp(-0.5 * (distance / widths[:, None]) ** 2)
    return np.bincount(index[keep], values[keep], minlength=times.size).astype(np.float64)
