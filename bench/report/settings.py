"""What cells have in common, and how they are reached, in words."""

from __future__ import annotations

from dataclasses import replace

from bench.core.artifact import Scalar
from bench.core.cell import Cell, LoadPlan, Variant
from bench.core.units import format_bytes

#: Values that need the option's name to say something.
_TELLS_NOTHING = ("", "none", "auto", "default", "on", "off")
_PLAIN_LOAD = LoadPlan()
_ANY_VARIANT = Variant(name="", source="", adapter="")


def settings_of(cell: Cell) -> str:
    """Batch, threads, sizes and limits, which the cells of a group have in common."""
    threads = cell.limits.threads
    parts = [f"batch {cell.batch}", f"{threads} {'thread' if threads == 1 else 'threads'}"]
    for dimension in cell.dimensions:
        between = "–" if dimension.kind == "uniform" else "/"
        parts.append(f"{dimension.name} {between.join(map(str, dimension.values))}")
    if cell.limits.cpu_ids is not None:
        parts.append(f"processors {','.join(map(str, cell.limits.cpu_ids))}")
    if cell.limits.cpu_quota_cores is not None:
        parts.append(f"quota {cell.limits.cpu_quota_cores:g} processors")
    if cell.limits.memory_limit_bytes is not None:
        parts.append(f"at most {format_bytes(cell.limits.memory_limit_bytes)}")
    return ", ".join(parts)


def in_process(cell: Cell) -> Cell:
    """The same variant under the same setting without a server."""
    return replace(cell, topology="direct", topology_options=(), load=_PLAIN_LOAD)


def of_any_variant(cell: Cell) -> Cell:
    """What all topologies, loads and variants of a model under one setting have in common."""
    return replace(in_process(cell), variant=_ANY_VARIANT)


def topology_text(cell: Cell) -> str:
    """The topology with the options that are given, e.g. `multiprocess (reuse_port, 2 workers)`."""
    given = ", ".join(_option_text(name, value) for name, value in cell.topology_options)
    return f"{cell.topology} ({given})" if given else cell.topology


def _option_text(name: str, value: Scalar | tuple[Scalar, ...]) -> str:
    """An option in as few words as tell it from the others: of a word only the word, of a number what it counts."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, int | float):
        return f"{value:g} {name}"
    if isinstance(value, tuple):
        return f"{name} {'/'.join(map(str, value))}"
    return f"{name} {value}" if value in _TELLS_NOTHING else value


def load_text(plan: LoadPlan) -> str:
    """How requests arrive, e.g. `poisson 50/s` or `closed, 4 callers`."""
    if plan.kind == "closed":
        return f"closed, {plan.concurrency} {'caller' if plan.concurrency == 1 else 'callers'}"
    if plan.kind == "trace":
        return f"trace {plan.trace_path.rpartition('/')[2]}"
    rate = (
        f"{plan.rate_per_s:g}/s" if plan.rate_per_s is not None else f"{100 * (plan.load_ratio or 0.0):g} % of the most"
    )
    if plan.kind == "ramp" and plan.end_rate_per_s is not None:
        rate += f" to {plan.end_rate_per_s:g}/s"
    if plan.kind == "burst" and plan.burst_size is not None:
        rate += f", {plan.burst_size} at once"
    return f"{plan.kind} {rate}"
