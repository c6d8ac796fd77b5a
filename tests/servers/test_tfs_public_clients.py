"""Public clients talk to the TFS-protocol server unchanged: stubs of tensorflow-serving-api, and tritonclient."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.servers.tfs_cases import add_version

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("public_clients_child.py")
CLIENTS = {"tensorflow_serving": "tensorflow-serving-api", "tritonclient": "tritonclient[grpc]"}


@pytest.mark.slow
def test_public_clients_are_answered(tmp_path: Path) -> None:
    missing = [name for module, name in CLIENTS.items() if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    add_version(tmp_path / "m", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    finished = subprocess.run(
        [sys.executable, CHILD, tmp_path], env=environment, capture_output=True, text=True, check=False, timeout=55
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    found = json.loads(finished.stdout)
    expected = [np.sin(1), np.sin(2)]

    told = found["triton"]
    assert told["infer"] == [pytest.approx(expected)]
    assert told["live"] == [True, True, True]
    assert (told["metadata"], told["id"]) == ([[-1, 4]], "7")
    assert told["server"] == "deploybench TFS-protocol server"
    assert told["unknown"] == ["StatusCode.NOT_FOUND", "Servable not found for request: Latest(other)"]

    told = found["tensorflow_serving"]
    assert (told["predict"], told["version"]) == ([[2.0, 4.0, 6.0]], 5)
    assert told["signature"] == ["tensorflow/serving/predict", "serving_default", ["y"]]
    assert (told["regress"], told["classify"]) == (pytest.approx(expected[:1]), pytest.approx(expected))
    assert told["multi"] == [pytest.approx(expected[0]), 2]
    assert told["status"] == [5, True]
    assert (told["reload"], told["reloaded"]) == (0, [[2.0, 4.0, 6.0]])
    assert told["unloaded"] == ["NOT_FOUND", "Servable not found for request: Latest(saved)"]
    assert found["left_with"] == 0
