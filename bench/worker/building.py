"""Children that make things: a source artifact, a step's artifact, the pools of inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.core import plugins
from bench.core.artifact import TensorSpec
from bench.core.cell import Dimension, ModelRef
from bench.core.contracts import Examples, StepResult
from bench.core.errors import MatrixError
from bench.core.job import ExamplesJob, InputsJob, MembersJob, SourceJob, StepJob

from .protocol import Answer, Say
from .zoo_models import zoo_model

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, LabelledSet


_MADE_UP_EXAMPLES = 64


class BuildPerformer:
    """Answers the single verb `make` for members, source, step, examples and inputs jobs."""

    def __init__(self, job: MembersJob | SourceJob | StepJob | ExamplesJob | InputsJob) -> None:
        self._job = job

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Make what the job describes; the answer is a StepResult, or what is known of the pools."""
        if verb != "make":
            raise ValueError(f"a {self._job.kind} job does not know the verb {verb!r}")
        say(self._job.kind)
        started = time.perf_counter()
        answer = self._make()
        return {**answer, "duration_s": time.perf_counter() - started}

    def _make(self) -> Answer:
        if isinstance(self._job, MembersJob):
            return _list_members(self._job)
        if isinstance(self._job, SourceJob):
            return _plain(_make_source(self._job))
        if isinstance(self._job, StepJob):
            return _plain(_apply_step(self._job))
        if isinstance(self._job, ExamplesJob):
            return _make_examples(self._job)
        return _make_inputs(self._job)


def _plain(result: StepResult) -> Answer:
    answer: Answer = msgspec.to_builtins(result, enc_hook=str)
    return answer


def _list_members(job: MembersJob) -> Answer:
    from bench.adapters.inspect import external_members

    return {"members": list(external_members(job.path))}


def _make_source(job: SourceJob) -> StepResult:
    if job.model.kind == "path":
        from bench.adapters.inspect import signature

        inputs, outputs = signature(job.format, job.model.location)
        return StepResult(format=job.format, path=Path(job.model.location), inputs=inputs, outputs=outputs)
    result: StepResult = zoo_model(job.model).build(job.format, Path(job.out_dir))
    return result


def _apply_step(job: StepJob) -> StepResult:
    step = plugins.load("steps", job.step.name)
    options = step.Options(**dict(job.step.options))
    examples = _read_examples(Path(job.examples_path)) if job.examples_path else None
    result: StepResult = step.apply(job.source, options, Path(job.out_dir), examples)
    return result


def _make_examples(job: ExamplesJob) -> Answer:
    from bench.zoo.inputs import pool_digest

    examples = _gather_examples(job)
    _write_samples(Path(job.path), examples.inputs, examples.labels)
    labels = {} if examples.labels is None else {"labels": examples.labels}
    return {"sha256": pool_digest([examples.inputs, labels]), "has_labels": bool(labels)}


def _gather_examples(job: ExamplesJob) -> Examples:
    """The user's own samples first, then the zoo model's real ones, then made-up ones that fit the signature."""
    model = job.model
    if model.examples_path:
        from bench.zoo.user_inputs import user_examples

        examples = user_examples(Path(model.examples_path), job.inputs, dimensions=job.dimensions)
        if model.inputs_path:
            judged = user_examples(Path(model.inputs_path), job.inputs, dimensions=job.dimensions)
            _require_apart(model.examples_path, _samples(examples.inputs), _samples(judged.inputs))
        return examples
    if model.kind != "path":
        return zoo_model(model).examples()
    batches = _made_up(model, job.inputs, count=_MADE_UP_EXAMPLES, batch=1, dimensions=job.dimensions, seed=job.seed)
    return Examples(inputs=_joined(batches))


def _make_inputs(job: InputsJob) -> Answer:
    from bench.zoo.inputs import pool_digest, write_pool

    batches, labelled = _gather_inputs(job)
    write_pool(Path(job.pool_path), batches)
    if labelled is not None and job.labelled_path:
        _write_samples(Path(job.labelled_path), labelled.inputs, labelled.labels)
    return {
        "sha256": pool_digest(batches),
        "batches": len(batches),
        "labels": 0 if labelled is None else len(labelled.labels),
        "metric": "" if labelled is None else labelled.metric,
    }


def _gather_inputs(job: InputsJob) -> tuple[Sequence[Batch], LabelledSet | None]:
    """The user's own samples first, then the zoo model's real ones, then valid made-up ones for any signature."""
    model = job.model
    if model.inputs_path:
        from bench.zoo.user_inputs import user_inputs

        return user_inputs(
            Path(model.inputs_path),
            job.inputs,
            count=job.count,
            batch=job.batch,
            dimensions=job.dimensions,
            seed=job.seed,
        )
    if model.kind != "path":
        offered = zoo_model(model)
        batches = offered.sample_inputs(count=job.count, batch=job.batch, dimensions=job.dimensions, seed=job.seed)
        return batches, offered.labelled()
    batches = _made_up(model, job.inputs, count=job.count, batch=job.batch, dimensions=job.dimensions, seed=job.seed)
    return batches, None


def _samples(inputs: Batch) -> set[bytes]:
    """Each sample as the bytes of all its inputs."""
    count = len(next(iter(inputs.values())))
    return {b"".join(inputs[name][position].tobytes() for name in sorted(inputs)) for position in range(count)}


def _require_apart(path: str, examples: set[bytes], judged: set[bytes]) -> None:
    shared = len(examples & judged)
    if shared:
        raise MatrixError(
            f"{path}: {shared} of its {len(examples)} samples are among the inputs too",
            hint="take them out: what a step learned from must not judge its result",
        )


def _made_up(
    model: ModelRef,
    inputs: Sequence[TensorSpec],
    *,
    count: int,
    batch: int,
    dimensions: Sequence[Dimension],
    seed: int,
) -> list[Batch]:
    from bench.adapters.inspect import vocabulary
    from bench.zoo.inputs import synthetic_inputs

    rows = vocabulary(model.format, model.location)
    known = min(rows.values(), default=None)
    return synthetic_inputs(inputs, count=count, batch=batch, dimensions=dimensions, seed=seed, vocabulary=known)


def _joined(batches: Sequence[Batch]) -> Batch:
    import numpy as np

    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _write_samples(path: Path, inputs: Batch, labels: Array | None) -> None:
    import numpy as np

    arrays: dict[str, Any] = {f"inputs/{name}": values for name, values in inputs.items()}
    if labels is not None:
        arrays["labels"] = labels
    np.savez(path, **arrays)


def _read_examples(path: Path) -> Examples:
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        inputs = {name.removeprefix("inputs/"): stored[name] for name in stored.files if name.startswith("inputs/")}
        return Examples(inputs=inputs, labels=stored["labels"] if "labels" in stored.files else None)
