"""Which versions of which models are served: the file system and the configuration say it, requests look it up.

A new version is opened and warmed before an old one is taken away, and a version in use stays until its last call is
answered: TensorFlow Serving's availability-preserving policy. A version that cannot be opened is tried again later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.core.errors import BenchError

from .loaded import Loaded
from .repository import ModelEntry, versions_found, versions_wanted
from .status import Code, StatusError

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
Load = Callable[[str, int, Path], Loaded]

_UNLOAD_WAIT_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionStatus:
    """Where a version stands; `code` and `message` say why it is no longer there."""

    version: int
    state: State
    code: Code | Literal["OK"] = "OK"
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retries:
    """How often a version that failed is opened again, and after how long."""

    count: int = 5
    interval_s: float = 60.0


class _Version:
    """One version and its life so far."""

    def __init__(self, number: int) -> None:
        self.status = VersionStatus(version=number, state="START")
        self.loaded: Loaded | None = None
        self.calls = 0
        self.failures = 0
        self.retry_at_s = 0.0

    @property
    def is_live(self) -> bool:
        return self.status.state in ("LOADING", "AVAILABLE", "UNLOADING")

    @property
    def is_available(self) -> bool:
        return self.status.state == "AVAILABLE"

    def is_unused(self) -> bool:
        return not self.calls

    def may_be_opened(self, retries: Retries, now_s: float) -> bool:
        return not self.failures or (self.failures <= retries.count and now_s >= self.retry_at_s)

    def move(self, state: State, code: Code | Literal["OK"] = "OK", message: str = "") -> None:
        self.status = VersionStatus(version=self.status.version, state=state, code=code, message=message)

    def fail(self, why: str, retry_at_s: float) -> None:
        self.failures += 1
        self.retry_at_s = retry_at_s
        self.move("END", "UNKNOWN", why)


class Manager:
    """All models of a server. `configure` and `refresh` do the slow work, one at a time; looking up is quick."""

    def __init__(self, load: Load, retries: Retries, say: Callable[[str], None]) -> None:
        self._load = load
        self._retries = retries
        self._say = say
        self._changing = threading.Lock()
        self._changed = threading.Condition()
        self._entries: Mapping[str, ModelEntry] = {}
        self._labels: Mapping[tuple[str, str], int] = {}
        self._versions: dict[str, dict[int, _Version]] = {}

    # ------------------------------------------------------------------------------------------------------- looking up

    @contextmanager
    def use(self, name: str, version: int | None = None, label: str = "") -> Iterator[Loaded]:
        """The latest available version, or the one named, which stays for the block; StatusError when there is none."""
        with self._changed:
            found = self._find(name, self._labelled(name, label) if label else version)
            found.calls += 1
            loaded = found.loaded
        assert loaded is not None  # noqa: S101  it is available
        try:
            yield loaded
        finally:
            with self._changed:
                found.calls -= 1
                if not found.calls and not found.is_available:
                    self._changed.notify_all()

    def _find(self, name: str, version: int | None) -> _Version:
        if not name:
            raise StatusError("INVALID_ARGUMENT", "Missing ModelSpec" if version is None else "ModelSpec has no name")
        available = {number: each for number, each in self._versions.get(name, {}).items() if each.is_available}
        if version is None:
            if available:
                return available[max(available)]
            raise StatusError("NOT_FOUND", f"Servable not found for request: Latest({name})")
        if version in available:
            return available[version]
        raise StatusError("NOT_FOUND", f"Servable not found for request: Specific({name}, {version})")

    def _labelled(self, name: str, label: str) -> int:
        version = self._labels.get((name, label))
        if version is None:
            raise StatusError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return version

    def statuses(self, name: str, version: int | None = None, label: str = "") -> list[VersionStatus]:
        """All versions that ever were, the latest first, or the one named; StatusError when there are none."""
        with self._changed:
            if label:
                version = self._labelled(name, label)
            known = self._versions.get(name, {})
            if version is not None and version not in known:
                raise StatusError("NOT_FOUND", f"Could not find version {version} of model {name}")
            if not known:
                raise StatusError("NOT_FOUND", f"Could not find any versions of model {name}")
            numbers = sorted(known, reverse=True) if version is None else [version]
            return [known[number].status for number in numbers]

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models of the configuration."""
        return tuple(self._entries)

    # --------------------------------------------------------------------------------------------------------- changing

    def configure(self, entries: Sequence[ModelEntry]) -> Mapping[str, str]:
        """Serve these models and no others; model -> why no version of it is available, where none is."""
        with self._changing:
            self._entries = {entry.name: entry for entry in entries}
            self._refresh()
            return {entry.name: self._absence(entry) for entry in entries if not self._available(entry.name)}

    def label(self, entries: Sequence[ModelEntry], *, may_be_unavailable: bool) -> None:
        """Replace all labels by those of `entries`; StatusError when one stands for a version that is not available."""
        labels = {(entry.name, label): version for entry in entries for label, version in entry.labels}
        for (name, _), version in labels.items():
            if not may_be_unavailable and version not in self._available(name):
                raise StatusError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {name}, "
                    "which is not currently available for inference",
                )
        with self._changed:
            self._labels = labels

    def has_failed(self, name: str) -> bool:
        """Whether a version of the model could not be opened."""
        return any(version.failures for version in self._versions.get(name, {}).values())

    def refresh(self) -> None:
        """Look at the file system: open what is new, then take away what is no longer wanted."""
        with self._changing:
            self._refresh()

    def close(self) -> None:
        """Take every version away."""
        self.configure(())

    def _refresh(self) -> None:
        for entry in self._entries.values():
            found = versions_found(entry.base_path)
            wanted = versions_wanted(entry.policy, found)
            for number in sorted(wanted):
                self._open(entry.name, number, found[number])
            # While nothing that is wanted can be had, what is there stays.
            if not wanted or wanted & self._available(entry.name):
                self._take_away(entry.name, keep=wanted)
        for name in self._versions.keys() - self._entries.keys():
            self._take_away(name, keep=frozenset())

    def _open(self, name: str, number: int, directory: Path) -> None:
        with self._changed:
            version = self._versions.setdefault(name, {}).setdefault(number, _Version(number))
            if version.is_live or not version.may_be_opened(self._retries, time.monotonic()):
                return
            version.move("LOADING")
        try:
            loaded = self._load(name, number, directory)
        except Exception as error:  # noqa: BLE001  whatever lies there, the other versions are served
            why = error.message if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            self._say(f"{name}, version {number} cannot be opened: {why}")
            with self._changed:
                version.fail(why, time.monotonic() + self._retries.interval_s)
            return
        with self._changed:
            version.loaded, version.failures = loaded, 0
            version.move("AVAILABLE")
        self._say(f"{name}, version {number} is available")

    def _take_away(self, name: str, keep: frozenset[int]) -> None:
        """Unload what is not kept; what is still in use after a while goes with a later refresh."""
        for number, version in self._versions.get(name, {}).items():
            is_kept = number in keep and version.status.state != "UNLOADING"  # who begins to leave, leaves
            if is_kept or not version.is_live:
                continue
            with self._changed:
                version.move("UNLOADING")
                if not self._changed.wait_for(version.is_unused, _UNLOAD_WAIT_S):
                    continue
                loaded, version.loaded = version.loaded, None
            if loaded is not None:
                loaded.close()
            with self._changed:
                version.move("END")
            self._say(f"{name}, version {number} has been unloaded")

    def _available(self, name: str) -> frozenset[int]:
        with self._changed:
            return frozenset(number for number, each in self._versions.get(name, {}).items() if each.is_available)

    def _absence(self, entry: ModelEntry) -> str:
        failures = [each.status for each in self._versions.get(entry.name, {}).values() if each.status.message]
        if failures:
            return f"version {failures[-1].version}: {failures[-1].message}"
        return f"no version below {entry.base_path} that its policy serves"
