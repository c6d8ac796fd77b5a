"""Whether variants still compute the reference's answers, from the files their workers wrote in the first round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.core.cell import Tolerance
from bench.core.results import Accuracy, Fidelity

from .prepared import CellRun, RoundOfCell

if TYPE_CHECKING:
    import numpy as np

    Outputs = dict[str, list[np.ndarray[Any, np.dtype[Any]]]]


#: Formats whose file tells where the weights come from.
_WITHOUT_WEIGHTS = frozenset({"null", "python_callable"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """Fidelity and accuracy of one cell; None where there was nothing to judge them by."""

    fidelity: Fidelity | None = None
    accuracy: Accuracy | None = None


def check(run: CellRun, reference: CellRun | None, tolerance: Tolerance) -> Checked:
    """Compare a cell's outputs with the reference's; without a reference that answered nothing can be said."""
    own, theirs = _checked_round(run), None if reference is None else _checked_round(reference)
    if own is None or theirs is None or reference is None:
        return Checked()
    fidelity = _fidelity(own, theirs, tolerance)
    accuracy, accuracy_problem = _accuracy(run, own, theirs, tolerance)
    problems = [text for text in (fidelity.problem, accuracy_problem, _size_problem(run, reference, tolerance)) if text]
    fidelity = replace(fidelity, passed=not problems, problem="; ".join(problems))
    return Checked(fidelity=fidelity, accuracy=accuracy)


def _size_problem(run: CellRun, reference: CellRun, tolerance: Tolerance) -> str:
    from bench.measure.fidelity import size_problem

    own, theirs = run.prepared.artifact, reference.prepared.artifact
    if _WITHOUT_WEIGHTS & {own.format, theirs.format}:
        return ""
    return size_problem(own.size_bytes, theirs.size_bytes, tolerance)


def _checked_round(run: CellRun) -> RoundOfCell | None:
    return next((result for result in run.rounds if result.outputs_path), None)


def _fidelity(own: RoundOfCell, theirs: RoundOfCell, tolerance: Tolerance) -> Fidelity:
    from bench.measure.fidelity import compare_outputs

    variant = read_outputs(own.outputs_path)
    reference = variant if own is theirs else read_outputs(theirs.outputs_path)
    return compare_outputs(reference["first"], variant["first"], variant["second"], tolerance)


def read_outputs(path: str) -> dict[str, Outputs]:
    """`first` and `second` pass -> output name -> one array a batch."""
    import numpy as np

    passes: dict[str, Outputs] = {"first": {}, "second": {}}
    with np.load(path, allow_pickle=False) as stored:
        for key in sorted(stored.files, key=_batch_of_key):
            run, _, name = key.split("/", 2)
            passes[run].setdefault(name, []).append(stored[key])
    return passes


def _batch_of_key(key: str) -> int:
    return int(key.split("/", 2)[1])


def _accuracy(run: CellRun, own: RoundOfCell, theirs: RoundOfCell, tolerance: Tolerance) -> tuple[Accuracy | None, str]:
    if not (own.predictions_path and theirs.predictions_path):
        return None, ""
    from bench.measure.fidelity import accuracy, accuracy_problem

    labels, predictions, reference_predictions = _read_arrays(
        (run.prepared.pool.labelled_path, "labels"),
        (own.predictions_path, "predictions"),
        (theirs.predictions_path, "predictions"),
    )
    measured = accuracy(predictions, labels, reference_predictions, metric=run.prepared.pool.metric)
    return measured, accuracy_problem(measured, tolerance)


def _read_arrays(*places: tuple[str, str]) -> Sequence[Any]:
    import numpy as np

    arrays = []
    for path, name in places:
        with np.load(path, allow_pickle=False) as stored:
            arrays.append(stored[name])
    return arrays
