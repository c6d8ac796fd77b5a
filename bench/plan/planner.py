"""Ask tables and plug-ins, without importing any framework, whether each cell can run on this host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bench.core import plugins
from bench.core.artifact import Options
from bench.core.cell import Cell, Group, Limits, ModelRef, StepCall, Variant
from bench.core.errors import BenchError, RefusedError
from bench.core.results import Outcome
from bench.core.trust import require_trust


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCell:
    """A cell, and why it cannot run here (None: it can)."""

    cell: Cell
    obstacle: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The groups of the matrix with every cell judged."""

    groups: tuple[Group, ...]
    cells: tuple[PlannedCell, ...]

    @property
    def runnable(self) -> tuple[Cell, ...]:
        """Cells that can run here."""
        return tuple(planned.cell for planned in self.cells if planned.obstacle is None)

    @cached_property
    def obstacles(self) -> dict[str, Outcome]:
        """Cell id -> why it cannot run here."""
        return {planned.cell.id: planned.obstacle for planned in self.cells if planned.obstacle is not None}


def make_plan(groups: Sequence[Group]) -> Plan:
    """Judge every cell; equal models, variants and limits are judged once, so that 10 000 cells stay cheap."""
    judge = _Judge()
    cells = tuple(PlannedCell(cell=cell, obstacle=judge.obstacle(cell)) for group in groups for cell in group.cells)
    return Plan(groups=tuple(groups), cells=cells)


class _Judge:
    """The questions asked of a cell, in the order of what a user would mend first; answers are remembered."""

    def __init__(self) -> None:
        self._of_model = lru_cache(maxsize=None)(_model_obstacle)
        self._of_variant = lru_cache(maxsize=None)(_variant_obstacle)
        self._of_limits = lru_cache(maxsize=None)(_limits_obstacle)
        self._of_topology = lru_cache(maxsize=None)(_topology_obstacle)

    def obstacle(self, cell: Cell) -> Outcome | None:
        return (
            self._of_model(cell.model)
            or self._of_variant(cell.model, cell.variant)
            or self._of_topology(cell.topology, cell.topology_options, _final_format(cell.variant))
            or self._of_limits(cell.limits)
        )


def _skipped(reason: str, hint: str, culprit: str) -> Outcome:
    return Outcome(status="skipped", reason=reason, hint=hint, culprit=culprit, phase="plan")


def _asked(question: Callable[[], Outcome | None]) -> Outcome | None:
    """The answer, with an error on the way turned into the outcome it means."""
    try:
        return question()
    except RefusedError as error:
        return Outcome(
            status="refused", reason=error.message, hint=error.hint or "", culprit=error.culprit, phase="plan"
        )
    except BenchError as error:
        return _skipped(error.message, error.hint or "", error.culprit)


def _missing(kind: str, name: str) -> Outcome | None:
    spec = plugins.lookup(kind, name)
    if spec.is_disabled:
        return _skipped(f"{name} is {spec.summary}", "bench doctor", "plug-in")
    missing = spec.missing_packages()
    if not missing:
        return None
    return _skipped(f"{name} needs {', '.join(missing)}, not installed", plugins.install_hint(missing), "package")


def _model_obstacle(model: ModelRef) -> Outcome | None:
    def question() -> Outcome | None:
        if model.kind == "path":
            require_trust(model.format, model.location, trusted=model.trusted)
            return None
        if model.kind == "null":
            return None
        from bench.zoo.fetch import missing_data

        problem = missing_data(model.location)
        if problem:
            return _skipped(problem, f"python -m bench.zoo.fetch {model.location}", "zoo")
        return _missing("models", model.location)

    return _asked(question)


def _variant_obstacle(model: ModelRef, variant: Variant) -> Outcome | None:
    def question() -> Outcome | None:
        offered = (model.format,) if model.kind == "path" else _formats_offered(model)
        if variant.source not in offered:
            return _skipped(
                f"variant {variant.name} starts from {variant.source}, {model.name} offers {', '.join(offered)}",
                f"list only fitting variants under models.{model.name}.variants",
                "matrix",
            )
        return _chain_obstacle(model, variant) or _missing("adapters", variant.adapter)

    return _asked(question)


def _formats_offered(model: ModelRef) -> tuple[str, ...]:
    return plugins.lookup("models", "null" if model.kind == "null" else model.location).accepts


def _chain_obstacle(model: ModelRef, variant: Variant) -> Outcome | None:
    format = variant.source
    for call in variant.steps:
        obstacle = _missing("steps", call.name) or _examples_obstacle(model, call) or _step_obstacle(call, format)
        if obstacle:
            return obstacle
        format = plugins.lookup("steps", call.name).produces or format
    return None


def _examples_obstacle(model: ModelRef, call: StepCall) -> Outcome | None:
    """A step must not learn from the samples it is judged on, so the user's `inputs` alone are not enough."""
    learns_from = plugins.lookup("steps", call.name).learns_from
    made_up = model.kind == "path" and not model.inputs_path and learns_from == "inputs"
    if not learns_from or model.examples_path or model.kind == "zoo" or made_up:
        return None
    what = "labelled samples" if learns_from == "labels" else "samples"
    return _skipped(
        f"{call.name} learns from {what} that are not its inputs, and {model.name} has none",
        f"name a file under models.{model.name}.examples",
        "matrix",
    )


def _step_obstacle(call: StepCall, format: str) -> Outcome | None:
    step = plugins.load("steps", call.name)
    blockers = step.blockers(format, step.Options(**dict(call.options)))
    return _skipped(f"{call.name}: {'; '.join(blockers)}", "bench doctor", "host") if blockers else None


def _final_format(variant: Variant) -> str:
    """What the chain of steps leaves to be served."""
    format = variant.source
    for call in variant.steps:
        format = plugins.lookup("steps", call.name).produces or format
    return format


def _topology_obstacle(name: str, given: Options, format: str) -> Outcome | None:
    def question() -> Outcome | None:
        missing = _missing("topologies", name)
        if missing:
            return missing
        topology = plugins.load("topologies", name)()
        reasons = topology.blockers(format, topology.Options(**dict(given)))
        return _skipped(f"{name}: {'; '.join(reasons)}", "bench list topologies", "host") if reasons else None

    return _asked(question)


def _limits_obstacle(limits: Limits) -> Outcome | None:
    def question() -> Outcome | None:
        from bench.limits import blockers

        reasons = blockers(limits)
        return _skipped("; ".join(reasons), "bench list limiters", "host") if reasons else None

    return _asked(question)
