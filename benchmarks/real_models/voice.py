"""Speech that nobody spoke: pulses and noise through resonances, as Klatt (1980) makes vowels and fricatives."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

# the first three formants in Hz (Peterson and Barney 1952, men)
VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
FOURTH, BANDWIDTHS = 3500, (70, 90, 130, 200)


def _resonance(x, frequency, bandwidth, rate):
    radius = np.exp(-np.pi * bandwidth / rate)
    poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2]
    return lfilter([sum(poles)], poles, x)


def _vowel(rng, pitch, seconds, rate):
    """A vowel with vibrato and an arch of pitch, in [-1, 1]."""
    t = np.arange(int(seconds * rate)) / rate
    pitch = pitch * (1 + 0.02 * np.sin(10 * np.pi * t)) * (1 + 0.05 * np.sin(np.pi * t / t[-1]))
    x = np.diff(np.floor(np.cumsum(pitch) / rate), prepend=0.0)
    x = lfilter([1], [1, -0.9], lfilter([1], [1, -0.96], x))  # the slope of the glottis
    x = np.diff(x, prepend=0) + 0.002 * rng.standard_normal(t.size)
    for frequency, bandwidth in zip((*VOWELS[rng.integers(len(VOWELS))], FOURTH), BANDWIDTHS):
        x = _resonance(x, frequency, bandwidth, rate)
    x *= np.minimum(1, np.minimum(t, t[::-1]) / 0.03)
    return x / np.abs(x).max()


def _fricative(rng, seconds, rate):
    """A burst of noise around one frequency, in [-1, 1]."""
    x = _resonance(rng.standard_normal(int(seconds * rate)), rng.uniform(2500, 5000), 800, rate)
    x *= np.hanning(x.size)
    return x / np.abs(x).max()


def speech(seconds, rate):
    """Return phrases of 4 to 8 syllables with pauses of 0.4 to 1.2 s between them: float32 in [-1, 1]."""
    rng, sound, at = np.random.default_rng(0), np.zeros(seconds * rate), 0
    while at < sound.size:
        base = rng.uniform(105, 140)
        for k in range(rng.integers(4, 9)):
            vowel = 0.3 * rng.uniform(0.6, 1) * _vowel(rng, base * (1 - 0.03 * k), rng.uniform(0.14, 0.26), rate)
            syllable = np.concatenate([vowel, 0.05 * _fricative(rng, rng.uniform(0.03, 0.08), rate)])
            room = sound[at : at + syllable.size]
            room += syllable[: room.size]
            at += syllable.size
        at += int(rng.uniform(0.4, 1.2) * rate)
    return (sound + 0.001 * rng.standard_normal(sound.size)).astype(np.float32)
