"""A server that somebody else runs: which URLs are taken, and what the load then talks to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import MatrixError
from bench.core.serving import Endpoint
from servers.external import External
from tests.servers.http_servers import Running, direct_answer, null_service, running_server
from tests.servers.running import site_in

TOPOLOGY = External()
FORM = "http://HOST:PORT or grpc://HOST:PORT"


def endpoint_of(directory: Path, **options: str) -> Endpoint:
    chosen = External.Options(**options)
    assert TOPOLOGY.blockers("onnx", chosen) == ()
    description = TOPOLOGY.describe(null_service(directory), chosen, site_in(directory))
    assert description.processes == ()
    assert "nothing proves" in description.notes[0]
    return description.endpoint


def test_http_and_grpc_have_their_encodings_and_the_model_its_name_there(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    http = endpoint_of(tmp_path / "1", url="http://10.0.0.7:8000/", encoding="tfs_row", model="theirs")
    assert http == Endpoint(
        protocol="http", host="10.0.0.7", port=8000, encoding="tfs_row", model="theirs", tells_stamps=False
    )
    grpc = endpoint_of(tmp_path / "2", url="grpc://[::1]:8001", encoding="kserve_grpc")
    assert grpc == Endpoint(
        protocol="grpc", host="::1", port=8001, encoding="kserve_grpc", model="m", tells_stamps=False
    )


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "http://127.0.0.1",
        "http://:8000",
        "https://127.0.0.1:8000",
        "http://127.0.0.1:8000/v2/models",
        "http://127.0.0.1:8000?model=m",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1:8000",
    ],
)
def test_what_is_no_url_of_a_server_is_told_with_the_right_form(tmp_path: Path, url: str) -> None:
    options = External.Options(url=url)
    (reason,) = TOPOLOGY.blockers("onnx", options)
    assert reason.startswith(f"url {url!r}")
    assert reason.endswith(FORM)
    with pytest.raises(MatrixError, match="external: url"):
        TOPOLOGY.describe(null_service(tmp_path), options, site_in(tmp_path))


def test_a_password_is_refused_and_not_repeated() -> None:
    (reason,) = TOPOLOGY.blockers("onnx", External.Options(url="http://user:hunter2@127.0.0.1:8000"))
    assert reason == f"url holds a user name or a password, which would be sent in clear; the form is {FORM}"


def test_without_a_url_it_is_asked_for() -> None:
    assert TOPOLOGY.blockers("onnx", External.Options()) == (f"no url: say where the server listens, url: {FORM}",)


@pytest.mark.parametrize(("url", "encoding"), [("http://h:1", "kserve_grpc"), ("grpc://h:1", "kserve")])
def test_an_encoding_of_the_other_protocol_is_told(url: str, encoding: str) -> None:
    (reason,) = TOPOLOGY.blockers("onnx", External.Options(url=url, encoding=encoding))
    assert reason == (
        f"url {url!r} does not go with encoding {encoding}: encodings that end in _grpc are for grpc://, others for"
        " http://"
    )


@pytest.mark.slow
def test_a_server_that_is_already_there_answers(tmp_path: Path) -> None:
    service = null_service(tmp_path)
    with running_server(tmp_path, service) as server:
        (tmp_path / "site").mkdir()
        options = External.Options(url=f"http://127.0.0.1:{server.port}", encoding="kserve_binary")
        description = TOPOLOGY.describe(service, options, site_in(tmp_path / "site"))
        batch = {"input": np.ones((3, 4), np.float32)}
        asked: Running = replace(server, port=description.endpoint.port)
        found = asked.decoded("kserve_binary", asked.send("kserve_binary", batch))
        np.testing.assert_array_equal(found["output"], direct_answer(service, batch)["output"])
