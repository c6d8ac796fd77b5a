"""How often a rule calls equal programs different, and how often it finds a real slowdown of 5 %: on this machine, now.

    python benchmarks/false_alarms.py [--model conv|mlp] [--pairs 60] [--minutes 5] [--seed 0] [--json]

One session is three fresh workers, started and driven by the machinery of a run: `a` and `b` open the same ONNX file,
`slow` opens one that really does 5 % more work (more rows through the same convolutions, or a layer more).
Each rule must get its data in the order in which its tool would measure, so every worker is timed twice in a session:

* interleaved: 10 blocks of at least 50 ms each, workers taking turns in the order of a run (a random permutation, then
  its reverse); for our rule, and for the rank test on interleaved calls;
* in a row: 0.4 s without a pause, first `a`, then the two others; for the tools that measure A, then B. Where such a
  tool takes several processes a side, A is `a` of consecutive sessions and B is the other worker of the sessions that
  follow, since it would run all processes of A before the first of B.

All rules so judge the same processes within the same minutes. Shares are counted twice: over disjoint groups of
sessions in the order in which they ran (independent, with exact binomial intervals), and over many overlapping groups
(smoother, no interval): for our rule random draws of sessions, with the sides exchanged at random in A/A, for the
others every run of consecutive sessions. A slowdown counts as found only when the rule says "slower".

A third column judges `b` with its times multiplied by 1.05, as if a slowdown of exactly 5 % had no noise of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from comparison_rules import MEASUREMENT, RULES, SLOWDOWN, Session, Share, disjoint, overlapping

from bench.core.artifact import Artifact, TensorSpec
from bench.core.block import Block, Counters
from bench.core.cell import Cell, Limits, ModelRef, Variant
from bench.core.errors import BenchError, HostError
from bench.core.files import sha256_file
from bench.core.job import MeasureJob
from bench.measure.comparison import pair_log_ratio
from bench.measure.schedule import block_orders, calls_per_block
from bench.measure.statistics import over_rounds
from bench.runner.crew import Crew, outcome_of
from bench.supervise import Answer, Child, Supervisor

SIDES = ("a", "b", "slow")
#: Side -> what its column shows.
COLUMNS = {"b": "A/A: called different", "slow": "5 % more work: found", "scaled": "times x 1.05: found"}


def write_model(path: Path, kind: str, work_ratio: float) -> tuple[TensorSpec, TensorSpec]:
    """A small network with seeded weights and about `work_ratio` times the work; returns its input and output.

    conv: three 3x3 convolutions over rows x 32 pixels, 60 kB of weights, all in cache. mlp: 20 dense layers of 560,
    25 MB of weights, read from memory at every call; more work is more layers.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    channels = (3, 16, 32, 32)
    rows = round(100 * work_ratio)
    shape: tuple[int, ...] = (1, channels[0], rows, 32)
    weights = [rng.normal(0, 0.1, (after, before, 3, 3)) for before, after in pairwise(channels)]
    output_shape: tuple[int, ...] = (1, channels[-1], rows, 32)
    if kind == "mlp":
        shape = output_shape = (1, 560)
        weights = [rng.normal(0, 0.05, (560, 560)) for _ in range(round(20 * work_ratio))]
    nodes, name = [], "input"
    for layer in range(len(weights)):
        following = "output" if layer == len(weights) - 1 else f"relu{layer}"
        operator, options = ("MatMul", {}) if kind == "mlp" else ("Conv", {"pads": [1, 1, 1, 1]})
        nodes.append(helper.make_node(operator, [name, f"w{layer}"], [f"linear{layer}"], **options))
        nodes.append(helper.make_node("Relu", [f"linear{layer}"], [following]))
        name = following
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(values.astype(np.float32), f"w{i}") for i, values in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return (
        TensorSpec(name="input", dtype="float32", shape=shape),
        TensorSpec(name="output", dtype="float32", shape=output_shape),
    )


