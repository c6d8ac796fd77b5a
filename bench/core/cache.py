"""Where things live that can be made or fetched again: one directory per user."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from .errors import HostError

_NAME = "deploybench"


def cache_root() -> Path:
    """The cache directory, existing and writable: `$DEPLOYBENCH_CACHE`, `$XDG_CACHE_HOME/deploybench` or
    `~/.cache/deploybench`; where the home directory cannot be written, `deploybench-<uid>` (mode 0700) in the
    system's temporary directory.

    Raises HostError when `$DEPLOYBENCH_CACHE` cannot be used, for that is the user's word, or when nothing can.
    """
    chosen = os.environ.get("DEPLOYBENCH_CACHE")
    if chosen:
        directory = Path(chosen).expanduser().absolute()
        problem = _why_unusable(directory)
        if problem:
            raise HostError(
                f"DEPLOYBENCH_CACHE={chosen} cannot be used: {problem}", hint="name a directory that you may write"
            )
        return directory
    for parent in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        # The XDG specification says that relative paths are invalid and must be ignored.
        if os.path.isabs(parent) and not _why_unusable(Path(parent) / _NAME):
            return Path(parent) / _NAME
    return _private_temporary_directory()


def _why_unusable(directory: Path) -> str:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(directory, os.W_OK | os.X_OK) else "no permission to write"


def _private_temporary_directory() -> Path:
    """The temporary directory is shared: a directory there counts only if it is ours and closed to others."""
    directory = Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"
    hint = "set DEPLOYBENCH_CACHE to a directory that you may write"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise HostError(f"no cache directory: {directory}: {error.strerror}", hint=hint) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise HostError(f"no cache directory: {directory} is not a private directory of this user", hint=hint)
    return directory
