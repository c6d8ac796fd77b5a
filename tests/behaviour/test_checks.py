"""Each check of behaviour finds the fault it is for, and passes a model without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from bench.behaviour import Subject, make_check
from bench.core.behaviour import CHECKS, OutputRange, output_range
from bench.core.errors import MatrixError, TargetError

Outputs = Mapping[str, Any]
_WEIGHTS = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)


def _pool(batch: int = 4) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.random((batch, 6), dtype=np.float32)} for _ in range(3)]


def _sound(batch: Mapping[str, Any]) -> Outputs:
    with np.errstate(invalid="ignore"):
        return {"scores": np.stack([sample @ _WEIGHTS for sample in batch["x"]])}


def _subject(run: Callable[[Mapping[str, Any]], Outputs], **facts: Any) -> Subject:
    return Subject(run=run, pool=facts.pop("pool", _pool()), tolerance=1e-3, **facts)


def _status(check: str, run: Callable[[Mapping[str, Any]], Outputs], **facts: Any) -> str:
    return make_check(check, _subject(run, **facts)).status


def test_a_sound_model_fails_no_check() -> None:
    results = [make_check(check, _subject(_sound, before=_sound(_pool()[0]))) for check in CHECKS]
    assert [result.check for result in results] == list(CHECKS)
    assert {result.status for result in results} <= {"passed", "skipped"}


def test_answers_that_are_not_finite_fail() -> None:
    assert _status("answers", lambda batch: {"y": np.full(4, np.nan)}) == "failed"


def test_noise_within_the_tolerance_is_a_warning_and_beyond_it_a_failure() -> None:
    rng = np.random.default_rng(2)

    def noisy(scale: float) -> Callable[[Mapping[str, Any]], Outputs]:
        return lambda batch: {"y": batch["x"] + scale * rng.random(batch["x"].shape)}

    assert _status("determinism", noisy(1e-5)) == "warned"
    assert _status("determinism", noisy(0.1)) == "failed"


def test_a_scale_taken_over_the_whole_batch_is_found() -> None:
    def scaled(batch: Mapping[str, Any]) -> Outputs:
        return {"y": np.round(batch["x"] / batch["x"].max() * 7) * batch["x"].max() / 7}

    result = make_check("batch_invariance", _subject(scaled))
    assert result.status == "failed"
    assert "alone" in result.text
    assert _status("batch_invariance", _sound, pool=_pool(1)) == "skipped"


def test_numbers_behind_an_output_of_texts_are_compared_too() -> None:
    rng = np.random.default_rng(2)

    def named(batch: Mapping[str, Any]) -> Outputs:
        return {"label": np.array(["a", "b", "c", "d"], dtype=object), "y": batch["x"] + rng.random(batch["x"].shape)}

    assert _status("determinism", named) == "failed"


def test_a_text_that_changes_is_a_difference_without_bounds() -> None:
    texts = iter("abcdef")
    assert _status("determinism", lambda batch: {"label": np.array([next(texts)])}) == "failed"


def test_the_same_answer_to_everything_is_found() -> None:
    assert _status("distinct_outputs", lambda batch: {"y": np.ones(4)}) == "failed"


def test_zeros_that_divide_by_zero_are_found() -> None:
    with np.errstate(invalid="ignore"):
        assert _status("zeros", lambda batch: {"y": batch["x"] / batch["x"].max()}) == "failed"


def test_nan_that_reaches_the_neighbours_or_is_hidden_is_told_apart() -> None:
    def spreading(batch: Mapping[str, Any]) -> Outputs:
        return {"y": batch["x"] - batch["x"].mean()}

    assert _status("not_a_number", spreading) == "failed"
    assert _status("not_a_number", lambda batch: {"y": np.nan_to_num(batch["x"])}) == "warned"
    assert _status("not_a_number", lambda batch: {"y": batch["x"]}) == "passed"


def test_a_model_that_remembers_a_corrupt_input_is_found() -> None:
    seen: list[float] = [0.0]

    def remembering(batch: Mapping[str, Any]) -> Outputs:
        seen[0] = max(seen[0], float(np.isnan(batch["x"]).sum()))
        return {"y": batch["x"] + seen[0]}

    result = make_check("not_a_number", _subject(remembering))
    assert result.status == "failed"
    assert "after NaN" in result.text


def test_overflow_of_huge_inputs_is_a_warning() -> None:
    with np.errstate(over="ignore"):
        assert _status("extreme_values", lambda batch: {"y": np.exp(batch["x"])}) == "warned"


def test_unknown_ids_must_be_refused() -> None:
    pool = [{"ids": np.ones((2, 3), np.int64)}]

    def careful(batch: Mapping[str, Any]) -> Outputs:
        if batch["ids"].max() > 9:
            raise TargetError("index out of range")
        return {"y": batch["ids"].astype(np.float32)}

    assert _status("ids_out_of_range", careful, pool=pool) == "passed"
    assert _status("ids_out_of_range", lambda batch: {"y": np.zeros(2)}, pool=pool) == "warned"
    assert _status("ids_out_of_range", _sound) == "skipped"


def test_outputs_beyond_the_users_range_fail_with_what_was_seen() -> None:
    result = make_check("output_range", _subject(_sound, ranges=[OutputRange(output="scores", low=0, high=0.1)]))
    assert result.status == "failed"
    assert "beyond 0 to 0.1" in result.text
    unknown = make_check("output_range", _subject(_sound, ranges=[OutputRange(output="other", low=0, high=1)]))
    assert "no numeric output 'other'" in unknown.text


def test_known_cases_name_those_that_come_out_wrong() -> None:
    cases = _pool()[0]
    right = _sound(cases)["scores"].argmax(axis=1)
    labels = right.copy()
    labels[2] = 3 - labels[2]
    batches = [({"x": cases["x"][:2]}, 2), ({"x": cases["x"][2:]}, 2)]
    facts: dict[str, Any] = {"cases": batches, "predict": lambda outputs: outputs["scores"].argmax(axis=1)}
    assert _status("known_cases", _sound, labels=right, **facts) == "passed"
    result = make_check("known_cases", _subject(_sound, labels=labels, **facts))
    assert result.status == "failed"
    assert "1 of 4" in result.text
    assert "case 2" in result.text


def test_samples_that_only_fill_up_a_batch_of_known_cases_are_not_judged() -> None:
    filled = _pool()[0]
    labels = _sound(filled)["scores"].argmax(axis=1)[:3]
    result = make_check(
        "known_cases",
        _subject(_sound, cases=[(filled, 3)], labels=labels, predict=lambda outputs: outputs["scores"].argmax(axis=1)),
    )
    assert (result.status, result.text) == ("passed", "all 3 known cases come out right")


def test_a_model_of_a_fixed_batch_is_not_given_single_samples() -> None:
    def fixed(batch: Mapping[str, Any]) -> Outputs:
        if len(batch["x"]) != 4:
            raise TargetError("4 samples are expected")
        return _sound(batch)

    result = make_check("batch_invariance", _subject(fixed, fixed_batch=4))
    assert (result.status, result.text) == ("skipped", "the model takes batches of 4 and no single samples")


def test_a_copy_that_answers_otherwise_fails_the_round_trip() -> None:
    assert _status("round_trip", _sound, before={"scores": _sound(_pool()[0])["scores"] + 1}) == "failed"


def test_a_model_that_refuses_valid_inputs_fails_in_one_line() -> None:
    def refusing(batch: Mapping[str, Any]) -> Outputs:
        raise TargetError("no")

    assert make_check("determinism", _subject(refusing)).text == "the model cannot answer valid inputs: no"


def test_a_range_may_have_one_open_end_and_nonsense_is_refused() -> None:
    assert output_range("scores=0:") == OutputRange(output="scores", low=0, high=float("inf"))
    for text in ("scores", "scores=a:b", "=1:2"):
        with pytest.raises(MatrixError) as caught:
            output_range(text)
        assert caught.value.hint
