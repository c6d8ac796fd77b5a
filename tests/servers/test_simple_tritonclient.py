"""NVIDIA's public client for the Open Inference Protocol speaks to a server of ours as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers.http_servers import Running, direct_answer, null_service, running_server

pytestmark = pytest.mark.slow

BATCH = np.arange(8, dtype=np.float32).reshape(2, 4) / 7


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory: Path = tmp_path_factory.mktemp("server")
    with running_server(directory, null_service(directory)) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    triton = pytest.importorskip("tritonclient.http", reason="not installed: pip install 'tritonclient[http]'")
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as opened:
        yield opened


def test_it_finds_the_server_and_the_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("m")["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("packed", [None, "gzip"])
def test_it_gets_the_models_answers(
    client: Any, server: Running, binary_in: bool, binary_out: bool, packed: str | None
) -> None:
    import tritonclient.http as triton

    wanted = direct_answer(server.service, {"input": BATCH})
    sent = triton.InferInput("input", list(BATCH.shape), "FP32")
    sent.set_data_from_numpy(BATCH, binary_data=binary_in)
    asked = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("second", "output")]
    how = {"request_compression_algorithm": packed, "response_compression_algorithm": packed}
    for outputs in (None, asked):
        result = client.infer("m", [sent], outputs=outputs, request_id="7", **how)
        assert result.get_response()["id"] == "7"
        for name, array in wanted.items():
            np.testing.assert_array_equal(result.as_numpy(name), array)


def test_it_is_told_what_is_wrong(client: Any) -> None:
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    sent = triton.InferInput("input", [1, 3], "FP32")
    sent.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceServerException, match="has the shape"):
        client.infer("m", [sent])
    with pytest.raises(InferenceServerException, match="is not served"):
        client.infer("other", [sent])
