"""The command line of `benchmarks/servers.py`: who is measured in which order, and what is printed."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from bench.core.errors import BenchError
from bench.environment import affinity
from bench.runner.crew import Crew
from bench.supervise import Supervisor

from .contenders import CONTENDERS, OURS, Contender, prepare
from .environments import versions
from .measuring import Bench, Plan
from .model import make_subject
from .rows import CPU, Row, claim, comparisons
from .table import claims, commands, ratios, table

_SIMPLE = f"{OURS}simple"
_INPUTS = 8


def tell(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def ready(chosen: Sequence[Contender]) -> tuple[list[Contender], dict[str, str]]:
    """Those that can be measured, and why the others cannot."""
    going, skipped = [], {}
    for contender in chosen:
        try:
            reason = prepare(contender, tell)
        except BenchError as error:
            reason = f"{error.message}{f'; {error.hint}' if error.hint else ''}"
        if reason:
            skipped[contender.name] = reason
            tell(f"skipped {contender.name}: {reason}")
        else:
            going.append(contender)
    return going, skipped


def measure(going: Sequence[Contender], plan: Plan, rounds: int, *, quick: bool) -> list[Row]:
    """All rows; HostError or Interrupted when it cannot go on, with nothing left behind."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="deploybench-servers-") as name,
        Supervisor(Path(name)) as supervisor,
    ):
        directory = Path(name)
        for part in ("jobs", "logs"):
            (directory / part).mkdir()
        crew = Crew(supervisor, directory, width=1, deadline_s=60.0, seed=plan.seed)
        private = supervisor.isolation == "namespace"
        bench = Bench(crew, make_subject(directory, _INPUTS), plan, directory, has_private_network=private)
        for number in range(rounds):
            for contender in random.Random(plan.seed + number).sample(list(going), len(going)):
                encodings = contender.encodings[: contender.quick] if quick else contender.encodings
                searched = encodings[: contender.searched] if plan.search_s and number == rounds - 1 else ()
                for row in bench.measure(contender, encodings, number, searched=searched):
                    told = row.problem or f"{row.cpu_us:.0f} us of CPU per request"
                    tell(f"round {number + 1} of {rounds}: {row.contender}, {row.encoding}: {told}")
                    rows.append(row)
    order = {contender.name: place for place, contender in enumerate(going)}
    return sorted(rows, key=lambda row: (order[row.contender], row.encoding, row.round))


def report(rows: Sequence[Row], plan: Plan, skipped: dict[str, str]) -> int:
    """Print everything; the exit code says whether ours is ahead of every peer in processor time."""
    peers = [name for name in dict.fromkeys(row.contender for row in rows) if not name.startswith(OURS)]
    print(
        f"64x64x3 CNN, onnxruntime {metadata.version('onnxruntime')}, 1 thread; servers on CPU {plan.server_cpu}, load"
        f" generator on CPU {plan.client_cpu}; open load {plan.rate_per_s:g}/s for {plan.open_s:g} s, closed loop of"
        f" {plan.callers} callers for {plan.closed_s:g} s, objective p99 <= {plan.slo_ms:g} ms; medians over"
        f" {len({row.round for row in rows})} rounds; load average {os.getloadavg()[0]:.1f}"
    )
    settings = {contender.name: contender.settings for contender in reversed(CONTENDERS)}
    sections = [table(rows), ratios(rows, _SIMPLE, peers), claims(rows, _SIMPLE, peers)]
    for lines in (
        *sections,
        commands(rows, settings),
        (f"skipped {name}: {reason}" for name, reason in skipped.items()),
    ):
        print("\n".join(("", *lines)))
    answers = [claim(rows, comparisons(rows, _SIMPLE, peer)[0], CPU) for peer in peers]
    return 0 if answers and all(answer == "yes" for answer in answers) else 1


def written(path: Path, rows: Sequence[Row], plan: Plan, skipped: dict[str, str]) -> None:
    """The raw numbers as JSON, with the versions of everything that is installed beside each peer."""
    installed = {each.name: versions(each.environment) for each in CONTENDERS if each.environment is not None}
    told = {
        "plan": asdict(plan),
        "rows": [asdict(row) for row in rows],
        "skipped": skipped,
        "versions": installed,
        "load_average": os.getloadavg(),
    }
    path.write_text(json.dumps(told, indent=2), encoding="utf-8")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(description="one model behind our servers and behind others, on one core")
    parser.add_argument("--quick", action="store_true", help="shorter loads, fewer encodings, no search")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(names)}; parts of names do"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second of the open load (50)")
    parser.add_argument("--rounds", type=int, default=2, help="fresh starts of each server (2)")
    parser.add_argument("--slo-ms", type=float, default=50.0, help="objective for p99 (50)")
    parser.add_argument("--seed", type=int, default=0, help="of orders and arrivals (0)")
    parser.add_argument("--out", type=Path, help="write the raw numbers to this file as JSON")
    chosen = parser.parse_args(words)
    for word in chosen.only:
        if not any(word in name for name in names):
            parser.error(f"--only {word}: no server is called so; there are {', '.join(names)}")
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    """Install, measure, print."""
    chosen = arguments(words)
    cpus = sorted(affinity())
    if len(cpus) < 2:
        print("error: the server and the load generator need a core each, and there is one", file=sys.stderr)
        return 3
    plan = Plan(
        rate_per_s=chosen.rate,
        open_s=3.0 if chosen.quick else 7.0,
        closed_s=1.0 if chosen.quick else 1.5,
        callers=8,
        slo_ms=chosen.slo_ms,
        search_s=0.0 if chosen.quick else 20.0,
        server_cpu=cpus[0],
        client_cpu=cpus[-1],
        seed=chosen.seed,
    )
    wanted = [each for each in CONTENDERS if not chosen.only or any(word in each.name for word in chosen.only)]
    try:
        going, skipped = ready([each for each in wanted if each.quick or not chosen.quick])
        rows = measure(going, plan, chosen.rounds, quick=chosen.quick)
    except BenchError as error:
        print(f"error ({error.culprit}): {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # while something is installed; later the supervisor sees to it
        print("interrupted; what is half installed is installed anew next time", file=sys.stderr)
        return 130
    if chosen.out:
        written(chosen.out, rows, plan, skipped)
    return report(rows, plan, skipped)
