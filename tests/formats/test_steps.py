"""What all steps share: failures in one line, example inputs, and the look at what was made."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import Examples
from bench.core.errors import BenchError, MatrixError, StepFailed, TargetError
from bench.formats.examples import batches_of, check_batches, require_sound, trace_batch
from bench.formats.steps import count_changes, only_step_failures, require_dimensions

_SOURCE = Artifact(id="0", format="onnx", path="/models/m.onnx", size_bytes=1, inputs=(), outputs=())
_IDS = TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
_MASK = TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence"))
_IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", "height", 3))


def test_a_foreign_exception_becomes_one_line_with_step_place_cause_and_hint() -> None:
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint="cool it"):
        raise ValueError("\n  too hot \nand a long story")
    assert caught.value.message == "melt: /models/m.onnx: ValueError: too hot"
    assert caught.value.hint == "cool it"
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Graph execution error:\n\nDetected at node Tile\nno such axis", "no such axis"),
        ("The operation failed:\nTraceback\n\x1b[1mRuntimeError: shape is invalid\nand so on", "shape is invalid"),
        ("\x1b[1mCannot take it\x1b[0m", "Cannot take it"),
        ("", ""),
    ],
)
def test_what_frameworks_say_before_the_cause_is_left_out(said: str, cause: str) -> None:
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint=""):
        raise ValueError(said)
    assert caught.value.message == f"melt: /models/m.onnx: ValueError: {cause}".removesuffix(": ")


def test_an_endless_message_is_cut() -> None:
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint=""):
        raise ValueError("x" * 10_000)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("kind", [StepFailed, TargetError])
def test_lines_of_our_own_errors_are_joined(kind: type[BenchError]) -> None:
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint="cool it"):
        raise kind("it does not fit:\n\tMissing keys: a\n", hint="build again")
    assert caught.value.message.endswith("it does not fit: Missing keys: a")
    assert caught.value.hint == "build again"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("too little"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        TargetError("weights do not fit: std::bad_alloc"),
    ],
)
def test_running_out_of_memory_is_no_failure_of_the_step(error: Exception) -> None:
    with pytest.raises(MemoryError, match=r"memory|little|alloc"), only_step_failures("melt", _SOURCE, hint=""):
        raise error


def test_our_own_errors_keep_their_message_and_hint() -> None:
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint="cool it"):
        raise TargetError("no such tensor", hint="name it")
    assert (caught.value.message, caught.value.hint) == ("melt: no such tensor", "name it")
    with pytest.raises(StepFailed) as caught, only_step_failures("melt", _SOURCE, hint="cool it"):
        raise StepFailed("nothing to melt", hint="bring some")
    assert (caught.value.message, caught.value.hint) == ("nothing to melt", "bring some")


def test_tracing_sees_no_size_of_one_and_no_two_names_with_one_size() -> None:
    batch = trace_batch([_IDS, _MASK, _IMAGE], None)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    (samples, sequence), height = batch["input_ids"].shape, batch["image"].shape[1]
    assert batch["image"].shape[0] == samples
    assert len({1, samples, sequence, height}) == 4


def test_checking_uses_one_sample_and_sizes_that_tracing_did_not_see() -> None:
    traced = trace_batch([_IDS], None)["input_ids"].shape
    one, more = (batch["input_ids"].shape for batch in check_batches([_IDS], None))
    assert one[0] == 1
    assert more[0] not in (1, traced[0])
    assert more[1] != traced[1]


def test_real_samples_are_repeated_until_no_dimension_is_one() -> None:
    sample = {"input_ids": np.array([[7]]), "attention_mask": np.array([[1]])}
    batch = trace_batch([_IDS, _MASK], Examples(inputs=sample))
    np.testing.assert_array_equal(batch["input_ids"], [[7, 7], [7, 7]])
    assert batch["input_ids"].dtype == np.int64


def test_a_fixed_batch_is_kept_whatever_the_number_of_samples() -> None:
    fixed = TensorSpec(name="input_ids", dtype="int64", shape=(3, "sequence"))
    for count in (2, 5):
        examples = Examples(inputs={"input_ids": np.ones((count, 4), np.int64)})
        assert [batch["input_ids"].shape for batch in check_batches([fixed], examples)] == [(3, 4), (3, 4)]


def test_examples_without_an_input_are_told_with_what_they_have() -> None:
    examples = Examples(inputs={"ids": np.ones((4, 4), np.int64)})
    for look in (lambda: check_batches([_IDS], examples), lambda: batches_of(examples, [_IDS], size=1, count=1)):
        with pytest.raises(MatrixError, match="no input 'input_ids'; they have 'ids'"):
            look()


def test_a_dimension_that_the_model_lacks_is_told_with_those_it_has() -> None:
    require_dimensions("melt", "sizes", ["batch", "height"], [_IDS, _IMAGE])
    with pytest.raises(StepFailed, match="melt: sizes names 'width', '', which") as caught:
        require_dimensions("melt", "sizes", ["width", "height", ""], [_IDS, _IMAGE])
    assert caught.value.hint == "choose from batch, sequence, height"


def test_made_up_masks_are_ones_and_ids_fit_the_smallest_table() -> None:
    batch = trace_batch([_IDS, _MASK], None)
    assert set(np.unique(batch["attention_mask"])) == {1}
    assert set(np.unique(batch["input_ids"])) == {0, 1}


def test_texts_cannot_be_made_up() -> None:
    with pytest.raises(ValueError, match="'words' has dtype"):
        trace_batch([TensorSpec(name="words", dtype="U8", shape=("batch",))], None)


def test_an_answer_like_the_source_is_sound_even_where_the_source_is_not_finite() -> None:
    require_sound("melt", {"y": np.array([1.0, np.nan])}, {"y": np.array([1.1, np.inf])})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, "without the output 'y'"),
        ({"y": np.zeros(2, np.float32)}, r"float32\[2\], where the source gives float64\[2\]"),
        ({"y": np.zeros((2, 1))}, r"float64\[2, 1\]"),
        ({"y": np.array([np.nan, 1.0])}, "1 of 2 values not finite"),
    ],
)
def test_a_missing_misshapen_or_infinite_output_is_a_failure(made: dict[str, object], words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        require_sound("melt", {"y": np.array([0.5, 1.0])}, made)


def test_changes_list_bytes_nodes_and_only_the_operators_that_changed() -> None:
    changes = count_changes(Counter(Conv=2, Identity=3), Counter(Conv=2, Mul=1), 100, 40)
    assert [(change.what, change.before, change.after) for change in changes] == [
        ("bytes", 100, 40),
        ("nodes", 5, 3),
        ("operator Identity", 3, 0),
        ("operator Mul", 0, 1),
    ]
