"""Null models on the test stand: rounds of fresh supervised workers without a run around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.core.artifact import Artifact, Options
from bench.core.block import Block
from bench.core.cell import Cell, Limits, Measurement, ModelRef, Variant
from bench.core.errors import HostError
from bench.environment import effective_cpus
from bench.supervise import Supervisor

from .crew import Crew
from .prepared import Pool, Prepared, RoundOfCell
from .rounds import Round
from .timeline import Timeline


class Stand:
    """Null models on the test stand: one round of some of them at a time, with fresh workers."""

    def __init__(self, supervisor: Supervisor, directory: Path) -> None:
        from bench.zoo.inputs import write_pool
        from bench.zoo.null import Null

        for name in ("jobs", "logs"):
            (directory / name).mkdir()
        self.supervisor = supervisor
        self.directory = directory
        self._crew = Crew(supervisor, directory, width=effective_cpus(), deadline_s=60.0, seed=0)
        model = Null()
        built = model.build("null", directory)
        self._artifact = Artifact(
            id="0",
            format="null",
            path=str(built.path),
            size_bytes=built.path.stat().st_size,
            inputs=built.inputs,
            outputs=built.outputs,
        )
        self._pool = Pool(path=str(directory / "pool.npz"), sha256="", labelled_path="", metric="")
        write_pool(Path(self._pool.path), model.sample_inputs(count=1, batch=1, dimensions=(), seed=0))
        self._rounds = 0

    def run(
        self,
        models: dict[str, Options],
        measurement: Measurement,
        *,
        limits: Limits | None = None,
        between_blocks: Callable[[], None] = lambda: None,
    ) -> dict[str, tuple[Block, ...]]:
        """Blocks by name of one round; HostError when a worker did not come through."""
        cells = [self._cell(name, options, limits or Limits()) for name, options in models.items()]
        this_round = Round(self._crew, self.directory, measurement, Timeline(), index=self._rounds, check=False)
        self._rounds += 1
        results = this_round.run(cells, between_blocks)
        return {name: _whole(name, result) for name, result in zip(models, results, strict=True)}

    def _cell(self, name: str, options: Options, limits: Limits) -> Prepared:
        variant = Variant(name=name, source="null", adapter="null", adapter_options=options)
        model = ModelRef(name="selfcheck", kind="null", location="")
        return Prepared(
            cell=Cell(model=model, variant=variant, limits=limits),
            artifact=self._artifact,
            pool=self._pool,
            source_sha256="",
        )


def _whole(name: str, result: RoundOfCell) -> tuple[Block, ...]:
    if result.outcome is not None:
        raise HostError(f"the worker for {name} ended: {result.outcome.reason}", hint="bench doctor")
    return result.blocks
