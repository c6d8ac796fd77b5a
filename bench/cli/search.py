"""`bench search`: the highest rate at which a server keeps a latency goal, or how to share out its processors."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.one_cell import OneCell, add_one_cell_arguments, chosen_cell, count, options_of
from bench.cli.search_words import plan_lines, search_lines
from bench.cli.streams import printable
from bench.core.canonical import slug
from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.runner import Watcher
    from bench.runner.replicas import Candidate
    from bench.runner.searching import Effort, Objective

_NOT_FOUND = 3
_USUAL_BUDGET_S = 120.0
_PERCENTS = (50, 90, 95, 99)
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?) *(us|ms|s|min)", re.IGNORECASE)
_SLO = re.compile(r"(p[0-9.]+) *= *(.+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What is kept, under which name, whether it has a rate that was confirmed, and how it is told."""

    found: Any
    name: str
    is_confirmed: bool
    lines: Iterable[str]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is searched for what, with how much effort."""
    add_one_cell_arguments(parser)
    parser.add_argument(
        "--slo", type=_slo, required=True, metavar="P=TIME", help="the goal, e.g. p99=20ms; p50, p90 and p95 go too"
    )
    parser.add_argument(
        "--errors", type=_share, default=0.0, metavar="SHARE", help="requests that may fail, e.g. 0.1%% (none)"
    )
    parser.add_argument(
        "--budget",
        type=_budget,
        default=_USUAL_BUDGET_S,
        metavar="TIME",
        help=f"how long to load the server, e.g. 10min; or full, for the whole search ({_USUAL_BUDGET_S:g}s)",
    )
    parser.add_argument("--plan", action="store_true", help="try every way to share out the processors, and rank them")
    parser.add_argument(
        "--delay",
        action="append",
        type=_delay_ms,
        default=[],
        metavar="TIME",
        help="with --plan: how long requests wait for others, e.g. 2ms; repeatable (0)",
    )
    parser.add_argument("--cpus", type=count, metavar="N", help="processors for the servers (all that they may use)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where it is kept (results)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def _slo(text: str) -> tuple[int, float]:
    """(percent, seconds)."""
    found = _SLO.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no goal: write it as p99=20ms")
    percents = {f"p{percent}": percent for percent in _PERCENTS}
    percent = percents.get(found[1].lower())
    if percent is None:
        raise argparse.ArgumentTypeError(f"{found[1]} cannot be searched for: {', '.join(percents)} can")
    return percent, _duration_s(found[2])


def _duration_s(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS_S[found[2].lower()] if found is not None else 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time above 0: write it as 20ms, 0.02s or 2min")
    return seconds


def _delay_ms(text: str) -> float:
    return 0.0 if text == "0" else _duration_s(text) * 1e3


def _budget(text: str) -> float | None:
    return None if text == "full" else _duration_s(text)


def _share(text: str) -> float:
    """A share of all requests: 0.001, or 0.1%."""
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of the requests: write it as 0, 0.001 or 0.1%")
    return share


def execute(words: argparse.Namespace) -> int:
    """Search, print what was found, and keep it; 3 when no rate was confirmed."""
    from bench import records
    from bench.cli.progress import Progress
    from bench.runner import searching

    percent, latency_s = words.slo
    objective = searching.Objective(percent=percent, latency_ms=latency_s * 1e3, error_budget_ratio=words.errors)
    effort = searching.Effort(budget_s=words.budget, cpus=words.cpus)
    candidates, cell = (_candidates(words), None) if words.plan else ((), _cell(words))
    results_dir = records.writable_directory(words.results, "--results")
    with records.exclusive_writer(results_dir, "bench search"):
        with Progress(sys.stderr) as progress:
            if cell is not None:
                answer = _searched(cell, objective, effort, progress)
            else:
                answer = _planned(candidates, objective, effort, progress)
        _show(answer, as_json=words.json)  # first: whatever becomes of the file, the answer has been seen
        kept = searching.keep_search(results_dir, answer.found, answer.name)
    if not words.json:
        print(f"kept: {kept}")
    return 0 if answer.is_confirmed else _NOT_FOUND


def _cell(words: argparse.Namespace) -> OneCell:
    if words.delay:
        raise MatrixError("--delay is for --plan", hint="--option max_batch=8 --option batch_delay_ms=2")
    return chosen_cell(words)


def _candidates(words: argparse.Namespace) -> Sequence[Candidate]:
    """Every way to share out the processors, checked before anything is built."""
    from bench.runner import replicas

    if words.topology not in {"", replicas.TOPOLOGY} or words.threads:
        raise MatrixError(
            f"--plan chooses threads and serves by {replicas.TOPOLOGY}", hint="leave --topology and --threads out"
        )
    given = tuple(options_of(words.option).items())
    found = []
    for plan in replicas.replica_plans(words.cpus, words.delay):
        options = dict(replicas.topology_options(plan, given))
        cell = chosen_cell(words, topology=replicas.TOPOLOGY, options=options, threads=plan.threads)
        found.append(replicas.Candidate(plan=plan, matrix=cell.matrix, cell=cell.cell, reference=cell.reference))
    return found


def _searched(chosen: OneCell, objective: Objective, effort: Effort, watcher: Watcher) -> _Answer:
    from bench.runner.searching import search_cell

    found = search_cell(chosen.matrix, chosen.cell, chosen.reference, objective, effort, watcher)
    return _Answer(found=found, name=found.cell_id, is_confirmed=found.is_confirmed, lines=search_lines(found))


def _planned(candidates: Sequence[Candidate], objective: Objective, effort: Effort, watcher: Watcher) -> _Answer:
    from bench.runner.replicas import try_replicas

    tried = try_replicas(candidates, objective, effort, watcher)
    cell = candidates[0].cell
    name = f"{cell.model.name}.{cell.variant.name}"
    return _Answer(
        found=tried,
        name=f"plan-{slug(name)}",
        is_confirmed=tried[0].rate_per_s is not None,
        lines=plan_lines(name, objective, tried),
    )


def _show(answer: _Answer, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(json.dumps(msgspec.to_builtins(answer.found), indent=2))
        return
    for line in answer.lines:
        print(printable(line))
    sys.stdout.flush()
