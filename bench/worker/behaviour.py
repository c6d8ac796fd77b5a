"""The child that checks how a model behaves: a check a question, so that one that kills it costs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.behaviour import Subject, make_check
from bench.core import plugins
from bench.core.artifact import TensorSpec
from bench.core.contracts import Examples, Session
from bench.core.job import BehaviourJob
from bench.zoo.inputs import read_pool

from .checking import full_batches, predictor, without_objects
from .protocol import Answer, Say

#: Before the name of each output, for numpy takes some names for itself.
_ANSWER = "answers/"


class BehaviourPerformer:
    """Answers open, then any number of check, and remember, which writes the answers for another process."""

    def __init__(self, job: BehaviourJob) -> None:
        self._job = job
        self._subject: Subject | None = None

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Do one verb."""
        if verb == "open":
            say("load")
            self._subject = self._open()
            return {}
        if self._subject is None:
            raise RuntimeError("asked before open")
        if verb == "remember":
            say("answers")
            answers = self._subject.run(self._subject.batch)
            arrays: dict[str, Any] = {_ANSWER + name: values for name, values in answers.items()}
            np.savez(self._job.before_path, **arrays)
            return {}
        say(body["check"])
        result: Answer = msgspec.to_builtins(make_check(body["check"], self._subject))
        return result

    def _open(self) -> Subject:
        job, variant = self._job, self._job.cell.variant
        adapter = plugins.load("adapters", variant.adapter)
        options = adapter.Options(**dict(variant.adapter_options))
        session: Session = adapter.open(job.artifact, threads=job.cell.limits.threads, options=options)
        pool = read_pool(Path(job.pool_path))
        cases = self._cases()
        size = len(next(iter(pool[0].values())))  # what the model takes, also where it fixes its batch itself
        return Subject(
            run=lambda batch: {name: without_objects(values) for name, values in session.run(batch).items()},
            pool=pool,
            tolerance=job.tolerance,
            fixed_batch=_fixed_batch(job.artifact.inputs),
            ranges=job.ranges,
            cases=tuple(full_batches(cases.inputs, size)) if cases.inputs else (),
            labels=cases.labels,
            predict=predictor(job.cell.model, job.artifact),
            before=self._before(),
        )

    def _cases(self) -> Examples:
        from bench.zoo.user_inputs import user_examples

        if not self._job.cases_path:
            return Examples(inputs={})
        return user_examples(
            Path(self._job.cases_path), self._job.artifact.inputs, dimensions=self._job.cell.dimensions
        )

    def _before(self) -> Mapping[str, Any]:
        path = Path(self._job.before_path)
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as stored:
            return {name.removeprefix(_ANSWER): stored[name] for name in stored.files}


def _fixed_batch(inputs: Sequence[TensorSpec]) -> int:
    firsts = [spec.shape[0] for spec in inputs if spec.shape]
    return max((first for first in firsts if isinstance(first, int) and first > 1), default=0)
