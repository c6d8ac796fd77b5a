"""An image as the batch of a model that takes pictures: resized, in its channels, and scaled as it was trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError, MissingPackage

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

#: What a pixel of 0 to 255 becomes; `imagenet` is as in torchvision.
SCALES: Mapping[str, str] = {
    "1": "0 to 1",
    "255": "0 to 255, as they are",
    "symmetric": "-1 to 1",
    "imagenet": "0 to 1, less the mean of ImageNet, over its standard deviation",
}
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SMALLEST_SIDE = 4  # where no channels tell: [batch, samples, 1] is sound, and not a picture
_CHANNELS = {1: "L", 3: "RGB"}
_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """How the model wants its pictures: sizes of None are the image's own; `channels_at` is the axis of the channels
    in [batch, ...], None where there is none."""

    height: int | None
    width: int | None
    channels: int
    channels_at: int | None


def picture_of(inputs: Sequence[TensorSpec]) -> Picture:
    """What the signature says of its one input; MatrixError when it is no picture's."""
    if len(inputs) != 1:
        raise MatrixError(
            f"the model has {len(inputs)} inputs, and an image is one",
            hint="give all of them: --inputs FILE.npz",
        )
    (spec,) = inputs
    shape = spec.shape
    if len(shape) == 4 and shape[3] in _CHANNELS:
        return _picture(shape[1], shape[2], shape[3], 3)
    if len(shape) == 4 and shape[1] in _CHANNELS:
        return _picture(shape[2], shape[3], shape[1], 1)
    if len(shape) == 3 and all(isinstance(size, str) or size >= _SMALLEST_SIDE for size in shape[1:]):
        return _picture(shape[1], shape[2], 1, None)
    raise MatrixError(
        f"input {spec.name!r} has the shape {list(shape)}: not [batch, height, width, 1 or 3], nor with channels first",
        hint="give the tensor itself: --inputs FILE.npz",
    )


def _picture(height: int | str, width: int | str, channels: int | str, channels_at: int | None) -> Picture:
    return Picture(
        height=height if isinstance(height, int) else None,
        width=width if isinstance(width, int) else None,
        channels=int(channels),
        channels_at=channels_at,
    )


def image_batch(path: Path, inputs: Sequence[TensorSpec], *, scale: str = "", invert: bool = False) -> Batch:
    """The image as a batch of one; its aspect ratio is the model's, not its own.

    Without a `scale` of `SCALES`, floats are 0 to 1, and integers the pixels as they are.

    MatrixError: the file is no image of 8 bits a channel, or the model takes no pictures.
    """
    import numpy as np

    wanted = picture_of(inputs)
    (spec,) = inputs
    pixels = np.asarray(_read(path, wanted), dtype=np.float64)
    pixels = pixels.reshape(*pixels.shape[:2], wanted.channels)
    values = _scaled(255 - pixels if invert else pixels, scale, spec)
    if wanted.channels_at is None:
        values = values[..., 0]
    elif wanted.channels_at == 1:
        values = values.transpose(2, 0, 1)
    return {spec.name: np.ascontiguousarray(values[None])}


def _read(path: Path, wanted: Picture) -> Any:
    """The image as Pillow has it, resized and with the wanted channels."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise MissingPackage("images are read by Pillow, which is not installed", hint="pip install pillow") from error
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.mode not in _EIGHT_BITS:
                raise MatrixError(
                    f"{path}: its pixels are {image.mode}, not of 8 bits a channel", hint="save it as an 8-bit PNG"
                )
            upright = ImageOps.exif_transpose(image).convert(_CHANNELS[wanted.channels])
    except UnidentifiedImageError as error:
        raise MatrixError(f"{path}: not an image that Pillow can read", hint="PNG and JPEG always work") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise MatrixError(f"{path}: too large an image: {error}", hint="make it smaller first") from error
    except (OSError, SyntaxError, ValueError) as error:  # of a file that is cut off, Pillow raises any of these
        raise MatrixError(f"{path}: cannot be read: {error}", hint="name an image that is there and whole") from error
    size = (wanted.width or upright.width, wanted.height or upright.height)
    return upright if upright.size == size else upright.resize(size, Image.Resampling.BILINEAR)


def _scaled(pixels: Array, scale: str, spec: TensorSpec) -> Array:
    """Pixels of 0 to 255 as the model's element type; integers are taken as they are."""
    import numpy as np

    dtype = np.dtype(spec.dtype)
    if dtype.kind != "f":
        if dtype.kind not in "iu" or scale not in {"", "255"}:
            raise MatrixError(f"the model takes pixels as {spec.dtype}, which cannot be scaled", hint="--scale 255")
        return pixels.astype(dtype)
    if scale in {"", "1"}:
        pixels = pixels / 255
    elif scale == "symmetric":
        pixels = pixels / 127.5 - 1
    elif scale == "imagenet":
        if pixels.shape[-1] != len(_IMAGENET_MEAN):
            raise MatrixError("the scale imagenet is for three channels", hint="--scale 1, 255 or symmetric")
        pixels = (pixels / 255 - _IMAGENET_MEAN) / _IMAGENET_DEVIATION
    return pixels.astype(dtype)
