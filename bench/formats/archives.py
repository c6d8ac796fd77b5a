"""Zip archives that models come in: what one says of itself, judged before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bench.core.errors import TargetError
from bench.core.units import format_bytes

#: Weights do not compress: where an archive says that it holds this many times its own size, it was made to.
_MOST_TIMES = 100
_HARMLESS_BYTES = 200_000_000


def require_plausible_archive(path: Path, format: str) -> None:
    """TargetError for a file that is no zip archive, or that would unpack to very much more than it is."""
    hint = "check that the file is complete"
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise TargetError(f"{path}: not a readable {format} model: no zip archive ({error})", hint=hint) from error
    size_bytes = path.stat().st_size
    if unpacked_bytes > max(_HARMLESS_BYTES, _MOST_TIMES * size_bytes):
        raise TargetError(
            f"{path}: not opened: {format_bytes(unpacked_bytes)} are packed into {format_bytes(size_bytes)}",
            hint="no model compresses so well; export it again, or unpack and look",
        )
