"""What is written down about a machine. Numbers of two runs may be compared when all but the moment is equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bench.core.canonical import digest

_ID_CHARS = 16

Pairs = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """The processor as the kernel shows it; empty where it shows nothing (a governor in a virtual machine, say)."""

    model: str
    microcode: str
    logical_cpus: int
    threads_per_core: int
    numa_nodes: int
    caches: Pairs  # of the first logical CPU: "L1d" -> "32K"
    hypervisor: bool
    governor: str
    turbo: str  # "on", "off" or "" when not shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """The kernel and the settings of it that move latencies."""

    release: str
    clock_source: str
    transparent_huge_pages: str
    address_space_layout: str  # "randomized", "partly randomized" or "fixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What of the machine this process may use; None means all."""

    affinity: tuple[int, ...]
    cpuset: str
    cpu_quota_cores: float | None
    memory_limit_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Software:
    """Interpreter, C library, installed packages, and the variables that steer threads and memory in a worker."""

    python: str
    libc: str
    packages: Pairs
    preload: str
    variables: Pairs


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU as NVML names it."""

    name: str
    driver: str
    memory_bytes: int
    mig: bool
    compute_capability: str = ""  # 9.0; empty where NVML does not tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What differs between any two runs on one machine; never part of the identity.

    The control group's path is among it: session managers, containers and job systems invent a new one each time,
    while what it grants (quota, cpuset, memory) is in `Share`.
    """

    started_at: str  # ISO 8601, UTC
    boot_id: str
    control_groups: Pairs
    load_average: tuple[float, ...]
    cpu_pressure_ratio: float | None  # share of the last 10 s in which some task waited for a CPU
    available_memory_bytes: int
    temperatures_celsius: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """A machine in the state in which it measured."""

    processor: Processor
    memory_gib: int  # rounded: the kernel keeps a few pages more or less from boot to boot
    kernel: Kernel
    share: Share
    software: Software
    gpus: tuple[Gpu, ...]
    moment: Moment

    @property
    def id(self) -> str:
        """Equal for equal machines in equal states: a digest of everything but the moment."""
        identity = asdict(self)
        del identity["moment"]
        return digest(identity, length=_ID_CHARS)
