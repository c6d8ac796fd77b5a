"""The arithmetic and the words of `benchmarks/servers.py`, and one short run of it.

Its claims are checked by running it on a quiet machine.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.artifact import Artifact
from bench.core.errors import HostError
from bench.core.serving import LOOPBACK, Service, Site
from benchmarks.peers import command, environments
from benchmarks.peers.contenders import CONTENDERS, WRAPPERS, Contender, description_of, endpoint_of, prepare
from benchmarks.peers.environments import Environment
from benchmarks.peers.measuring import Plan
from benchmarks.peers.rows import CPU, TAIL, Row, Side, best_encoding, claim, comparisons, ratio, summaries
from benchmarks.peers.table import claims, commands, ratios, table

OURS, PEER = "ours: simple", "peer"
PEERS = [contender for contender in CONTENDERS if contender.environment is not None]


def rows(name: str, encoding: str, costs_us: list[float], **more: object) -> list[Row]:
    """One good row a round."""
    return [
        Row(contender=name, encoding=encoding, round=number, cpu_us=cost, p99_ms=cost / 100, **more)  # type: ignore[arg-type]
        for number, cost in enumerate(costs_us)
    ]


def test_a_ratio_is_taken_inside_each_round() -> None:
    drift = [1000.0, 2000.0, 4000.0]
    measured = rows(OURS, "json", [0.5 * cost for cost in drift]) + rows(PEER, "json", drift)
    found = ratio(measured, Side(contender=OURS, encoding="json"), Side(contender=PEER, encoding="json"), CPU)
    assert found is not None
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_a_round_in_which_one_side_is_bad_counts_for_nothing() -> None:
    ours, theirs = rows(OURS, "json", [500, 9000]), rows(PEER, "json", [1000, 1000])
    ours[1] = replace(ours[1], problem="wrong answers")
    found = ratio(ours + theirs, Side(contender=OURS, encoding="json"), Side(contender=PEER, encoding="json"), CPU)
    assert found is not None
    assert found.high == 0.5
    (summary, _) = summaries(ours + theirs)
    assert (summary.rounds, summary.numbers["cpu_us"], summary.problems) == (1, 500, ("wrong answers",))


@pytest.mark.parametrize(
    ("costs_us", "answer"),
    [([500, 900], "yes"), ([500, 1100], "undecided"), ([1000, 1100], "no"), ([500], "undecided")],
)
def test_ours_is_ahead_only_when_every_round_says_so(costs_us: list[float], answer: str) -> None:
    measured = rows(OURS, "json", costs_us) + rows(PEER, "json", [1000, 1000])
    same, _ = comparisons(measured, OURS, PEER)
    assert claim(measured, same, CPU) == answer


def test_one_encoding_in_which_ours_is_behind_settles_the_claim() -> None:
    measured = [
        *rows(OURS, "json", [500, 500]), *rows(PEER, "json", [1000, 1000]),
        *rows(OURS, "kserve", [1500, 1500]), *rows(PEER, "kserve", [1000, 1000]),
    ]  # fmt: skip
    assert claim(measured, comparisons(measured, OURS, PEER)[0], CPU) == "no"


def test_a_peer_without_a_good_round_is_not_measured() -> None:
    measured = [*rows(OURS, "json", [500]), Row(contender=PEER, encoding="json", round=0, problem="did not start: x")]
    same, best = comparisons(measured, OURS, PEER)
    assert (claim(measured, same, CPU), best) == ("not measured", [])
    assert "did not start: x" in "\n".join(table(measured))


def test_encodings_that_both_speak_are_compared_and_each_ones_best() -> None:
    measured = [*rows(OURS, "json", [900]), *rows(OURS, "binary", [300]), *rows(PEER, "json", [2000])]
    same, best = comparisons(measured, OURS, PEER)
    assert [(ours.encoding, theirs.encoding) for ours, theirs in same] == [("json", "json")]
    assert [(ours.encoding, theirs.encoding) for ours, theirs in best] == [("binary", "json")]
    assert best_encoding(measured, OURS) == Side(contender=OURS, encoding="binary")


def test_lines_say_ratios_verdicts_and_what_was_started() -> None:
    measured = [
        *rows(OURS, "json", [470, 470], memory_bytes=64 << 20),
        *rows(PEER, "json", [1000, 1000], commands=(("peer", "a b"),)),
    ]
    assert next(ratios(measured, OURS, [PEER])) == (
        "ours: simple (json) vs peer (json): server CPU 0.47x [0.47–0.47], in the closed loop not measured,"
        " p99 0.47x [0.47–0.47]"
    )
    assert next(claims(measured, OURS, [PEER])) == (
        "ours: simple is ahead of peer in server CPU per request at the same encoding: yes"
    )
    assert list(commands(measured, {PEER: "no access log"})) == ["peer: peer 'a b'", "    no access log"]
    heading, _, ours, *_ = table(measured)
    assert (heading.split()[:2], ours.split()[-2:]) == (["server", "encoding"], ["64", "-"])


def test_a_late_load_generator_leaves_processor_time_and_says_why_there_is_no_p99() -> None:
    measured = [replace(row, p99_ms=None) for row in rows(OURS, "json", [500, 500])] + rows(PEER, "json", [1000, 1000])
    same, _ = comparisons(measured, OURS, PEER)
    assert (claim(measured, same, CPU), claim(measured, same, TAIL)) == ("yes", "not measured")
    assert "took the load generator's core" in "\n".join(table(measured))


@pytest.mark.parametrize("contender", PEERS, ids=lambda contender: contender.name)
def test_a_peer_is_started_on_loopback_from_its_own_environment_and_calls_nobody(
    contender: Contender, tmp_path: Path
) -> None:
    assert contender.environment is not None
    assert contender.describe is not None
    ports = iter(range(40_001, 40_009))
    artifact = Artifact(id="0", format="onnx", path=str(tmp_path / "m.onnx"), size_bytes=0, inputs=(), outputs=())
    service = Service(model="m", artifact=artifact, adapter="onnxruntime")
    site = Site(directory=tmp_path, counters_dir=tmp_path, nonce="", free_port=lambda: next(ports))
    described = contender.describe(service, site, contender.environment)
    process = description_of(described, contender.encodings[0], "m").processes[0]
    assert process.argv[0].startswith(str(contender.environment.bin))
    variables = dict(process.environment)
    assert (variables["DEPLOYBENCH_MODEL"], variables["DO_NOT_TRACK"]) == (artifact.path, "1")
    told = " ".join(process.argv) + "".join(path.read_text() for path in tmp_path.glob("*.json"))
    wrapper = next((path for path in WRAPPERS.glob("*.py") if path.name in told), WRAPPERS / "session.py")
    assert contender.listens_everywhere or LOOPBACK in told + wrapper.read_text()
    assert process.ready.port == endpoint_of(described, "json", "m").port
    if "kserve_grpc" in contender.encodings:
        endpoint = endpoint_of(described, "kserve_grpc", "m")
        assert (endpoint.protocol, endpoint.port != process.ready.port) == ("grpc", True)


def test_an_environment_is_installed_once_and_again_when_its_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    ran: list[list[str]] = []

    def run(name: str, command: list[str]) -> None:
        ran.append(command)
        (tmp_path / "peers" / name).mkdir(exist_ok=True)

    monkeypatch.setattr(environments, "_run", run)
    first, second = (Environment(name="p", requirements=(f"p=={version}",)) for version in "12")
    for wanted in (first, first, second):
        environments.ensure(wanted, lambda text: None)
    assert [command[-2] for command in ran if "pip" in command] == ["p==1", "p==2"]
    assert all(command[-1].startswith("onnxruntime==") for command in ran if "pip" in command)


def test_a_peer_that_cannot_be_installed_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(environment: Environment, tell: object) -> None:
        raise HostError("p cannot be installed: no network", hint="check it")

    monkeypatch.setattr("benchmarks.peers.contenders.ensure", fail)
    going, skipped = command.ready([PEERS[0]])
    assert (going, skipped) == ([], {PEERS[0].name: "p cannot be installed: no network; check it"})


def test_a_name_that_no_server_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.arguments(["--only", "nobody"])
    assert "mlserver" in capsys.readouterr().err


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    plan = Plan(
        rate_per_s=50, open_s=1, closed_s=1, callers=1, slo_ms=50, search_s=0, server_cpu=0, client_cpu=1, seed=0
    )
    command.written(tmp_path / "out.json", rows(PEER, "json", [1000]), plan, {"other": "no network"})
    told = json.loads((tmp_path / "out.json").read_text())
    assert (told["rows"][0]["cpu_us"], told["skipped"], told["plan"]["callers"]) == (1000, {"other": "no network"}, 1)


@pytest.mark.slow
def test_our_simple_server_is_measured_in_two_encodings() -> None:
    simple = next(contender for contender in CONTENDERS if contender.name == OURS)
    cpus = sorted(command.affinity())
    plan = Plan(
        rate_per_s=100, open_s=0.5, closed_s=0.2, callers=2, slo_ms=50, search_s=0.0,
        server_cpu=cpus[0], client_cpu=cpus[-1], seed=0,
    )  # fmt: skip
    assert prepare(simple, lambda text: None) == ""
    two = replace(simple, encodings=("kserve_binary", "json"))
    measured = command.measure([two], plan, 1, quick=False)
    assert [(row.encoding, row.problem) for row in measured] == [("json", ""), ("kserve_binary", "")]
    assert all(row.first_answer_s and row.x_max_per_s and row.memory_bytes and row.processes == 1 for row in measured)
