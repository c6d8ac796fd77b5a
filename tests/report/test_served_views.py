"""Table, page, Markdown and JSON of a run with servers."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.artifact import LineageStep
from bench.core.cell import LoadPlan
from bench.core.results import Flag, Outcome
from bench.records import RunDirectory
from bench.report import print_run, run_json, write_html, write_markdown
from tests.examples.records import make_cell, make_record, write_run
from tests.examples.served import make_served, make_served_cell, make_served_record
from tests.report.page import Page
from tests.report.served_runs import DIGITS, ONNX, SEED_CNN, served_record, write_served_run
from tests.report.synthetic import HOSTILE_NAMES

_BENIGN_NAMES = tuple(f"name-{letter}" for letter in "abcdefghijk")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return write_served_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def page(run: RunDirectory) -> Page:
    return Page(write_html(run.path))


def table(path: Path) -> str:
    stream = io.StringIO()
    print_run(path, stream)
    return stream.getvalue()


def row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{name}  "))


def figures(page: Page, kind: str) -> list[dict[str, Any]]:
    return [figure for figure in page.figures if figure["kind"] == kind]


def hostile_run(results_dir: Path, names: tuple[str, ...]) -> RunDirectory:
    """Each name in every place of a served cell in which a foreign text can stand."""
    records = []
    for name in names:
        cell = make_served_cell(name, replace(ONNX, name=name), topology=name, options=((name, name),))
        flag = Flag(name=name, text=name, affects=(name,))
        served = replace(make_served(), notes=(name,), protocol=name, encoding=name, agreement=name, flags=(flag,))
        records.append(make_served_record(cell, served))
        broken = replace(cell, topology=f"{name}2")
        outcome = Outcome(status="failed", reason=name, hint=name, phase=name, log_tail=name)
        records.append(make_served_record(broken, served, outcome=outcome))
    return write_run(results_dir, records)


class TestTable:
    def test_each_model_has_its_topologies_beside_its_variant_in_process(self, run: RunDirectory) -> None:
        text = table(run.path)

        assert text.index("seed_cnn  batch 1, 1 thread") < text.index("seed_cnn  behind a server, batch 1, 1 thread")
        behind = text[text.index("seed_cnn  behind a server") :]
        assert re.search(r"^in process +ok .* 6.6 ms .* 184 MB", behind, re.MULTILINE)
        simple = row(behind, "simple")
        assert simple.split("  ")[0] == "simple"
        for told in ("ok, best", " 50/s ", " 7.1 ms ", " 12.3 ms ", "kept, 100.0 %", " 6.74 ms ", "+0.14 ms ±0.05"):
            assert told in simple
        assert re.search(r" 140/s +6.9 ms +310 MB +bitwise \(120\)$", simple)
        assert "needs ~20000 requests" in row(behind, "simple (json)")

    def test_a_load_that_says_nothing_of_the_server_has_no_latency(self, run: RunDirectory) -> None:
        text = table(run.path)

        for name, verdict in (
            ("nginx (round_robin, 2 servers)", "CLIENT-LIMITED"),
            ("queue (rabbitmq, 2 workers)", "saturated"),
            ("queue (redis, 2 workers)", "errors"),
        ):
            assert re.search(rf"{verdict} .* not valid +not valid ", row(text, name))
        assert "50/s, 41.2/s done" in row(text, "queue (rabbitmq, 2 workers)")

    def test_the_layers_of_a_request_stand_below_and_add_up(self, run: RunDirectory) -> None:
        layers = table(run.path).split("where the mean request spends its time, ms\n")[1].splitlines()

        assert layers[0].split() == [
            "topology", "client", "transport", "queue", "deserialise", "infer", "serialise", "server", "sum", "=",
            "end", "to", "end",
        ]  # fmt: skip
        numbers = layers[1].split()[1:]
        assert sum(float(number) for number in numbers[:6]) == pytest.approx(float(numbers[7]), abs=0.01)
        assert "triton" in layers[8]
        assert layers[8].split()[1:] == ["0.020", "–", "–", "–", "–", "–", "11.2", "11.2"]

    def test_decision_notes_and_the_way_to_a_missing_server_are_told(self, run: RunDirectory) -> None:
        text = table(run.path)

        assert "seed_cnn, poisson 50/s: simple keeps p99 within 50 ms (12.3 ms) with 6.9 ms of server CPU" in text
        assert "  its queue is part of the server\n    seed_cnn: onnx behind triton\n" in text
        assert text.count("client and server share processors") == 1
        assert "seed_cnn: all 8 behind a server; digits: saved_model behind tfs_protocol (tfs_grpc)\n" in text
        not_run = text.split("\nnot run\n")[1]
        assert "digits saved_model behind tf_serving: was skipped: needs tensorflow_model_server" in not_run
        assert "next: name the program in $TF_MODEL_SERVER" in not_run

    def test_a_run_of_servers_alone_has_no_table_of_what_to_ship(self, tmp_path: Path) -> None:
        text = table(write_run(tmp_path, [served_record("digits", ONNX, DIGITS[0])]).path)

        assert text.startswith("digits  behind a server, batch 1, 1 thread, poisson 50/s\n")
        assert "time ratio" not in text

    def test_without_an_objective_nothing_is_in_time(self, tmp_path: Path) -> None:
        text = table(write_served_run(tmp_path, slo_ms=None).path)

        assert "in time" not in text
        assert "poisson 50/s: simple has a p50 of 7.1 ms, the lowest; highest: triton, 11.2 ms (1.6x)" in text

    def test_several_loads_get_a_column(self, tmp_path: Path) -> None:
        loads = [LoadPlan(kind="poisson", rate_per_s=rate) for rate in (10.0, 50.0)]

        text = table(write_served_run(tmp_path, loads=loads).path)

        assert re.search(r"^simple +poisson 10/s +ok, best", text, re.MULTILINE)
        assert re.search(r"^seed_cnn, poisson 10/s: simple keeps", text, re.MULTILINE)

    def test_what_steps_say_is_told_of_the_variant_in_process_where_there_is_one(self, tmp_path: Path) -> None:
        inside, behind = make_record(make_cell()), make_served_record()
        assert inside.artifact is not None
        noted = replace(
            inside.artifact,
            lineage=(LineageStep(step="s", options=(), source_id="0", versions=(), notes=("weights in 8 bits",)),),
        )
        inside, behind = replace(inside, artifact=noted), replace(behind, artifact=noted)

        both = table(write_run(tmp_path / "both", [inside, behind]).path)
        served = table(write_run(tmp_path / "served", [behind]).path)

        assert "  weights in 8 bits\n    digits: keras\n" in both
        assert "  weights in 8 bits\n    digits: keras behind multiprocess (reuse_port, 2 workers)\n" in served


class TestPage:
    def test_servers_have_a_section_of_their_own_and_can_be_read_without_seeing(self, page: Page) -> None:
        headings = [attributes["id"] for tag, attributes in page.elements if tag == "h2"]
        assert headings[:3] == ["verdicts", "served", "cells"]
        assert len(page.all("caption")) == len(page.all("table"))
        plots = [attributes for attributes in page.all("div") if "data-figure" in attributes]
        assert all(len(plot["aria-label"]) > 40 for plot in plots)
        assert "simple keeps p99 within 50 ms" in page.text
        for word in ("CLIENT-LIMITED", "saturated", "errors", "skipped"):
            assert f"{word} " in page.text

    def test_curves_have_the_objective_the_most_and_hollow_points(self, page: Page) -> None:
        curves = figures(page, "curves")[0]

        (objective,) = curves["layout"]["shapes"]
        assert (objective["y0"], objective["y1"]) == (50.0, 50.0)
        assert objective["label"]["text"] == "objective 50 ms"
        low, high = curves["layout"]["yaxis"]["range"]
        assert 10**low < 50 < 10**high
        simple = [trace for trace in curves["data"] if trace["name"] == "simple"]
        solid, dashed, alone, most = simple
        assert solid["x"] == pytest.approx([42.0, 50.0, 84.0, 126.0])
        assert dashed["line"]["dash"] == "dash"
        assert dashed["x"] == pytest.approx([42.0, 50.0, 84.0]), "at 0.9 there is no evidence for a p99"
        assert alone["marker"]["symbol"] == "diamond"
        assert most["x"] == [140.0]
        hollow = {trace["name"]: trace for trace in curves["data"] if trace["marker"]["symbol"] == "circle-open"}
        assert set(hollow) == {
            "nginx (round_robin, 2 servers)", "queue (rabbitmq, 2 workers)", "queue (redis, 2 workers)",
        }  # fmt: skip
        assert hollow["queue (rabbitmq, 2 workers)"]["x"] == [41.2]
        assert sum(trace["showlegend"] for trace in curves["data"]) == len(SEED_CNN)

    def test_bars_add_up_to_the_request_and_leave_out_what_is_not_the_servers(self, page: Page) -> None:
        bars = figures(page, "layers")[0]

        inside, *layers = bars["data"]
        assert (inside["x"], inside["y"]) == ([6.6], [0])
        assert [trace["name"] for trace in layers][-1] == "server"
        simple = sum(trace["x"][trace["y"].index(1)] for trace in layers if 1 in trace["y"])
        assert simple == pytest.approx(7.1 * 1.05)
        assert len(bars["layout"]["yaxis"]["ticktext"]) == 6
        assert "Left out, for their numbers are not the server's: nginx (round_robin, 2 servers) (CLIENT-" in page.text

    def test_details_hold_every_load_workers_counts_and_how_requests_failed(self, page: Page) -> None:
        for told in (
            "one at a time (closed, 1 callers)",
            "saturation (closed, 4 callers)",
            "31 errors (31 of status 500)",
            "2310 (process 4021), 2290 (process 4022); 0 restarts",
            "4600 sent by the client; the server counted 4600 received, 4600 answered",
            "ready after 1.4 s, import 190 ms, load 34 ms",
            "1.01x [0.98–1.04]",
        ):
            assert told in page.text

    def test_sorting_never_ranks_a_cell_that_is_not_ok(self, page: Page) -> None:
        named: dict[str, dict[str, str]] = {}
        name = ""
        for tag, attributes in page.elements:
            if tag == "th" and attributes.get("scope") == "row" and "data-v" in attributes:
                name = attributes["data-v"]
            if tag == "td" and {"data-name", "data-v"} <= set(attributes):
                named.setdefault(name, {})[attributes["data-name"]] = attributes["data-v"]

        assert float(named["simple"]["p50"]) == 7.1
        assert set(named["nginx (round_robin, 2 servers)"].values()) == {""}

    def test_each_load_has_figures_of_its_own_and_a_topology_the_same_colour_in_all(self, tmp_path: Path) -> None:
        loads = [LoadPlan(kind="poisson", rate_per_s=rate) for rate in (10.0, 50.0)]

        page = Page(write_html(write_served_run(tmp_path, loads=loads).path))

        first, second, _ = figures(page, "curves")
        assert [trace["slot"] for trace in first["data"]] == [trace["slot"] for trace in second["data"]]
        assert "poisson 10/s Latency over rate" in page.text

    def test_it_can_be_made_without_an_objective_and_of_servers_alone(self, tmp_path: Path) -> None:
        run = write_run(tmp_path, [served_record("digits", ONNX, DIGITS[0], slo_ms=None)])

        page = Page(write_html(run.path))

        headings = [attributes["id"] for tag, attributes in page.elements if tag == "h2"]
        assert headings[0] == "served"
        assert not {"verdicts", "cells", "costs"} & set(headings)
        assert figures(page, "curves")[0]["layout"]["shapes"] == []
        assert "time ratio" not in page.text

    def test_a_model_whose_servers_all_miss_here_has_a_table_and_no_figure(self, tmp_path: Path) -> None:
        record = make_record(make_served_cell(topology="tf_serving"), status="skipped")

        page = Page(write_html(write_run(tmp_path, [record]).path))

        assert "no ranking, for no cell has numbers of its server (1 skipped)" in page.text
        assert page.figures == []

    def test_hostile_names_add_no_element_no_attribute_and_no_markup_in_a_figure(self, tmp_path: Path) -> None:
        hostile = Page(write_html(hostile_run(tmp_path / "hostile", HOSTILE_NAMES).path))
        benign = Page(write_html(hostile_run(tmp_path / "benign", _BENIGN_NAMES).path))

        assert hostile.structure == benign.structure
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", "".join(hostile.words))
        for text in hostile.figure_strings:
            assert not re.search(r"[$]|<(?!br>|/?extra>)", text), text


class TestTexts:
    def test_markdown_has_the_decision_above_and_a_table_of_the_servers(self, run: RunDirectory) -> None:
        head, _ = write_markdown(run.path).split("<details>")

        assert "- **seed&#95;cnn** behind a server, poisson 50&#47;s: simple keeps p99 within 50 ms" in head
        lines = [line for line in head.splitlines() if "bitwise (120)" in line]
        assert len(lines) == len(SEED_CNN) + len(DIGITS)
        assert {line.count("|") for line in lines} == {14}
        assert sum("**ok, best**" in line for line in lines) == 1

    def test_hostile_names_make_no_markup_in_markdown_and_steer_no_terminal(self, tmp_path: Path) -> None:
        path = hostile_run(tmp_path, HOSTILE_NAMES).path

        ours = re.sub(r"</?(details|summary)>|\[[\d.]+–[\d.]+\]", "", write_markdown(path))
        assert not re.search(r"[<>`\[\]@]|https?://|(?<!&)#\d|\x1b|\0", ours)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", table(path))

    def test_json_holds_the_main_numbers_and_none_of_a_server_that_cannot_be_ranked(self, run: RunDirectory) -> None:
        cells = {
            (cell["topology"], *cell["topology_options"].values()): cell
            for cell in json.loads(run_json(run.path))["cells"]
        }

        simple = cells["simple",]
        assert (simple["p50_ms"], simple["p99_ms"], simple["ratio"], simple["verdict"]) == (7.1, 12.3, None, None)
        served = simple["served"]
        assert (served["verdict"], served["keeps_objective"], served["x_max_per_s"]) == ("ok", True, 140.0)
        assert served["attribution"]["infer_ms"] == pytest.approx(0.9 * 7.1 * 1.05)
        limited = cells["nginx", "round_robin", 2]["served"]
        assert (limited["verdict"], limited["client_lag_p99_us"]) == ("client-limited", 4200.0)
        assert (limited["x_max_per_s"], limited["achieved_per_s"], limited["attribution"]["infer_ms"]) == (None,) * 3
        assert cells["direct",]["served"] is None
        assert cells["tf_serving",]["served"] is None
        assert cells["simple",]["load"]["rate_per_s"] == 50.0
