"""Reading /proc and /sys below a root that tests can replace. What the kernel does not show reads as empty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


def read_text(path: Path) -> str:
    """The content without surrounding blanks; empty when the kernel does not show the file to us.

    Only for files of /proc and /sys, where being absent or unreadable is an answer and not an error.
    """
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """A file of one integer; None when absent or when it says something else ("max")."""
    try:
        return int(read_text(path))
    except ValueError:
        return None


def fields(text: str, separator: str = ":") -> dict[str, str]:
    """Lines `name<separator>value` by name, the first of a name wins."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, parted, value = line.partition(separator)
        if parted:
            found.setdefault(name.strip(), value.strip())
    return found


def id_list(text: str) -> tuple[int, ...]:
    """The kernel's list format: "0-2,5" is 0, 1, 2, 5."""
    ids: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ids += range(int(first), int(last or first) + 1)
    return tuple(ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlGroup:
    """Where this process stands in one hierarchy: `directories` run from its own group up to the mount."""

    version: int
    directories: tuple[Path, ...]


def control_group(controller: str, root: Path = ROOT) -> ControlGroup | None:
    """This process's group in the hierarchy that holds `controller`, v1 before v2 as the kernel does; None: nowhere."""
    own_paths = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own_paths.update(dict.fromkeys(controllers.split(","), path))
    for version, name in ((1, controller), (2, "")):
        mounted = _mount(version, controller, root)
        if name in own_paths and mounted is not None:
            mount_point, mount_root = mounted
            return ControlGroup(version=version, directories=_upwards(mount_point, mount_root, own_paths[name]))
    return None


def _mount(version: int, controller: str, root: Path) -> tuple[Path, str] | None:
    """Mount point and the path inside the hierarchy that is mounted there."""
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        mount_root, mount_point = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if (version == 2 and kind == "cgroup2") or (
            version == 1 and kind == "cgroup" and controller in options.replace(",", " ").split()
        ):
            return root / mount_point.lstrip("/"), mount_root
    return None


def _upwards(mount_point: Path, mount_root: str, path: str) -> tuple[Path, ...]:
    """In a container without a namespace of its own, `path` is the host's and starts with `mount_root`."""
    inside = path.removeprefix(mount_root) if mount_root != "/" else path
    own = mount_point / inside.lstrip("/")
    if not own.is_dir():  # the path is the host's, and only our own group is mounted
        return (mount_point,)
    above = [directory for directory in own.parents if directory.is_relative_to(mount_point)]
    return (own, *above)
