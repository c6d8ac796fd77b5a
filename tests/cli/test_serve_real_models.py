"""Real models served to people: a digit by gRPC and REST, texts, a new version, the API page in a browser."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Bench
from tests.cli.serving import Serving, free_port, serve

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.slow


@pytest.fixture
def ask(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`bench query --json` with the user's own cache, in which built models and running servers are found."""
    monkeypatch.delenv("DEPLOYBENCH_CACHE")

    def ask(*words: str) -> list[dict[str, Any]]:
        told = bench("query", *words, "--json")
        assert told.code == 0, told.err
        answers: list[dict[str, Any]] = json.loads(told.out)["answers"]
        return answers

    return ask


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real handwritten three as a picture, white on black."""
    datasets = pytest.importorskip("sklearn.datasets", reason="no real digits: pip install scikit-learn")
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install pillow")
    digits = datasets.load_digits()
    position = int(np.flatnonzero(digits.target == 3)[0])
    path = tmp_path_factory.mktemp("images") / "three.png"
    image.fromarray((digits.images[position] * 255 / 16).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Behind our server of TensorFlow Serving's protocol, which has a port for gRPC and one for REST."""
    pytest.importorskip("grpc", reason="grpcio is not installed: pip install grpcio")
    words = ("digits", "--variant", "onnx", "--topology", "tfs_protocol", "--port", str(free_port()))
    serving = serve(tmp_path_factory.mktemp("digits"), *words, cache=None)
    yield serving
    assert serving.end()[0] == 0


def test_a_digit_is_told_by_grpc_and_by_rest(digits: Serving, ask: Any, three: Path) -> None:
    answers = ask(digits.port("grpc"), digits.port("rest"), "--image", str(three))
    assert [answer["protocol"] for answer in answers] == ["grpc", "rest"]
    for answer in answers:
        (reading,) = answer["readings"]
        assert (reading["kind"], reading["count"], reading["from_logits"]) == ("classes", 10, False)
        best, *others = reading["samples"][0]
        assert best["label"] == "3"
        assert best["probability"] > 0.9
        assert sum(score["probability"] for score in [best, *others]) == pytest.approx(1, abs=1e-3)
    first, second = ([score["probability"] for score in answer["readings"][0]["samples"][0]] for answer in answers)
    assert first == pytest.approx(second, rel=1e-5), "both ways ask the same model"


def test_a_version_that_is_dropped_into_the_repository_is_served(digits: Serving, ask: Any, three: Path) -> None:
    found = re.search(r"^new versions: directories 2, 3 \.\.\. in (.+) are served", digits.said, re.MULTILINE)
    assert found is not None
    repository = Path(found[1])
    shutil.copytree(repository / "1", repository / "2.part")
    (repository / "2.part").rename(repository / "2")
    give_up_at = time.monotonic() + 20
    while (answer := ask(digits.port("grpc"), "--image", str(three))[0])["version"] != "2":
        assert time.monotonic() < give_up_at, "the new version was not served"
        time.sleep(0.2)
    assert answer["readings"][0]["samples"][0][0]["label"] == "3"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A real text encoder behind one web server."""
    from bench.zoo.fetch import missing_data

    problem = missing_data("minilm")
    if problem:
        pytest.skip(f"{problem}: python -m bench.zoo.fetch minilm")
    words = ("minilm", "--variant", "onnx", "--port", str(free_port()))
    serving = serve(tmp_path_factory.mktemp("minilm"), *words, cache=None)
    yield serving
    assert serving.end()[0] == 0


TEXTS = ("a good day", "it was a nice day", "stock markets fell")


def test_texts_of_one_meaning_are_near_each_other(encoder: Serving, ask: Any) -> None:
    answers = ask(encoder.port("rest"), "--protocol", "rest", "--protocol", "kserve-binary", "--text", *TEXTS)
    assert [answer["protocol"] for answer in answers] == ["rest", "kserve-binary"]
    for answer in answers:
        (reading,) = answer["readings"]
        assert (reading["kind"], reading["size"]) == ("embeddings", 384)
        assert reading["norms"] == pytest.approx([1, 1, 1], abs=1e-4)
        cosines = reading["cosines"]
        assert cosines[0][1] > 0.6
        assert abs(cosines[0][2]) < 0.3


def test_sentences_are_taken_as_they_are(encoder: Serving, ask: Any) -> None:
    served = _posted(encoder.port("json"), {"sentences": TEXTS})
    embeddings = np.array(served["outputs"]["sentence_embedding"])
    cosines = ask(encoder.port("json"), "--text", *TEXTS)[0]["readings"][0]["cosines"]
    assert (embeddings @ embeddings.T).tolist() == pytest.approx(np.array(cosines), abs=1e-4)
    assert "error" in _posted(encoder.port("json"), {"sentences": "no list"})


def _posted(port: str, body: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    try:
        connection.request("POST", "/", json.dumps(body), {"content-type": "application/x-www-form-urlencoded"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.skipif(_CHROMIUM is None, reason="no chromium here: apt-get install chromium")
def test_the_api_page_shows_every_path_in_a_browser(encoder: Serving) -> None:
    assert _CHROMIUM is not None
    found = re.search(r"^API page: (\S+)$", encoder.said, re.MULTILINE)
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="docs-") as scratch:
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        words += [f"--user-data-dir={scratch}", "--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0"]
        page = subprocess.run(
            [_CHROMIUM, *words, "--disable-background-networking", "--dump-dom", found[1]],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
    for path in ("/v1/predict", "/v1/models/minilm:predict", "/v2/models/minilm/infer"):
        assert path in page.stdout.replace("\u200b", ""), path
    assert [line for line in page.stderr.splitlines() if ":CONSOLE" in line] == []
