"""Synthesised music: harmonic tones with the envelopes of plucked and bowed strings, whose pitch is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bench.core.contracts import Array

_HARMONICS = 12
_NOISE = 1e-3  # of a quiet room, relative to full scale
_SIGNAL_TO_NOISE_DB = (-10, 10)
_A4_MIDI, _A4_HZ = 69, 440.0


def frequency_hz(midi: float) -> float:
    """The fundamental of a MIDI pitch in equal temperament, A4 = 69 = 440 Hz."""
    return float(_A4_HZ * 2.0 ** ((midi - _A4_MIDI) / 12))


def tone(rng: np.random.Generator, midi: float, samples: int, rate_hz: int, onset_s: float) -> Array:
    """float64 [samples]: one note from `onset_s` to the end, at most about 1, with a timbre drawn from `rng`."""
    import numpy as np

    time_s = np.arange(samples) / rate_hz - onset_s
    vibrato = 1 + rng.uniform(0, 0.002) * np.sin(2 * np.pi * rng.uniform(4, 6) * time_s)
    phase = 2 * np.pi * frequency_hz(midi) * np.cumsum(vibrato) / rate_hz
    brightness = rng.uniform(1.0, 2.2)
    partials = np.zeros(samples)
    for harmonic in range(1, _HARMONICS + 1):
        if frequency_hz(midi) * harmonic < rate_hz / 2:
            partials += np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi)) / harmonic**brightness
    attack = 1 - np.exp(-np.clip(time_s, 0, None) / rng.uniform(0.003, 0.03))
    decay = np.exp(-np.clip(time_s, 0, None) / rng.uniform(0.6, 3.0))
    note: Array = partials * attack * decay / max(float(np.abs(partials).max()), 1e-9)
    return note


def chord(rng: np.random.Generator, pitches: Array, samples: int, rate_hz: int) -> Array:
    """float32 [samples]: notes that begin one after another in the first half, over faint noise, below full scale."""
    import numpy as np

    mix = rng.normal(0.0, _NOISE, samples)
    for midi in pitches:
        onset_s = rng.uniform(0.0, samples / rate_hz / 2)
        mix += tone(rng, float(midi), samples, rate_hz, onset_s) * rng.uniform(0.3, 1.0)
    loudness: Array = (mix * (rng.uniform(0.2, 0.9) / np.abs(mix).max())).astype(np.float32)
    return loudness


def noisy_note(rng: np.random.Generator, midi: int, samples: int, rate_hz: int) -> Array:
    """float32 [samples]: one note from near the beginning, in white noise that is 10 dB stronger to 10 dB weaker."""
    import numpy as np

    note = tone(rng, midi, samples, rate_hz, rng.uniform(0.02, 0.2)) * rng.uniform(0.1, 0.3)
    noise = rng.normal(0.0, note.std() * 10 ** (-rng.uniform(*_SIGNAL_TO_NOISE_DB) / 20), samples)
    audio: Array = (note + noise).astype(np.float32)
    return audio
