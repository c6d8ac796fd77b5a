from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.cell import Dimension
from bench.core.errors import MatrixError
from bench.zoo.inputs import user_inputs

IDS = TensorSpec(name="ids", dtype="int64", shape=("batch", "n"))
X = TensorSpec(name="x", dtype="float32", shape=("batch", 3), native="serving_default_x:0")


def npz(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "samples.npz"
    np.savez(path, **arrays)
    return path


def jsonl(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "samples.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def problem(path: Path, *specs: TensorSpec, **options: Any) -> str:
    with pytest.raises(MatrixError) as caught:
        user_inputs(path, specs, **({"count": 2, "batch": 1, "seed": 0} | options))
    assert str(path) in caught.value.message
    return caught.value.message


def test_batches_are_distinct_samples_of_the_file_in_a_seeded_order(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.arange(30.0).reshape(10, 3))
    batches, labelled = user_inputs(path, [X], count=3, batch=3, seed=0)
    assert labelled is None
    rows = np.concatenate([batch["x"] for batch in batches])
    assert rows.dtype == np.float32
    assert rows.shape == (9, 3)
    assert len(set(rows[:, 0])) == 9
    again, _ = user_inputs(path, [X], count=3, batch=3, seed=0)
    other, _ = user_inputs(path, [X], count=3, batch=3, seed=1)
    assert np.array_equal(batches[0]["x"], again[0]["x"])
    assert not np.array_equal(batches[0]["x"], other[0]["x"])


def test_too_few_samples_for_the_pool_give_fewer_batches_and_too_few_for_one_batch_an_error(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.zeros((5, 3)))
    assert len(user_inputs(path, [X], count=8, batch=2, seed=0)[0]) == 2
    assert "holds 5 samples, one batch needs 6" in problem(path, X, batch=6)


def test_labels_make_all_samples_a_labelled_set(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.zeros((4, 3)), labels=np.array([1, 0, 2, 1]))
    _, labelled = user_inputs(path, [X], count=1, batch=1, seed=0)
    assert labelled is not None
    assert labelled.labels.tolist() == [1, 0, 2, 1]
    assert labelled.inputs["x"].shape == (4, 3)


def test_json_lines_hold_one_sample_each(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"ids": [1, 2], "labels": 0}, "", {"ids": [3, 4], "labels": 1})
    batches, labelled = user_inputs(path, [IDS], count=1, batch=2, seed=0)
    assert batches[0]["ids"].dtype == np.int64
    assert sorted(batches[0]["ids"].tolist()) == [[1, 2], [3, 4]]
    assert labelled is not None
    assert labelled.labels.tolist() == [0, 1]


def test_an_npy_file_feeds_the_only_input(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.ones((2, 3), np.float32))
    assert user_inputs(path, [X], count=1, batch=2, seed=0)[0][0]["x"].shape == (2, 3)
    assert "one array cannot feed 2 inputs" in problem(path, X, IDS)


def test_the_name_inside_the_model_file_is_understood_too(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"serving_default_x:0": np.zeros((1, 3))})
    assert list(user_inputs(path, [X], count=1, batch=1, seed=0)[0][0]) == ["x"]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"y": np.zeros((1, 3))}, "'x' is missing; the file holds 'y'"),
        ({"x": np.zeros((1, 4))}, "'x' has shape (1, 4), expected (samples, 3)"),
        ({"x": np.zeros(3)}, "'x' has shape (3,), expected (samples, 3)"),
        ({"x": np.array([[0, np.nan, np.inf]])}, "'x' holds 2 values that are NaN or infinite"),
        ({"x": np.zeros((1, 3), complex)}, "'x' has dtype complex128, whose values do not fit float32"),
        ({"x": np.zeros((2, 3)), "labels": np.zeros(3, int)}, "different numbers of samples: 'labels' 3, 'x' 2"),
        ({"x": np.zeros((2, 3)), "labels": np.zeros(2)}, "'labels' is float64(2,), expected one integer per sample"),
        ({"x": np.array([[None]])}, "is not an .npz file of plain arrays"),
    ],
)
def test_a_wrong_array_is_named_with_what_was_expected(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert expected in problem(npz(tmp_path, **arrays), X)


def test_integers_that_do_not_fit_are_not_wrapped_around(tmp_path: Path) -> None:
    small = TensorSpec(name="ids", dtype="int8", shape=("batch", 1))
    assert "do not fit int8" in problem(npz(tmp_path, ids=np.array([[300]])), small)
    assert "do not fit int8" in problem(npz(tmp_path, ids=np.array([[1.5]])), small)


def test_samples_must_have_a_size_that_the_matrix_asks_for(tmp_path: Path) -> None:
    path = npz(tmp_path, ids=np.ones((2, 7), int))
    asked = [Dimension(name="n", kind="uniform", values=(2, 6))]
    assert "'ids' has shape (2, 7)" in problem(path, IDS, dimensions=asked)
    allowed = [Dimension(name="n", kind="choice", values=(5, 7))]
    assert user_inputs(path, [IDS], count=1, batch=1, seed=0, dimensions=allowed)[0][0]["ids"].shape == (1, 7)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["{"], ":1: is not JSON"),
        ([{"ids": [1]}, [1]], ":2: every line must be an object with the keys ids"),
        ([{"ids": [1]}, {"other": [1]}], ":2: every line must be an object with the keys ids"),
        ([{"ids": [1]}, {"ids": [1, 2]}], ":2: 'ids' has shape (2,), the first line has (1,)"),
        ([{"ids": [[1], [2, 3]]}], ":1: 'ids' is not a regular array"),
        ([{"ids": ["one"]}], ":1: 'ids' holds something that is not a number"),
        ([], "'ids' is missing; the file holds nothing"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, lines: list[object], expected: str) -> None:
    assert expected in problem(jsonl(tmp_path, *lines), IDS)


def test_a_file_that_is_absent_torn_or_of_another_kind_is_named(tmp_path: Path) -> None:
    assert "No such file" in problem(tmp_path / "absent.npz", X)
    torn = npz(tmp_path, x=np.zeros((1, 3)))
    torn.write_bytes(torn.read_bytes()[:50])
    assert "is not an .npz file" in problem(torn, X)
    assert ".npz, .npy or .jsonl, not '.csv'" in problem(tmp_path / "x.csv", X)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "is not an .npy file of a plain array" in problem(path, X)
