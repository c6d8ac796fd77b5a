"""Images made of noise with the statistics of photographs, for networks that need pictures and no particular ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bench.core.contracts import Array

# Amplitudes of natural images fall as 1/f: D. J. Field, J. Opt. Soc. Am. A 4 (1987) 2379.
_CONTRAST = (0.10, 0.28)  # standard deviation of the brightness, drawn per image
_BRIGHTNESS = (0.3, 0.7)  # mean brightness, drawn per image and channel around a common value
_COLOUR = 0.35  # contrast of a channel's own noise relative to the noise that all channels share
_LEVELS = 255  # as from a camera; also keeps float16 images free of denormals


def natural_images(rng: np.random.Generator, count: int, height: int, width: int, channels: int) -> Array:
    """float32 [count, height, width, channels] in 0..1, in steps of 1/255, with a 1/f spectrum."""
    import numpy as np

    images = np.empty((count, height, width, channels), np.float32)
    for image in images:
        shared = _coloured_noise(rng, height, width)
        contrast = rng.uniform(*_CONTRAST)
        brightness = rng.uniform(*_BRIGHTNESS)
        for channel in range(channels):
            own = _coloured_noise(rng, height, width)
            tint = rng.normal(0.0, 0.08)
            image[:, :, channel] = brightness + tint + contrast * (shared + _COLOUR * own)
    result: Array = (np.round(images.clip(0, 1) * _LEVELS) / _LEVELS).astype(np.float32)
    return result


def _coloured_noise(rng: np.random.Generator, height: int, width: int) -> Array:
    """[height, width] with amplitude 1/f, mean 0 and standard deviation 1."""
    import numpy as np

    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf  # no constant part
    spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) / frequency
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return noise / max(float(noise.std()), 1e-9)
