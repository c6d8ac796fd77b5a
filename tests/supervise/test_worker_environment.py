"""What a worker's environment holds and what it never holds."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from bench.supervise import variables_we_set, worker_environment
from bench.supervise.log import readable


def made(base, tmp_path, threads=2, seed=1):
    return worker_environment({"HOME": str(tmp_path), **base}, threads, fallback_home=tmp_path / "home", seed=seed)


def test_only_listed_variables_pass_and_no_secret(tmp_path):
    base = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HF_TOKEN": "s",
        "DEPLOYBENCH_CACHE": "/c",
        "DEPLOYBENCH_API_KEY": "s",
        "OMP_NUM_THREADS": "64",
    }
    environment = made(base, tmp_path)
    assert environment["PATH"] == "/bin"
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["DEPLOYBENCH_CACHE"] == "/c"
    assert "s" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "2"


def test_every_pool_has_the_budget_and_nothing_calls_home(tmp_path):
    environment = made({}, tmp_path, threads=3)
    assert {environment[f"{pool}_NUM_THREADS"] for pool in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON")} == {"3"}
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_hash_seed_and_padding_differ_between_processes_and_repeat_with_a_seed(tmp_path):
    def layout(environment):
        return environment["PYTHONHASHSEED"], len(environment["DEPLOYBENCH_PADDING"])

    assert len({layout(made({}, tmp_path, seed=None)) for _ in range(8)}) > 1
    assert layout(made({}, tmp_path, seed=5)) == layout(made({}, tmp_path, seed=5))
    assert all(len(made({}, tmp_path, seed=seed)["DEPLOYBENCH_PADDING"]) <= 4096 for seed in range(50))


def test_an_unusable_home_is_replaced(tmp_path):
    for home in ("/proc/nohome", "/proc", ""):
        environment = made({"HOME": home}, tmp_path)
        assert environment["HOME"] == str(tmp_path / "home")
        assert os.path.isdir(environment["HOME"])
    assert made({}, tmp_path)["HOME"] == str(tmp_path)


def test_the_record_names_what_we_set_and_nothing_of_the_user(tmp_path):
    recorded = dict(variables_we_set(made({"PATH": "/bin", "USER": "ada"}, tmp_path)))
    assert recorded["OMP_NUM_THREADS"] == "2"
    assert recorded["DEPLOYBENCH_PADDING"].endswith(" bytes")
    assert not {"PATH", "USER", "HOME"} & recorded.keys()


def test_huge_pages_follow_the_library_and_the_kernel(tmp_path, monkeypatch):
    switch = tmp_path / "enabled"
    monkeypatch.setattr("bench.supervise.environment._HUGE_PAGES", switch)
    for version, mode, expected in [
        ("2.36", "always [madvise] never", True),
        ("2.35", "[always] madvise never", True),
        ("2.36", "always madvise [never]", False),
        ("2.31", "always [madvise] never", False),
    ]:
        monkeypatch.setattr("platform.libc_ver", lambda version=version: ("glibc", version))
        switch.write_text(mode)
        assert ("GLIBC_TUNABLES" in made({}, tmp_path)) is expected
    switch.unlink()
    assert "GLIBC_TUNABLES" not in made({}, tmp_path)


@given(st.binary(max_size=300), st.text(max_size=100))
def test_the_last_words_never_hold_a_control_character(data, text):
    shown = readable(data + b"\x1b]8;;http://x\x07link\x1b[31m" + text.encode())
    assert all(character in "\n\t" or ord(character) >= 32 for character in shown)
    assert "\x7f" not in shown
    assert "http://x" not in shown