class Collector:
    """Starts three fresh workers a session and times them in turns and in a row."""

    def __init__(self, supervisor: Supervisor, directory: Path, kind: str, seed: int) -> None:
        from bench.zoo.inputs import synthetic_inputs, write_pool

        for name in ("jobs", "logs"):
            (directory / name).mkdir()
        self._crew = Crew(supervisor, directory, width=os.cpu_count() or 1, deadline_s=120.0, seed=seed)
        self._seed = seed
        self._jobs: dict[str, MeasureJob] = {}
        for side, ratio in zip(SIDES, (1.0, 1.0, SLOWDOWN), strict=True):
            path, pool = directory / f"{side}.onnx", directory / f"{side}.npz"
            input_spec, output_spec = write_model(path, kind, ratio)
            write_pool(pool, synthetic_inputs([input_spec], count=1, batch=1, dimensions=(), seed=0))
            self._jobs[side] = MeasureJob(
                cell=Cell(
                    model=ModelRef(name=kind, kind="path", location=str(path), format="onnx"),
                    variant=Variant(name=side, source="onnx", adapter="onnxruntime"),
                ),
                artifact=Artifact(
                    id=sha256_file(path),
                    format="onnx",
                    path=str(path),
                    size_bytes=path.stat().st_size,
                    inputs=(input_spec,),
                    outputs=(output_spec,),
                ),
                round=0,
                pool_path=str(pool),
            )

    def session(self, number: int) -> Session:
        """One session with fresh processes; HostError when one of them does not come through."""
        children: dict[str, Child] = {}
        try:
            for side, job in self._jobs.items():
                children[side] = self._crew.hire(job, f"{side}.{number}", Limits(threads=1))
            warm = {"measurement": msgspec.to_builtins(MEASUREMENT), "rotate": False}
            calls = {}
            for side, child in children.items():
                self._ask(child, "open", {})
                estimate_ns = self._ask(child, "warm", warm)["estimate_ns"]
                calls[side] = calls_per_block(estimate_ns, MEASUREMENT), math.ceil(0.4e9 / estimate_ns)
            interleaved = self._in_turns(children, {side: turns for side, (turns, _) in calls.items()}, number)
            others = random.Random(self._seed + number).sample(SIDES[1:], 2)
            row = {side: self._block(children[side], calls[side][1]) for side in ("a", *others)}
        finally:
            self._crew.dismiss(children.values())
        in_a_row = {side: np.asarray(block.steady_ns, dtype=np.float64) for side, block in row.items()}
        return Session(interleaved=interleaved, in_a_row=in_a_row)

    def _in_turns(self, children: dict[str, Child], calls: dict[str, int], number: int) -> dict[str, tuple[Block, ...]]:
        blocks: dict[str, list[Block]] = {side: [] for side in children}
        for index, order in enumerate(block_orders(len(SIDES), MEASUREMENT.blocks, self._seed + number)):
            for place in order:
                side = SIDES[place]
                blocks[side].append(replace(self._block(children[side], calls[side]), index=index))
        return {side: tuple(made) for side, made in blocks.items()}

    def _block(self, child: Child, calls: int) -> Block:
        body = self._ask(child, "block", {"calls": calls, "rotate": False})
        return Block(
            round=0,
            index=0,
            latencies_ns=tuple(body["latencies_ns"]),
            settling_calls=body["settling_calls"],
            wall_ns=body["wall_ns"],
            counters=msgspec.convert(body["counters"], Counters),
        )

    def _ask(self, child: Child, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._crew.ask(child, verb, body)
        if not isinstance(reply, Answer):
            raise HostError(f"a worker gave no answer: {outcome_of(reply).reason}")
        return reply.body


def collect(kind: str, pairs: int, minutes: float, seed: int) -> list[Session]:
    """Sessions until there are `pairs` or `minutes` are over."""
    ends_s = time.monotonic() + minutes * 60
    sessions: list[Session] = []
    with tempfile.TemporaryDirectory(prefix="deploybench-false-alarms-") as name, Supervisor(Path(name)) as supervisor:
        collector = Collector(supervisor, Path(name), kind, seed)
        while len(sessions) < pairs and time.monotonic() < ends_s:
            sessions.append(collector.session(len(sessions)).with_scaled())
            if len(sessions) % 10 == 0:
                print(f"{len(sessions)} of {pairs} sessions", file=sys.stderr)
    return sessions


def effect(sessions: Sequence[Session], side: str) -> dict[str, float]:
    """The true ratio of p25 to `a`'s, from all sessions."""
    logs = [pair_log_ratio(session.interleaved["a"], session.interleaved[side]) for session in sessions]
    found = over_rounds([math.exp(log) for log in logs])
    low, high = (found.interval.low, found.interval.high) if found.interval else (math.nan, math.nan)
    return {"ratio": found.value or math.nan, "low": low, "high": high, "sd": float(np.std(logs))}


def judge_all(sessions: Sequence[Session], draws: int, seed: int) -> dict[str, dict[str, tuple[Share, Share]]]:
    """Rule -> side -> shares over disjoint and over overlapping groups."""
    return {
        rule.name: {
            side: (
                disjoint(rule, sessions, side),
                overlapping(rule, sessions, side, draws=draws, seed=seed),
            )
            for side in COLUMNS
        }
        for rule in RULES
    }


def main(words: Sequence[str] | None = None) -> int:
    """Collect, judge, print."""
    parser = argparse.ArgumentParser(description="false alarms and found slowdowns of our rule and of others")
    parser.add_argument("--model", choices=("conv", "mlp"), default="conv", help="in cache, or 25 MB of weights (conv)")
    parser.add_argument("--pairs", type=int, default=60, help="sessions of fresh workers (60)")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="collect at most so long; judging takes one more (5)"
    )
    parser.add_argument("--draws", type=int, default=200, help="random draws for our rule (200)")
    parser.add_argument("--seed", type=int, default=0, help="of orders and draws (0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    chosen = parser.parse_args(words)
    load_before = os.getloadavg()
    try:
        sessions = collect(chosen.model, chosen.pairs, chosen.minutes, chosen.seed)
    except BenchError as error:
        print(f"error ({error.culprit}): {error.message}", file=sys.stderr)
        return error.exit_code
    facts = {
        "model": chosen.model,
        "sessions": len(sessions),
        "load_before": load_before,
        "load_after": os.getloadavg(),
        "p50_ms": float(np.median([np.median(session.in_a_row["a"]) for session in sessions])) / 1e6,
        "waiting_share": _waiting_share(sessions),
        "effects": {side: effect(sessions, side) for side in ("b", "slow")},
    }
    shares = judge_all(sessions, chosen.draws, chosen.seed)
    if chosen.json:
        plain = {
            name: {side: [share.plain() for share in pair] for side, pair in sides.items()}
            for name, sides in shares.items()
        }
        print(json.dumps({**facts, "rules": plain}, indent=2))
    else:
        print_tables(facts, shares)
    return 0


def _waiting_share(sessions: Sequence[Session]) -> float:
    blocks = [block for session in sessions for side in SIDES for block in session.interleaved[side]]
    return sum(block.counters.run_delay_ns for block in blocks) / sum(block.wall_ns for block in blocks)


def print_tables(facts: dict[str, Any], shares: dict[str, dict[str, tuple[Share, Share]]]) -> None:
    """What was measured, then one table over disjoint groups and one over overlapping ones."""
    print(
        f"{facts['model']}, p50 {facts['p50_ms']:.3g} ms, {facts['sessions']} sessions of three fresh workers;"
        f" load average {facts['load_before'][0]:.1f} before, {facts['load_after'][0]:.1f} after;"
        f" workers waited {facts['waiting_share']:.0%} of the time for a processor"
    )
    for side, what in (("b", "equal"), ("slow", "5 % more work")):
        found = facts["effects"][side]
        print(
            f"{what}: p25 ratio over all sessions {found['ratio']:.4f} [{found['low']:.4f}–{found['high']:.4f}],"
            f" standard deviation between sessions {found['sd']:.2%}"
        )
    for place, title in enumerate(("disjoint groups of sessions", "overlapping groups and draws")):
        print(f"\n{title:38}" + "".join(f"  {column:>26}" for column in COLUMNS.values()))
        for name, sides in shares.items():
            print(f"{name:38}" + "".join(f"  {_cell(sides[side][place], place):>26}" for side in COLUMNS))


def _cell(share: Share, place: int) -> str:
    """Share in percent, how many, and where the answers are independent the interval."""
    if not share.total:
        return "too few sessions"
    low, high = share.interval
    between = f" [{100 * low:.0f}–{100 * high:.0f}]" if place == 0 else ""
    return f"{share.hits / share.total:.0%} of {share.total}{between}"


if __name__ == "__main__":
    sys.exit(main())
