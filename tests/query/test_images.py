"""An image becomes the tensor that the model takes: size, channels, layout and scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError
from bench.query import image_batch

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install pillow")


def spec(*shape: int | str, dtype: str = "float32") -> list[TensorSpec]:
    return [TensorSpec(name="image", dtype=dtype, shape=("batch", *shape))]


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """Four pixels wide, two high: the left half red, the right half white."""
    pixels = np.full((2, 4, 3), 255, np.uint8)
    pixels[:, :2, 1:] = 0
    path = tmp_path / "red.png"
    Image.fromarray(pixels).save(path)
    return path


def test_pixels_are_from_0_to_1_in_the_models_layout(red: Path) -> None:
    last = image_batch(red, spec(2, 4, 3))["image"]
    assert (last.shape, last.dtype.name) == ((1, 2, 4, 3), "float32")
    assert last[0, 0].tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]]
    first = image_batch(red, spec(3, 2, 4))["image"]
    assert np.array_equal(first, last.transpose(0, 3, 1, 2))
    assert first.flags.c_contiguous


def test_one_channel_is_grey_and_may_have_no_axis(red: Path) -> None:
    grey = image_batch(red, spec(2, 4, 1))["image"]
    assert grey[0, 0, :, 0].tolist() == pytest.approx([76 / 255, 76 / 255, 1, 1])
    larger = image_batch(red, spec(4, 4, 1))["image"]
    assert np.array_equal(image_batch(red, spec(4, 4))["image"], larger[..., 0])


def test_it_is_resized_to_what_the_model_takes_and_keeps_its_size_where_any_will_do(red: Path) -> None:
    assert image_batch(red, spec(8, 6, 3))["image"].shape == (1, 8, 6, 3)
    assert image_batch(red, spec("h", "w", 3))["image"].shape == (1, 2, 4, 3)
    halved = image_batch(red, spec(1, 2, 3))["image"][0, 0]
    assert halved[:, 1].tolist() == pytest.approx([1 / 7, 6 / 7], abs=0.02), "neighbours have a part in it"


@pytest.mark.parametrize(
    ("scale", "black", "white"),
    [("1", 0, 1), ("255", 0, 255), ("symmetric", -1, 1), ("imagenet", (0 - 0.485) / 0.229, (1 - 0.485) / 0.229)],
)
def test_a_scale_is_what_black_and_white_become(tmp_path: Path, scale: str, black: float, white: float) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(path)
    values = image_batch(path, spec(1, 2, 3), scale=scale)["image"][0, 0, :, 0]
    assert values.tolist() == pytest.approx([black, white], rel=1e-6)
    inverted = image_batch(path, spec(1, 2, 3), scale=scale, invert=True)["image"][0, 0, :, 0]
    assert inverted.tolist() == pytest.approx([white, black], rel=1e-6)


def test_integers_are_the_pixels_as_they_are(red: Path) -> None:
    values = image_batch(red, spec(2, 4, 3, dtype="uint8"))["image"]
    assert values.dtype.name == "uint8"
    assert values[0, 0, 0].tolist() == [255, 0, 0]
    with pytest.raises(MatrixError, match="cannot be scaled"):
        image_batch(red, spec(2, 4, 3, dtype="uint8"), scale="imagenet")


def test_an_image_lies_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (4, 2)).save(path, exif=exif)
    assert image_batch(path, spec("h", "w", 3))["image"].shape == (1, 4, 2, 3)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([*spec(2, 4, 3), *spec(1)], "2 inputs"),
        (spec(44100, 1), "not \\[batch, height"),
        (spec(784), "not \\[batch, height, width, 1 or 3\\]"),
        (spec(2, 4, 7), "not \\[batch, height"),
    ],
)
def test_a_model_that_takes_no_pictures_says_so(red: Path, inputs: list[TensorSpec], said: str) -> None:
    with pytest.raises(MatrixError, match=said) as caught:
        image_batch(red, inputs)
    assert "--inputs FILE.npz" in str(caught.value.hint)


def test_a_file_that_cannot_be_read_as_an_image_is_named(tmp_path: Path, red: Path) -> None:
    text, cut, deep = tmp_path / "x.txt", tmp_path / "cut.png", tmp_path / "deep.png"
    text.write_text("no image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(deep)
    for path, said in ((text, "not an image"), (cut, "cannot be read"), (deep, "8 bits"), (tmp_path / "n", "read")):
        with pytest.raises(MatrixError, match=said) as caught:
            image_batch(path, spec(2, 4, 3))
        assert str(path) in caught.value.message
        assert caught.value.hint


def test_a_huge_image_is_not_unpacked(tmp_path: Path, red: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    with pytest.raises(MatrixError, match="too large"):
        image_batch(red, spec(2, 4, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)  # beyond twice as many Pillow itself refuses
    with pytest.raises(MatrixError, match="too large"):
        image_batch(red, spec(2, 4, 3))
