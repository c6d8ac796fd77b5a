"""`bench serve`: what it prints can be pasted, it ends when it is told to, and it says so when it ends by itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.cli.conftest import Bench
from tests.cli.serving import Serving, free_port, serve


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The null model, for all tests that only ask it."""
    directory = tmp_path_factory.mktemp("serve")
    port = str(free_port())
    serving = serve(directory, "null", "--port", port, cache=directory / "cache")
    assert f"rest: http://127.0.0.1:{port}\n" in serving.said
    yield serving
    code, out, err = serving.end()
    assert (code, out) == (0, "ended\n"), err
    assert not Path(directory_of(serving)).exists()
    assert serving.cache is not None
    assert list((serving.cache / "serving").iterdir()) == []


def directory_of(serving: Serving) -> str:
    found = re.search(r"@(\S+)/rest\.json", serving.said)
    assert found is not None
    return found[1]


def test_it_says_what_runs_and_where(null: Serving) -> None:
    first, second, *_ = null.said.splitlines()
    assert re.fullmatch(r"null\.null behind simple, up in .*: server \(pid \d+\)", first)
    assert re.fullmatch(r"API page: http://127\.0\.0\.1:\d+/docs", second)


def test_every_line_of_curl_sends_a_real_sample(null: Serving) -> None:
    lines = [line.strip() for line in null.said.splitlines() if line.strip().startswith("curl")]
    assert len(lines) == 3
    for line in lines:
        curl, silent, _, header, data, body, url = shlex.split(line)
        assert (curl, silent, data) == ("curl", "-s", "-d")
        name, _, value = header.partition(": ")
        place = urlsplit(url)
        with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=10)) as connection:
            connection.request("POST", place.path, Path(body.removeprefix("@")).read_bytes(), {name: value})
            answer = connection.getresponse()
            assert (answer.status, bool(json.loads(answer.read()))) == (200, True)


def test_every_line_of_bench_query_gets_an_answer(null: Serving, bench: Bench) -> None:
    lines = [line.strip() for line in null.said.splitlines() if line.strip().startswith("bench query")]
    assert len(lines) == 4
    for line in lines:
        told = bench(*shlex.split(line)[1:])
        assert told.code == 0, told.err
        assert "probabilities: softmax of 'output', which holds no probabilities, 2 classes" in told.out


def test_a_query_without_an_address_finds_the_server(
    null: Serving, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(null.cache))
    np.savez(tmp_path / "x.npz", x=np.ones((3, 4), np.float32))
    told = bench("query", "--inputs", "x.npz", "--as", "tensors", "--repeat", "3", "--json")
    assert told.code == 0, told.err
    (answer,) = json.loads(told.out)["answers"]
    assert (answer["model"], answer["protocol"], len(answer["latency_ms"])) == ("null", "rest", 3)
    assert answer["readings"][0]["shape"] == [3, 2]
    port = answer["address"].rpartition(":")[2]
    assert bench("query", port).out.splitlines()[1] == "  takes input: float32 [?, 4]"
    told = bench("query", port, "--model", "nope")
    assert (told.code, "serves no model 'nope'" in told.err) == (3, True), told.err


def test_a_port_that_is_taken_is_said_with_the_way_out(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = bench("serve", "null", "--port", str(port))
    assert told.code == 3
    assert f"port {port} cannot be had" in told.err
    assert "--port with another one" in told.err


@pytest.mark.slow
def test_a_server_that_ends_by_itself_is_said_and_is_no_success(tmp_path: Path) -> None:
    serving = serve(tmp_path, "null", "--port", "0", cache=tmp_path / "cache")
    found = re.search(r"\(pid (\d+)\)", serving.said)
    assert found is not None
    os.kill(int(found[1]), signal.SIGKILL)
    started = time.monotonic()
    _, err = serving.process.communicate(timeout=20)
    assert serving.process.returncode == 3
    assert "server has ended" in err
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nule",), "did you mean 'null'?"),
        (("null", "--variant", "nope"), "'nope' is no variant of null"),
        (("null", "--topology", "simpel"), "did you mean 'simple'?"),
        (("null", "--topology", "direct"), "direct has no server"),
        (("null", "--option", "encoding"), "write it as K=V"),
        (("null", "--option", "encodin=json"), "--option of simple.encodin: unknown option (did you mean 'encoding'?)"),
        (("null", "--option", "max_batch=0"), "max_batch is 0, at least 1 sample is a batch"),
        (("null", "--port", "65536"), "from 0 to 65535"),
        (("null", "--threads", "0"), "at least 1"),
    ],
)
def test_a_mistake_is_said_before_anything_is_started(bench: Bench, words: tuple[str, ...], said: str) -> None:
    told = bench("serve", *words)
    assert told.code == 2
    assert said in told.err


def test_code_is_not_run_without_trust(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise AssertionError('this must never run')\n")
    told = bench("serve", "mine.py:build")
    assert told.code == 5
    assert "--trust" in told.err
