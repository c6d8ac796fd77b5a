"""What is imported when: light at the command line, no framework before a child needs one."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bench", "optimizers", "converters", "servers")
#: Read by the command line on its way to `--help` and `plan`, where 0.1 s for numpy is a tenth of the answer.
WITHOUT_NUMPY = ("bench.core", "bench.matrix", "bench.plan", "bench.supervise", "bench.environment", "bench.cli.main")

with (ROOT / "pyproject.toml").open("rb") as _stream:
    _PYPROJECT = tomllib.load(_stream)["tool"]
HEAVY = tuple(_PYPROJECT["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])

_IMPORT_EACH = """
import importlib, json, sys
modules, banned = json.loads(sys.argv[1])
guilty = {}
for module in modules:
    importlib.import_module(module)
    for name in banned:
        if name in sys.modules and name not in guilty:
            guilty[name] = module
print(json.dumps(guilty))
"""
_HELP = """
import json, sys
import bench.cli.main
sys.stdout = sys.stderr
try:
    bench.cli.main.main(["--help"])
except SystemExit:
    pass
sys.stdout = sys.__stdout__
print(json.dumps(sorted(sys.modules)))
"""


def _in_fresh_interpreter(code: str, *arguments: str) -> list[str] | dict[str, str]:
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
    )
    assert finished.returncode == 0, finished.stderr
    answer: list[str] | dict[str, str] = json.loads(finished.stdout)
    return answer


def _modules(packages: Sequence[str]) -> list[str]:
    found = []
    for package in packages:
        path = ROOT.joinpath(*package.split("."))
        files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            parts = file.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__main__":
                found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert found, f"no module in {packages}"
    return sorted(found)


def test_help_imports_nothing_that_costs_time() -> None:
    imported = set(_in_fresh_interpreter(_HELP))
    assert "bench.cli.main" in imported
    assert imported.isdisjoint({*HEAVY, "numpy", "pydantic", "psutil", "rich", "ruamel"})


def test_every_module_can_be_imported_without_a_framework() -> None:
    guilty = _in_fresh_interpreter(_IMPORT_EACH, json.dumps([_modules(PACKAGES), HEAVY]))
    assert guilty == {}, "package: the module that brought it"


def test_rooms_on_the_way_to_a_plan_do_without_numpy() -> None:
    guilty = _in_fresh_interpreter(_IMPORT_EACH, json.dumps([_modules(WITHOUT_NUMPY), ["numpy"]]))
    assert guilty == {}, "package: the module that brought it"


def test_the_import_contract_names_every_room() -> None:
    rows = _PYPROJECT["importlinter"]["contracts"][0]["layers"]
    named = {room for row in rows for room in row.replace(" ", "").split("|")}
    rooms = {f"bench.{path.stem}" for path in (ROOT / "bench").iterdir() if path.is_dir() or path.suffix == ".py"}
    rooms -= {"bench.__init__", "bench.__main__", "bench.__pycache__", "bench.worker"}
    assert rooms | {"optimizers", "converters", "servers"} == named
