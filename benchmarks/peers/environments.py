"""An environment of its own for each peer, installed once: their requirements contradict each other's and ours."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.core.cache import cache_root
from bench.core.errors import HostError

_DEADLINE_S = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What pip installs for a peer, without ONNX Runtime, which is of our own version."""

    name: str
    requirements: tuple[str, ...]

    @property
    def all_requirements(self) -> tuple[str, ...]:
        """With ONNX Runtime: servers are compared, not runtimes."""
        return (*self.requirements, f"onnxruntime=={importlib.metadata.version('onnxruntime')}")

    @property
    def directory(self) -> Path:
        """Where it lies; other requirements or another Python replace it."""
        return cache_root() / "peers" / self.name

    @property
    def bin(self) -> Path:
        """Its programs."""
        return self.directory / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"


def ensure(environment: Environment, tell: Callable[[str], None]) -> None:
    """Have the environment installed; HostError says why it cannot be. Of two at once the second one waits."""
    directory = environment.directory
    wanted = {"python": sys.version, "requirements": list(environment.all_requirements)}
    stamp = directory / "installed.json"  # written last
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.with_name(f".{directory.name}.lock"), timeout=_DEADLINE_S):
        if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == wanted:
            return
        tell(f"{environment.name}: installing {' '.join(environment.all_requirements)}")
        shutil.rmtree(directory, ignore_errors=True)
        _run(environment.name, [sys.executable, "-m", "venv", str(directory)])
        pip = [str(environment.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet"]
        _run(environment.name, [*pip, *environment.all_requirements])
        stamp.write_text(json.dumps(wanted), encoding="utf-8")


def versions(environment: Environment) -> dict[str, str]:
    """All that is installed, name -> version."""
    paths = [str(path) for path in environment.directory.glob("lib/python*/site-packages")]
    return {found.name: found.version for found in importlib.metadata.distributions(path=paths)}


def _run(name: str, command: list[str]) -> None:
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(command, stdout=output, stderr=output, timeout=_DEADLINE_S, check=False)
        except subprocess.TimeoutExpired:
            raise HostError(f"{name}: pip did not finish within {_DEADLINE_S} s", hint="check the network") from None
        if done.returncode:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:] or ["it did not say why"]
            raise HostError(f"{name} cannot be installed: {errors[0]}", hint="check the network and `pip config list`")
