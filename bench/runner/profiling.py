"""The second pass: a cell opened anew under one profiler at a time, each alone in a child; nothing of it is timed."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.core import plugins
from bench.core.cell import Cell
from bench.core.errors import BenchError, MatrixError
from bench.core.job import ProfileJob
from bench.core.profiling import OpProfile, Profile
from bench.core.results import Outcome
from bench.matrix import Matrix
from bench.plan import make_plan
from bench.profile.files import INDEX, write_files
from bench.records import writable_directory, writing_to
from bench.supervise import Answer

from .backstage import backstage
from .crew import Crew, outcome_of
from .prepared import Prepared
from .watch import Watcher

#: Calls of the model that each profiler watches.
DEFAULT_RUNS = 20
#: What one profiler does in one go: it opens the model, warms it up, and watches.
_PHASES = 3
_ELSEWHERE = "free space there, or name another directory: --out"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileResult:
    """What the profilers found in one cell, and why others found nothing (profiler -> outcome)."""

    prepared: Prepared
    out_dir: Path
    profiles: tuple[Profile, ...]
    failures: Mapping[str, Outcome]

    @property
    def ops(self) -> OpProfile | None:
        """The operators that the cell's runtime executed; None where no profiler of it could tell."""
        return next((profile.ops for profile in self.profiles if profile.ops is not None), None)


def profilers_of(adapter: str) -> tuple[str, ...]:
    """Names of the profilers that look into an adapter, those of its own runtime first."""
    fitting = [spec for spec in plugins.table("profilers").values() if not spec.accepts or adapter in spec.accepts]
    return tuple(spec.name for spec in sorted(fitting, key=lambda spec: not spec.accepts))


def has_op_profiler(adapter: str) -> bool:
    """Whether a profiler knows this adapter's runtime, and so its operators."""
    return any(plugins.lookup("profilers", name).accepts for name in profilers_of(adapter))


def profile(
    crew: Crew, prepared: Prepared, out_dir: Path, *, runs: int = DEFAULT_RUNS, profilers: Sequence[str] = ()
) -> ProfileResult:
    """Look into one prepared cell with the named profilers, by default with all that know its adapter.

    Their files are left in `out_dir`, which is made anew: what an earlier look left is gone. What a profiler cannot do
    becomes an outcome of its own; MatrixError for one that does not know the cell's adapter.
    """
    adapter = prepared.cell.variant.adapter
    for name in profilers:
        _require_one([name], prepared.cell)
    out_dir = out_dir.absolute()  # the child works elsewhere
    if (out_dir / INDEX).exists():
        with writing_to(out_dir, "an earlier look cannot be removed", _ELSEWHERE):
            shutil.rmtree(out_dir)
    writable_directory(out_dir, "--out")
    found: list[Profile] = []
    failures: dict[str, Outcome] = {}
    for name in profilers or profilers_of(adapter):
        made = _with_one(crew, prepared, out_dir, name, runs)
        if isinstance(made, Profile):
            found.append(made)
        else:
            failures[name] = made
    with writing_to(out_dir, "what was seen cannot be written", _ELSEWHERE):
        write_files(out_dir, prepared.cell.id, found, failures)
    return ProfileResult(prepared=prepared, out_dir=out_dir, profiles=tuple(found), failures=failures)


def _require_one(profilers: Sequence[str], cell: Cell) -> None:
    """MatrixError unless one of the profilers knows the cell's adapter."""
    known = profilers_of(cell.variant.adapter)
    for name in profilers:
        plugins.lookup("profilers", name)
    if not any(name in known for name in profilers):
        raise MatrixError(
            f"{', '.join(profilers)} does not look into {cell.variant.adapter}, on which {cell.id} runs",
            hint=f"profilers that do: {', '.join(known)}",
        )


def _with_one(crew: Crew, prepared: Prepared, out_dir: Path, profiler: str, runs: int) -> Profile | Outcome:
    job = ProfileJob(
        profiler=profiler,
        cell=prepared.cell,
        artifact=prepared.artifact,
        pool_path=prepared.pool.path,
        runs=runs,
        out_dir=str(out_dir),
    )
    try:
        child = crew.hire(job, f"profile.{profiler}.{prepared.cell.id}", prepared.cell.limits)
    except BenchError as error:
        return Outcome(status="failed", reason=error.message, hint=error.hint or "", culprit=error.culprit)
    try:
        reply = crew.ask(child, "profile", phases=_PHASES)
    finally:
        crew.dismiss([child])
    if not isinstance(reply, Answer):
        return outcome_of(reply)
    path = Path(str(reply.body["path"]))
    found = msgspec.json.decode(path.read_bytes(), type=Profile)
    path.unlink()  # what it holds is written out in other forms, except for the events of passes without a trace
    return found


def profile_cells(
    matrix: Matrix,
    out_dirs: Mapping[str, Path],
    watcher: Watcher,
    *,
    runs: int = DEFAULT_RUNS,
    profilers: Sequence[str] = (),
    phase_deadline_s: float | None = None,
    store_root: Path | None = None,
) -> dict[str, ProfileResult | Outcome]:
    """Prepare and look into the cells of `matrix` that `out_dirs` names (cell id -> where its files go).

    Artifacts come from the store, and are built where they are missing; inputs are those of a run of this matrix. The
    outcome says why a cell cannot be looked into. `phase_deadline_s` takes the place of the matrix's. Profilers that do
    not know a cell's adapter are left out for it; MatrixError where none is left.
    """
    plan = make_plan(matrix.groups)
    for cell in matrix.cells:
        if cell.id in out_dirs and profilers:
            _require_one(profilers, cell)
    wanted = [(cell, group.reference) for group in plan.groups for cell in group.cells if cell.id in out_dirs]
    runnable = [(cell, reference) for cell, reference in wanted if cell.id not in plan.obstacles]
    measurement = replace(matrix.measurement, phase_deadline_s=phase_deadline_s or matrix.measurement.phase_deadline_s)
    with backstage(measurement, watcher, store_root=store_root, purpose="profile") as stage:
        made = stage.workshop.prepare(runnable)
        looked = {
            cell_id: _look(stage.crew, prepared, out_dirs[cell_id], watcher, runs=runs, profilers=profilers)
            for cell_id, prepared in made.items()
        }
    obstacles = {cell.id: plan.obstacles[cell.id] for cell, _ in wanted if cell.id in plan.obstacles}
    return {**obstacles, **looked}


def _look(
    crew: Crew,
    prepared: Prepared | Outcome,
    out_dir: Path,
    watcher: Watcher,
    *,
    runs: int,
    profilers: Collection[str],
) -> ProfileResult | Outcome:
    if isinstance(prepared, Outcome):
        return prepared
    known = profilers_of(prepared.cell.variant.adapter)
    fitting = tuple(name for name in known if not profilers or name in profilers)
    watcher.note(f"profiling {prepared.cell.id}: {', '.join(fitting)}")
    return profile(crew, prepared, out_dir, runs=runs, profilers=fitting)
