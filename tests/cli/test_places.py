"""Where people keep things: odd paths, no home, nothing writable but the results, secrets in the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import records
from bench.core.credentials import mask_credentials
from tests.cli.conftest import MATRIX, Bench, run_paths

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-K7MDENG",
    "GITHUB_TOKEN": "ghp_0123456789abcdef",
    "DEPLOYBENCH_API_KEY": "hunter2hunter2",
    "HTTPS_PROXY": "http://alice:proxypassword@proxy:3128",
    "MY_OWN_THING": "unknown-to-anybody-5f3a",
}


@pytest.mark.parametrize(
    "name",
    [
        '-it\'s "quoted" $HOME `id` $(id) [bold] é 測定',
        pytest.param("a" * 200, marks=pytest.mark.slow),
        pytest.param("line\nend", marks=pytest.mark.slow),
    ],
)
def test_results_may_lie_in_a_directory_of_any_name(bench: Bench, tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    (place / "tiny.yaml").write_text(MATRIX)
    told = bench("run", f"{place}/tiny.yaml", f"--results={place}", "--only", "m.plain")
    assert told.code == 0, told.err
    (run,) = run_paths(place)
    (record,) = records.open_run(run).records()[0]
    assert record.outcome.status == "ok"
    assert str(run / "report.html") in told.out
    assert bench("doctor", f"--results={place}").code == 0


def test_a_matrix_path_that_is_not_unicode_is_said_up_front_in_printable_words(
    bench_process: Bench, tmp_path: Path
) -> None:
    told = bench_process(script='"$@" run "$(printf "m\\351.onnx")"; exit $?')
    assert told.code == 2
    assert "not valid UTF-8" in told.err
    assert "m\\udce9.onnx" in told.err


def test_a_results_path_that_is_not_unicode_is_said_up_front_too(
    bench_process: Bench, matrix: Path, tmp_path: Path
) -> None:
    told = bench_process(script='"$@" run tiny.yaml --only m.plain --no-report --results "$(printf "r\\351")"; exit $?')
    assert told.code == 6
    assert "'r\\udce9': the path is not valid UTF-8" in told.err
    assert [path.name for path in tmp_path.iterdir()] == [matrix.name]


@pytest.mark.parametrize("home", ["/proc/nohome", pytest.param("/proc", marks=pytest.mark.slow)])
def test_a_run_needs_no_home_and_no_writable_working_directory(
    bench_process: Bench, matrix: Path, tmp_path: Path, home: str
) -> None:
    """/proc is a directory in which not even root may make files, as on a read-only file system."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    told = bench_process(
        *("run", str(matrix), "--only", "m.plain", "--json", "--results", str(tmp_path / "results")),
        environment={"HOME": home, "TMPDIR": str(temporary)},
        without=("DEPLOYBENCH_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
        cwd=Path("/proc"),
    )
    assert told.code == 0, told.err
    assert [cell["status"] for cell in json.loads(told.out)["cells"]] == ["ok"]
    (cache,) = temporary.glob("deploybench-*")
    assert cache.stat().st_mode & 0o077 == 0, "what others may write must not be trusted"


def test_no_secret_of_the_environment_or_the_command_line_is_stored(
    bench_process: Bench, matrix: Path, tmp_path: Path
) -> None:
    address = "https://alice:urlpassword@models.example.org/m.onnx?x=1"
    matrix.write_text(MATRIX + f"# from {address}\n")
    told = bench_process("run", str(matrix), "--trust", address, "--only", "m.plain", environment=SECRETS)
    assert told.code == 0, told.err
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert {"run.json", "journal.jsonl", "report.html"} <= {path.name for path in files}
    assert any(path.suffix == ".log" for path in files)
    for secret in (*SECRETS.values(), "proxypassword", "urlpassword"):
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
        assert secret not in told.out + told.err
    (run,) = run_paths(tmp_path / "results")
    manifest = records.open_run(run).manifest
    assert "https://***@models.example.org/m.onnx?x=1" in manifest.command
    assert manifest.matrix_text.endswith("# from https://***@models.example.org/m.onnx?x=1\n")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://u:p@h/x", "https://***@h/x"),
        ("see s3+http://token@h, and ftp://u:p:q@h.", "see s3+http://***@h, and ftp://***@h."),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("--url=https://u:p@h?a=b@c", "--url=https://***@h?a=b@c"),
        ("https://h/a@b", "https://h/a@b"),
        ("https://h?mail=a@b", "https://h?mail=a@b"),
        ("me@example.org", "me@example.org"),
        ("git@github.com:a/b", "git@github.com:a/b"),
    ],
)
def test_only_user_and_password_of_a_url_are_masked(text: str, masked: str) -> None:
    assert mask_credentials(text) == masked
