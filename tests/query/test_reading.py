"""Outputs become classes, embeddings or plain tensors by what they look like, and no number is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import MatrixError
from bench.query import Classes, Embeddings, Tensor, lines_of, read, read_labels

PROBABILITIES = np.array([[0.1, 0.7, 0.2]], np.float32)
LOGITS = np.array([[1.0, 3.0, -2.0]], np.float32)


def test_probabilities_are_taken_as_they_are_best_first() -> None:
    (found,) = read({"output": PROBABILITIES})
    assert isinstance(found, Classes)
    assert not found.from_logits
    assert [score.number for score in found.samples[0]] == [1, 2, 0]
    assert [score.probability for score in found.samples[0]] == pytest.approx([0.7, 0.2, 0.1])


def test_logits_become_probabilities_and_it_is_said() -> None:
    (found,) = read({"output": LOGITS * 1000})
    assert isinstance(found, Classes)
    assert found.from_logits
    assert sum(score.probability for score in found.samples[0]) == pytest.approx(1)
    (found,) = read({"output": LOGITS}, labels=("cat", "dog", "cow"), top=2)
    assert isinstance(found, Classes)
    total = np.exp(LOGITS).sum()
    assert [(score.label, score.probability) for score in found.samples[0]] == [
        ("dog", pytest.approx(np.exp(3) / total)),
        ("cat", pytest.approx(np.exp(1) / total)),
    ]
    text = "\n".join(lines_of(found))
    assert "softmax of 'output', which holds no probabilities" in text
    assert "and 1 less likely ones" in text


def test_of_several_outputs_the_one_with_probabilities_is_read() -> None:
    outputs = {"logits": LOGITS, "probabilities": PROBABILITIES, "classes": np.array([1])}
    (found,) = read(outputs)
    assert isinstance(found, Classes)
    assert found.output == "probabilities"


def test_embeddings_are_known_by_their_length_or_their_name() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 40)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for outputs in ({"output": unit}, {"sentence_embedding": vectors}):
        (found,) = read(outputs)
        assert isinstance(found, Embeddings)
        assert found.size == 40
        assert found.cosines[0] == pytest.approx((1, float(unit[0] @ unit[1])), abs=1e-5)
    assert isinstance(read({"output": vectors})[0], Classes)
    assert isinstance(read({"output": vectors}, kind="embedding")[0], Embeddings)


def test_an_embedding_of_zeros_has_no_direction_and_no_error() -> None:
    (found,) = read({"embedding": np.zeros((1, 3), np.float32)})
    assert isinstance(found, Embeddings)
    assert (found.norms, found.cosines) == ((0.0,), ((0.0,),))


def test_what_is_neither_is_shown_as_it_is() -> None:
    outputs = {"map": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), "text": np.array(["a", "b"], object)}
    found = read(outputs)
    assert [type(each) for each in found] == [Tensor, Tensor]
    lines = [line for each in found for line in lines_of(each)]
    assert lines == ["'map': float32 [1, 2, 3, 4], 0 to 23: 0, 1, 2, 3, 4", "'text': str [2]: a, b"]
    assert [type(each) for each in read({"output": PROBABILITIES}, kind="tensors")] == [Tensor]
    with pytest.raises(MatrixError, match="none of the outputs holds classes"):
        read(outputs, kind="classes")


def test_many_samples_take_a_line_each(tmp_path: Path) -> None:
    (found,) = read({"output": np.repeat(PROBABILITIES, 12, axis=0)})
    lines = list(lines_of(found))
    assert lines[1] == "  sample 0: 1 0.7000, 2 0.2000, 0 0.1000"
    assert lines[-1] == "  ... and 2 more samples; --json has all"


def test_labels_are_lines_or_a_json_list_of_the_right_length(tmp_path: Path) -> None:
    lines, listed = tmp_path / "labels.txt", tmp_path / "labels.json"
    lines.write_text("cat\ndog\ncow\n")
    listed.write_text('["cat", "dog", "cow"]')
    assert read_labels(lines) == read_labels(listed) == ("cat", "dog", "cow")
    with pytest.raises(MatrixError, match="2 labels for 3 classes"):
        read({"output": PROBABILITIES}, labels=("cat", "dog"))
    listed.write_text('{"0": "cat"}')
    for path in (listed, tmp_path / "none"):
        with pytest.raises(MatrixError, match=path.name):
            read_labels(path)
