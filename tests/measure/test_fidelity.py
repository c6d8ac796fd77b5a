"""Fidelity before speed: wrong, missing, unstable and not finite outputs are all caught and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.core.cell import Tolerance
from bench.measure.fidelity import accuracy, accuracy_problem, compare_outputs, size_problem

_ANY = Tolerance(relative_error=None)


def _pool(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"scores": [rng.standard_normal((4, 10)).astype(np.float32) for _ in range(3)]}


def _changed(pool: dict[str, Any], change: Any) -> dict[str, Any]:
    return {name: [change(array.copy()) for array in arrays] for name, arrays in pool.items()}


def test_equal_outputs_pass_with_zero_error_and_are_bitwise_deterministic() -> None:
    found = compare_outputs(_pool(), _pool(), _pool(), Tolerance())
    (output,) = found.outputs
    assert found.passed
    assert found.problem == ""
    assert found.deterministic == "bitwise"
    assert (output.max_abs_error, output.mean_abs_error, output.relative_error) == (0, 0, 0)
    assert output.cosine == pytest.approx(1)
    assert (output.top1_agreement_ratio, output.not_finite, output.values) == (1, 0, 120)


def test_errors_are_those_of_the_worst_batch_and_relative_to_the_largest_reference_value() -> None:
    reference = {"y": [np.array([[1.0, -4.0]]), np.array([[2.0, 0.0]])]}
    variant = {"y": [np.array([[1.5, -4.0]]), np.array([[2.0, 0.1]])]}
    found = compare_outputs(reference, variant, None, Tolerance(relative_error=0.1))
    (output,) = found.outputs
    assert output.max_abs_error == pytest.approx(0.5)
    assert output.mean_abs_error == pytest.approx(0.15)
    assert output.relative_error == pytest.approx(0.125)
    assert not found.passed
    assert found.problem == "output 'y': relative error 0.125 is above 0.1"
    assert found.deterministic == "not judged"


def test_values_that_are_not_finite_are_counted_and_never_pass() -> None:
    def spoil(array: Any) -> Any:
        array[0, :3] = np.nan
        array[1, 0] = np.inf
        return array

    found = compare_outputs(_pool(), _changed(_pool(), spoil), None, _ANY)
    assert not found.passed
    assert found.problem == "output 'scores': 12 of 120 values not finite"
    assert found.outputs[0].not_finite == 12


def test_a_reference_that_is_infinite_on_purpose_may_be_matched_but_nan_may_not() -> None:
    masked = {"scores": [np.array([[1.0, -np.inf]])]}
    assert compare_outputs(masked, masked, None, Tolerance()).passed
    broken = {"scores": [np.array([[1.0, np.nan]])]}
    assert not compare_outputs(broken, broken, None, Tolerance()).passed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_finite_value_where_the_reference_has_none_is_wrong(value: float) -> None:
    reference, variant = {"y": [np.array([[1.0, value, value]])]}, {"y": [np.array([[1.0, 7.0, -3.0]])]}
    for tolerance in (Tolerance(), _ANY):
        found = compare_outputs(reference, variant, None, tolerance)
        assert not found.passed
        assert found.problem == "output 'y': 2 of 3 values are finite where the reference's are not"


def test_an_infinity_of_the_other_sign_is_wrong() -> None:
    reference, variant = {"y": [np.array([[1.0, -np.inf]])]}, {"y": [np.array([[1.0, np.inf]])]}
    assert compare_outputs(reference, variant, None, Tolerance()).problem == "output 'y': 1 of 2 values not finite"


def test_a_first_run_with_values_that_are_not_finite_and_a_second_without_are_unstable() -> None:
    first, second = {"y": [np.array([[1.0, np.inf]])]}, {"y": [np.array([[1.0, 2.0]])]}
    assert compare_outputs(first, first, second, Tolerance()).deterministic == "unstable"


_BY_COSINE = Tolerance(relative_error=None, cosine=0.99)
_BY_CLASS = Tolerance(relative_error=None, top1_agreement_ratio=0.99)


def test_an_output_that_no_limit_can_judge_does_not_pass() -> None:
    boxes = {"boxes": [np.ones((2, 3, 4))]}
    found = compare_outputs(boxes, {"boxes": [np.full((2, 3, 4), 9.0)]}, None, _BY_CLASS)
    assert not found.passed
    assert "'boxes' cannot be judged by top1_agreement_ratio" in found.problem
    assert "(batch, classes)" in found.problem
    assert "set a limit for cosine or relative_error" in found.problem
    masked = {"y": [np.array([[1.0, -np.inf]])]}
    found = compare_outputs(masked, masked, None, _BY_COSINE)
    assert not found.passed
    assert "'y' cannot be judged by cosine" in found.problem
    assert "set a limit for relative_error as well" in found.problem


def test_each_output_needs_a_limit_of_its_own_that_can_be_computed() -> None:
    mixed = {"scores": [np.eye(4)], "boxes": [np.ones((4, 2, 2))]}
    found = compare_outputs(mixed, mixed, None, _BY_CLASS)
    assert "'boxes' cannot be judged" in found.problem
    assert "'scores'" not in found.problem
    both = Tolerance(relative_error=None, top1_agreement_ratio=0.99, cosine=0.99)
    assert compare_outputs(mixed, mixed, None, both).passed


def test_an_output_without_values_cannot_be_judged_and_says_why() -> None:
    empty = {"boxes": [np.ones((0, 4))]}
    found = compare_outputs(empty, empty, None, Tolerance())
    assert "cannot be judged by relative_error: it holds no values" in found.problem
    assert compare_outputs(empty, empty, None, _ANY).passed


def test_without_limits_only_names_and_finiteness_are_judged() -> None:
    found = compare_outputs(_pool(), _changed(_pool(), lambda array: array + 100), None, _ANY)
    assert (found.passed, found.problem) == (True, "")
    accurate = Tolerance(relative_error=None, accuracy_loss_ratio=0.01)
    assert compare_outputs(_pool(), _changed(_pool(), lambda array: array + 100), None, accurate).passed


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1)])
def test_the_cosine_of_samples_of_one_number_is_that_of_all_of_them_together(shape: tuple[int, ...]) -> None:
    reference, variant = np.array([3.0, 4.0, 0.1, 0.1]), np.array([0.1, 0.1, 3.0, 4.0])
    found = compare_outputs({"y": [reference.reshape(shape)]}, {"y": [variant.reshape(shape)]}, None, _BY_COSINE)
    assert found.outputs[0].cosine == pytest.approx(1.4 / 25.02)
    assert not found.passed
    alone = [{"y": [value.reshape(1, *shape[1:]) for value in values]} for values in (reference, variant)]
    assert compare_outputs(alone[0], alone[1], None, _BY_COSINE).outputs[0].cosine == pytest.approx(1.4 / 25.02)


def test_a_single_number_in_all_has_no_cosine() -> None:
    found = compare_outputs({"y": [np.array([[3.0]])]}, {"y": [np.array([[700.0]])]}, None, _BY_COSINE)
    assert found.outputs[0].cosine is None
    assert "'y' cannot be judged by cosine: cosine needs two values or more" in found.problem


def test_outputs_are_matched_by_name_and_a_mismatch_names_both_lists() -> None:
    found = compare_outputs(_pool(), {"logits": _pool()["scores"]}, None, Tolerance())
    assert not found.passed
    assert "['logits']" in found.problem
    assert "['scores']" in found.problem


def test_the_order_of_outputs_does_not_matter() -> None:
    first = {"a": [np.ones((1, 2))], "b": [np.zeros((1, 3))]}
    assert compare_outputs(first, dict(reversed(first.items())), None, Tolerance()).passed


def test_shapes_and_kinds_that_cannot_be_compared_are_named() -> None:
    wide = {"scores": [np.zeros((4, 11))] * 3}
    assert "shape (4, 11)" in compare_outputs(_pool(), wide, None, Tolerance()).problem
    text = {"scores": [np.full((4, 10), "cat")] * 3}
    assert "cannot be compared" in compare_outputs(_pool(), text, None, Tolerance()).problem
    assert "1 batches" in compare_outputs(_pool(), {"scores": _pool()["scores"][:1]}, None, Tolerance()).problem


def test_batches_of_different_shapes_are_compared_one_by_one() -> None:
    pool = {"tokens": [np.ones((1, 5, 3)), np.ones((1, 9, 3))]}
    assert compare_outputs(pool, pool, None, Tolerance()).outputs[0].values == 42


def test_cosine_is_the_mean_over_samples_whatever_their_length() -> None:
    reference = {"y": [np.array([[1000.0, 0.0], [0.0, 1.0]])]}
    variant = {"y": [np.array([[500.0, 0.0], [1.0, 0.0]])]}
    assert compare_outputs(reference, variant, None, _ANY).outputs[0].cosine == pytest.approx(0.5)
    strict = compare_outputs(reference, variant, None, Tolerance(relative_error=None, cosine=0.9))
    assert strict.problem == "output 'y': cosine 0.5 is below 0.9"


def test_zero_vectors_have_a_cosine() -> None:
    zero, one = {"y": [np.zeros((2, 3))]}, {"y": [np.ones((2, 3))]}
    assert compare_outputs(zero, zero, None, _ANY).outputs[0].cosine == 1
    assert compare_outputs(zero, one, None, _ANY).outputs[0].cosine == 0


def test_any_error_on_a_reference_of_zeros_is_too_large() -> None:
    zero, tiny = {"y": [np.zeros((2, 3))]}, {"y": [np.full((2, 3), 1e-6)]}
    found = compare_outputs(zero, tiny, None, Tolerance(relative_error=0.5))
    assert not found.passed
    assert np.isfinite(found.outputs[0].relative_error or np.nan)


def test_top1_agreement_counts_samples_and_exists_only_for_scores_of_classes() -> None:
    reference = {"y": [np.eye(4)]}
    variant = {"y": [np.eye(4)[[0, 1, 2, 0]]]}
    assert compare_outputs(reference, variant, None, _ANY).outputs[0].top1_agreement_ratio == 0.75
    strict = Tolerance(relative_error=None, top1_agreement_ratio=0.99)
    assert "top-1 agreement 0.75 is below 0.99" in compare_outputs(reference, variant, None, strict).problem
    for other in (np.zeros((4, 1)), np.zeros((2, 3, 4)), np.zeros(4), np.zeros((4, 4), dtype=np.int64)):
        assert compare_outputs({"y": [other]}, {"y": [other]}, None, _ANY).outputs[0].top1_agreement_ratio is None


@pytest.mark.parametrize(("wobble", "expected", "passes"), [(1e-5, "within tolerance", True), (0.1, "unstable", False)])
def test_a_second_run_tells_whether_the_variant_is_deterministic(wobble: float, expected: str, passes: bool) -> None:
    repeat = _changed(_pool(), lambda array: array * np.float32(1 + wobble))
    found = compare_outputs(_pool(), _pool(), repeat, Tolerance())
    assert found.deterministic == expected
    assert found.passed is passes


def test_an_unstable_variant_is_only_reported_where_no_tolerance_is_set() -> None:
    found = compare_outputs(_pool(), _pool(), _changed(_pool(), lambda array: -array), _ANY)
    assert (found.deterministic, found.passed) == ("unstable", True)


def test_accuracy_has_a_wilson_interval() -> None:
    labels = np.zeros(100, dtype=int)
    predictions = np.where(np.arange(100) < 90, 0, 1)
    found = accuracy(predictions, labels, predictions)
    assert (found.correct, found.total, found.ratio.value) == (90, 100, 0.9)
    assert found.ratio.interval is not None
    assert (found.ratio.interval.low, found.ratio.interval.high) == pytest.approx((0.8256343, 0.9447708), abs=1e-6)
    assert (found.reference_only_right, found.variant_only_right, found.p_value) == (0, 0, 1.0)


def test_mcnemar_looks_only_at_samples_that_one_of_the_two_got_right() -> None:
    labels = np.zeros(1000, dtype=int)
    reference, variant = labels.copy(), labels.copy()
    variant[:9] = 1
    reference[9:10] = 1
    found = accuracy(variant, labels, reference)
    assert (found.reference_only_right, found.variant_only_right) == (9, 1)
    assert found.p_value == pytest.approx(2 * 11 / 2**10)  # 1 or fewer of 10 fair coins, either side


def test_accuracy_lost_beyond_the_tolerance_is_a_problem() -> None:
    labels = np.zeros(100, dtype=int)
    found = accuracy(np.where(np.arange(100) < 3, 1, 0), labels, labels)
    assert accuracy_problem(found, Tolerance()) == ""
    assert accuracy_problem(found, Tolerance(accuracy_loss_ratio=0.03)) == ""
    assert "falls by 3.00%" in accuracy_problem(found, Tolerance(accuracy_loss_ratio=0.02))


def test_predictions_that_do_not_fit_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="3 predictions"):
        accuracy(np.zeros(3), np.zeros(4), np.zeros(4))


def test_a_file_too_small_to_hold_the_weights_is_named_with_both_sizes() -> None:
    problem = size_problem(38_000, 2_300_000, Tolerance())
    assert "38000 bytes" in problem
    assert "2300000" in problem


def test_four_bit_weights_and_an_unset_limit_are_no_problem() -> None:
    assert size_problem(300_000, 2_300_000, Tolerance()) == ""
    assert size_problem(1, 2_300_000, Tolerance(min_size_ratio=None)) == ""
