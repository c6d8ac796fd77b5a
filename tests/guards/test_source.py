"""The whole tree keeps the rules of `source_rules`, and no file speaks of the machine that it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guards.source_rules import violations

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("source_rules.py")
#: Made by tools or measured; none of it is source.
NOT_SOURCE = {"__pycache__", "build", "dist", "results"}
#: Home directories and places of one machine; `~` and relative paths are how this project speaks of places. A home of
#: "user", or of a person with a single letter for a name, is an example.
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}])/(work|root|(home|Users)/(?!user\b|\w\b)\w+|opt/(wheels|pypi)|tmp/\w+\.\w{6,})(?![\w-])"
)


def _files() -> Iterator[Path]:
    for top in sorted(ROOT.iterdir()):
        if top.name in NOT_SOURCE or (top.name.startswith(".") and top.name != ".ci"):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and NOT_SOURCE.isdisjoint(path.relative_to(ROOT).parts):
                yield path


def test_no_source_file_runs_code_from_data_or_opens_a_door() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {reason}"
        for path in _files()
        if path.suffix == ".py" and path not in {RULES, Path(__file__)}
        for line, reason in violations(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import pickle\npickle.load(f)", "pickle.load"),
        ("from pickle import loads as read\nread(f)", "pickle.loads"),
        ("import yaml\nyaml.load(f)", "yaml.load"),
        ("import pandas as pd\npd.read_pickle(f)", "pandas.read_pickle"),
        ("eval('1')", "eval"),
        ("exec('1')", "exec"),
        ("import subprocess\nsubprocess.run(c, shell=True)", "shell=True"),
        ("import os\nos.system(c)", "os.system"),
        ("archive.extractall(d)", "extractall without filter"),
        ("import shutil\nshutil.unpack_archive(a)", "unpack_archive without filter"),
        ("import torch\ntorch.load(f)", "load without weights_only"),
        ("import torch\ntorch.load(f, weights_only=False)", "weights_only=False"),
        ("np.load(f, allow_pickle=True)", "allow_pickle=True"),
        ("from jinja2 import Environment\nEnvironment(loader=l)", "Environment without autoescape"),
        ("Environment(autoescape=False)", "autoescape=False"),
        ("keras.saving.load_model(f, safe_mode=False)", "safe_mode=False"),
        ("import keras\nkeras.config.enable_unsafe_deserialization()", "enable_unsafe_deserialization"),
        ("from_pretrained(n, trust_remote_code=True)", "trust_remote_code=True"),
        ("server.bind(('0.0.0.0', 80))", "every interface"),
        ("serve('0.0.0.0:8500')", "every interface"),
        ("serve('::')", "every interface"),
    ],
)
def test_a_forbidden_thing_is_found(source: str, reason: str) -> None:
    assert reason in " ".join(text for _, text in violations(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "yaml = YAML(typ='rt')\nyaml.load(text)",
        "import json\njson.load(f)",
        "import torch\ntorch.load(f, weights_only=True)",
        "tar.extractall(d, filter='data')",
        "np.load(f, allow_pickle=False)",
        "np.save(f, hostile, allow_pickle=True)",
        "serve('127.0.0.1', note='not 0.0.0.0')",
        "session.execute(exec_options)",
    ],
)
def test_a_harmless_lookalike_is_left_alone(source: str) -> None:
    assert list(violations(source)) == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = []
    for path in _files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a model, an image or compressed samples
        found += [
            f"{path.relative_to(ROOT)}:{number}: {match.group()}"
            for number, line in enumerate(text.splitlines(), 1)
            for match in MACHINE_PATH.finditer(line)
        ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["see /" + "work/x", "'/" + "home/jane/m.onnx'", "=/" + "root/.cache", "/" + "opt/wheels"]
)
def test_a_path_of_a_machine_is_found(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["~/work/x", "bench/work/x", "/workers", "/rootfs", "$HOME/root/x", "a/home/me", "/home/a/m"]
)
def test_a_path_that_may_be_anywhere_is_left_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)
