from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.cell import Dimension
from bench.core.errors import MatrixError
from bench.zoo.images import natural_images
from bench.zoo.inputs import draw_sizes, pool_digest, read_pool, synthetic_inputs, write_pool

SEQUENCE = Dimension(name="sequence", kind="fixed", values=(16,))


def spec(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def one(tensor: TensorSpec, *, batch: int = 2, vocabulary: int | None = None, seed: int = 0) -> np.ndarray:
    made = synthetic_inputs([tensor], count=1, batch=batch, dimensions=[SEQUENCE], seed=seed, vocabulary=vocabulary)
    return np.asarray(made[0][tensor.name])


def test_ids_lie_within_the_embedding_table_and_off_the_padding() -> None:
    ids = one(spec("input_ids", "int64", "batch", "sequence"), batch=64, vocabulary=7)
    assert ids.shape == (64, 16)
    assert set(np.unique(ids)) == {1, 2, 3, 4, 5, 6}
    assert one(spec("ids", "int32", "batch", "sequence"), vocabulary=1).max() == 0


def test_ids_of_an_unknown_table_stay_small_and_fit_their_dtype() -> None:
    assert one(spec("ids", "int64", "batch", 1000)).max() < 100
    assert one(spec("ids", "int8", "batch", 1000), vocabulary=30_000).min() >= 1


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_masks_are_ones(dtype: str) -> None:
    mask = one(spec("attention_mask", dtype, "batch", "sequence"))
    assert mask.dtype == dtype
    assert mask.all()
    assert (mask == 1).all()


def test_token_types_are_zeros_and_positions_count_up() -> None:
    assert not one(spec("token_type_ids", "int64", "batch", "sequence")).any()
    assert one(spec("position_ids", "int64", "batch", "sequence")).tolist() == [list(range(16))] * 2


@pytest.mark.parametrize(
    ("shape", "dtype", "highest"),
    [
        (("batch", 32, 48, 3), "float32", 1),
        (("batch", 3, 32, 48), "float32", 1),
        (("batch", 1, 28, 28), "float16", 1),
        (("batch", 32, 48, 3), "uint8", 255),
    ],
)
def test_pictures_use_their_range_and_neighbouring_pixels_are_alike(
    shape: tuple[int | str, ...], dtype: str, highest: int
) -> None:
    picture = one(spec("x", dtype, *shape)).astype(np.float64) / highest
    assert picture.shape == (2, *shape[1:])
    assert 0 <= picture.min() < 0.4
    assert 0.6 < picture.max() <= 1
    axis = 3 if shape[1] in (1, 3) else 2
    # White noise gives 1.13.
    assert np.abs(np.diff(picture, axis=axis)).mean() / picture.std() < 0.75


def test_the_spectrum_of_pictures_falls_as_one_over_f() -> None:
    pictures = natural_images(np.random.default_rng(0), 8, 64, 64, 1)[..., 0]
    amplitude = np.abs(np.fft.fft2(pictures - pictures.mean((1, 2), keepdims=True))).mean(0)[0, 1:16]
    slope = np.polyfit(np.log(np.arange(1, 16)), np.log(amplitude), 1)[0]
    assert -1.3 < slope < -0.7


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_finite_and_none_is_near_a_denormal(dtype: str) -> None:
    values = one(spec("features", dtype, "batch", 20_000))
    assert np.isfinite(values).all()
    assert np.abs(values).min() > 9e-4
    assert abs(values.astype(np.float64).mean()) < 0.05


def test_batches_are_distinct_and_repeat_with_the_seed() -> None:
    tensor = spec("x", "float32", "batch", 4)

    def pool(count: int, seed: int) -> list[str]:
        made = synthetic_inputs([tensor], count=count, batch=1, dimensions=[], seed=seed)
        return [pool_digest([batch]) for batch in made]

    assert len(set(pool(8, 0))) == 8
    assert pool(8, 0) == pool(8, 0)
    assert pool(8, 0)[:3] == pool(3, 0)
    assert not set(pool(8, 0)) & set(pool(8, 1))


def test_inputs_share_the_size_drawn_for_a_dimension() -> None:
    inputs = [spec("input_ids", "int64", "batch", "n"), spec("attention_mask", "int64", "batch", "n")]
    dimensions = [Dimension(name="n", kind="uniform", values=(2, 9))]
    batches = synthetic_inputs(inputs, count=40, batch=3, dimensions=dimensions, seed=0)
    lengths = [batch["input_ids"].shape[1] for batch in batches]
    assert all(batch["input_ids"].shape == batch["attention_mask"].shape for batch in batches)
    assert (min(lengths), max(lengths)) == (2, 9)


def test_sizes_do_not_depend_on_the_order_of_the_dimensions() -> None:
    dimensions = [
        Dimension(name="a", kind="uniform", values=(1, 1000)),
        Dimension(name="b", kind="choice", values=(3, 5, 8)),
        Dimension(name="c", kind="fixed", values=(4,)),
    ]
    forwards = draw_sizes(dimensions, np.random.default_rng(0))
    backwards = draw_sizes(dimensions[::-1], np.random.default_rng(0))
    assert forwards == backwards
    assert forwards["b"] in (3, 5, 8)
    assert forwards["c"] == 4


def test_a_dimension_without_a_value_is_named_with_the_way_out() -> None:
    with pytest.raises(MatrixError, match=r"'x' float32\[batch, frames\] has the dynamic dimension 'frames'") as caught:
        one(spec("x", "float32", "batch", "frames"))
    assert caught.value.hint == "dimensions: {frames: 32}"


def test_whatever_the_file_calls_the_first_axis_it_is_the_batch() -> None:
    assert one(spec("x", "float32", "unk__12", 4), batch=3).shape == (3, 4)


def test_a_fixed_batch_that_differs_from_the_asked_one_is_an_error() -> None:
    with pytest.raises(MatrixError, match="fixed to a batch of 1, the matrix asks for 8"):
        one(spec("data", "float32", 1, 3, 32, 32), batch=8)
    assert one(spec("data", "float32", 8, 4), batch=8).shape == (8, 4)
    assert one(spec("state", "float32", 2, "batch", 4), batch=3).shape == (2, 3, 4)
    assert one(spec("scale", "float32"), batch=8).shape == ()


@pytest.mark.parametrize("dtype", ["object", "str", "complex64", "bfloat16", "nonsense"])
def test_a_dtype_that_cannot_be_made_up_asks_for_own_inputs(dtype: str) -> None:
    with pytest.raises(MatrixError, match=f"dtype {dtype}") as caught:
        one(spec("x", dtype, "batch"))
    assert "samples.npz" in str(caught.value.hint)


def test_a_pool_survives_the_file_under_exactly_its_name(tmp_path: Path) -> None:
    pool = [{"a/b": np.arange(3, dtype=np.int64) + index, "file": np.ones((), np.float32)} for index in range(11)]
    write_pool(tmp_path / "pool", pool)
    again = read_pool(tmp_path / "pool")
    assert pool_digest(again) == pool_digest(pool)
    assert [batch["a/b"][0] for batch in again] == list(range(11))


def test_the_digest_sees_names_dtypes_shapes_order_and_bytes() -> None:
    base = np.arange(6, dtype=np.int32)
    pools = [
        [{"a": base}],
        [{"b": base}],
        [{"a": base.view(np.uint32)}],
        [{"a": base.reshape(2, 3)}],
        [{"a": base[::-1]}],
        [{"a": base[:3]}, {"a": base[3:]}],
        [{"a": base[3:]}, {"a": base[:3]}],
    ]
    assert len({pool_digest(pool) for pool in pools}) == len(pools)
    assert pool_digest([{"a": np.asfortranarray(base.reshape(2, 3))}]) == pool_digest([{"a": base.reshape(2, 3)}])
