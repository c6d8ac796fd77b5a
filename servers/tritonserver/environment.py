"""Fetch Triton and what its Python backend runs on: `python -m servers.tritonserver.environment`.

The wheel of PyTriton holds a whole Triton server. Its Python backend needs numpy 1, so it, numpy and the ONNX Runtime
of the version that we have ourselves are installed into a directory of their own in the cache.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from filelock import FileLock

from bench.core.cache import cache_root
from bench.core.errors import HostError

COMMAND = "python -m servers.tritonserver.environment"
PYTRITON_VERSION = "0.7.0"

_NUMPY_VERSION = "1.26.4"
_DEADLINE_S = 900
_BACKEND = Path("backends") / "python"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_STUB = "triton_python_backend_stub"
_NO_LIBRARY = 127  # exit status of ld.so


def blockers() -> tuple[str, ...]:
    """Why Triton cannot be started here; looks only at names, so that planning stays cheap."""
    if not _onnxruntime_version():
        return ("onnxruntime is not installed (pip install onnxruntime)",)
    return () if is_fetched() else (f"Triton is not installed: {COMMAND}",)


def directory() -> Path:
    """Where Triton lies once fetched; another ONNX Runtime or Python is another directory."""
    name = f"triton-{PYTRITON_VERSION}-onnxruntime-{_onnxruntime_version()}-python-{_PYTHON}"
    return cache_root() / "packages" / name


def is_fetched() -> bool:
    """Whether all of it is there: what is made last is."""
    return (directory() / _BACKEND / _STUB).exists()


def program() -> Path:
    """The server."""
    return directory() / "pytriton" / "tritonserver" / "bin" / "tritonserver"


def backends() -> Path:
    """The directory of its backends."""
    return directory() / "backends"


def variables() -> dict[str, str]:
    """What the server's environment must say, so that it and its Python find their libraries.

    The Python of its backend is the first `python3` of PATH; that, and the library that the backend's stub loads, must
    be ours, or it runs one version's library with another one's modules.
    """
    return _variables(directory())


def _variables(packages: Path) -> dict[str, str]:
    libraries = (packages / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR")))
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": os.pathsep.join((str(Path(sys.base_prefix) / "bin"), os.defpath)),
    }


def fetch() -> Path:
    """The directory with all of it, installed by pip if need be; HostError says why it cannot be.

    It appears in one rename, so a reader sees all of it or nothing; of two fetches at once the second one waits.
    """
    if not _onnxruntime_version():
        raise HostError("Triton would run ONNX Runtime, which is not installed", hint="pip install onnxruntime")
    target = directory()
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock"), timeout=_DEADLINE_S):
        if is_fetched():
            return target
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
        try:
            _install(staging / "packages")
            _assemble_backend(staging / "packages")
            if target.exists():  # incomplete: a rename does not replace a directory that holds files
                target.rename(staging / "incomplete")
            (staging / "packages").rename(target)
        finally:
            shutil.rmtree(staging)
    return target


def _onnxruntime_version() -> str:
    try:
        return importlib.metadata.version("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _install(packages: Path) -> None:
    """Without dependencies: most of them serve Python interfaces and tools that nothing here uses."""
    requirements = (
        f"nvidia-pytriton=={PYTRITON_VERSION}",
        f"onnxruntime=={_onnxruntime_version()}",
        f"numpy=={_NUMPY_VERSION}",
    )
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--timeout=15", "--retries=1", "--target", str(packages)]
    try:
        done = subprocess.run(
            [*command, *requirements], capture_output=True, text=True, timeout=_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"pip did not finish within {_DEADLINE_S} s", hint="check the network") from None
    if done.returncode:
        lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise HostError(
            f"pip could not install Triton: {lines[0] if lines else 'it did not say why'}",
            hint=f"check the network and `pip config list`, then: {COMMAND}",
        )


def _assemble_backend(packages: Path) -> None:
    """The backend with the stub for our Python, which the wheel keeps beside it."""
    triton = packages / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / _PYTHON / _STUB
    if not stub.exists():
        raise HostError(
            f"Triton's Python backend has no stub for Python {_PYTHON}",
            hint=f"use one of {', '.join(sorted(path.name for path in stub.parents[1].iterdir()))}",
        )
    shutil.copytree(triton / _BACKEND, packages / _BACKEND)
    _require_libraries(stub, packages)
    shutil.copy2(stub, packages / _BACKEND / _STUB)


def _require_libraries(stub: Path, packages: Path) -> None:
    """Without arguments the stub only says so; the loader ends it before that when a library is missing."""
    done = subprocess.run(
        [stub], env=_variables(packages), capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode == _NO_LIBRARY:
        raise HostError(
            f"Triton's Python backend does not start: {done.stderr.strip()}",
            hint=f"use a Python with its shared library (apt-get install libpython{_PYTHON})",
        )


def main() -> int:
    """Fetch and tell where to; exit code 0 only when all of it is there."""
    try:
        sys.stdout.write(f"Triton: {fetch()}\n")
    except (HostError, OSError) as error:
        hint = getattr(error, "hint", None)
        sys.stderr.write(f"Triton: not fetched, the topology triton is blocked: {error}{f'; {hint}' if hint else ''}\n")
        return HostError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
