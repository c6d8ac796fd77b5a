"""A topology kept up for people: on the host's network, until they have had enough of it or it ends by itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.core.cell import Cell, Limits
from bench.core.errors import HostError, Interrupted, RefusedError, TargetError
from bench.core.serving import LOOPBACK, Description
from bench.formats.tokenizer import takes_texts
from bench.matrix import Matrix
from bench.plan import make_plan
from bench.zoo.texts import tokenizer_of

from .backstage import Backstage, backstage
from .deployment import Deployment, ServingFailed, Settings
from .numerics import as_error, require
from .prepared import Prepared
from .watch import Watcher

_LOOK_S = 0.2  # how soon a signal or a death is noticed
_REPOSITORY_FLAG = "--model_base_path="
_LOG_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Up:
    """A topology that answers; `directory` is for files that live as long as it."""

    description: Description
    prepared: Prepared
    directory: Path
    pids: Mapping[str, int]
    tokenizer: Path | None
    start_s: float
    _stage: Backstage
    _deployment: Deployment

    @property
    def repository(self) -> Path | None:
        """Where a new version of the model is looked for, None where none is."""
        words = [word for process in self.description.processes for word in process.argv]
        found = next((word for word in words if word.startswith(_REPOSITORY_FLAG)), None)
        return None if found is None else Path(found.removeprefix(_REPOSITORY_FLAG))

    def wait(self) -> None:
        """Return when a signal asks for the end; TargetError when a process of the topology ends before."""
        try:
            while True:
                self._stage.crew.heed_signals()
                self._deployment.require_alive()
                time.sleep(_LOOK_S)
        except Interrupted:
            return
        except ServingFailed as failed:
            raise as_target_error(failed) from failed


@contextmanager
def served_up(
    matrix: Matrix,
    cell: Cell,
    reference: Cell,
    watcher: Watcher,
    *,
    port: int,
    tokenizer: Path | None = None,
    store_root: Path | None = None,
) -> Iterator[Up]:
    """Build the cell's variant and keep its topology up while the block lasts; port 0 takes any that is free.

    TargetError when the variant cannot be built or served, HostError when the port is taken.
    """
    require_possible(matrix, cell)
    require_free(port)
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="serve") as stage:
        prepared = require(cell, stage.workshop.prepare([(cell, reference)])[cell.id])
        found = tokenizer or tokenizer_of(cell.model)
        if not takes_texts(prepared.artifact.inputs):
            found = None
        settings = Settings(
            servers_limits=cell.limits,
            clients_limits=Limits(threads=1),
            start_deadline_s=matrix.serving.start_deadline_s,
            network="host",
            port=port or None,
            tokenizer="" if found is None else str(found.absolute()),
        )
        require_free(port)
        watcher.note(f"starting {cell.topology}")
        tolerance = matrix.tolerances[cell.model.name, cell.variant.name]
        deployment = Deployment(stage.crew, prepared, stage.directory / "served", settings, tolerance, name="serve")
        with ExitStack() as stack:
            try:
                stack.enter_context(deployment)
            except ServingFailed as failed:
                raise as_target_error(failed) from failed
            yield _up(stage, deployment, prepared, found)


def _up(stage: Backstage, deployment: Deployment, prepared: Prepared, tokenizer: Path | None) -> Up:
    assert deployment.description is not None  # noqa: S101  it is up
    return Up(
        description=deployment.description,
        prepared=prepared,
        directory=stage.directory,
        pids=deployment.pids,
        tokenizer=tokenizer,
        start_s=deployment.start_s,
        _stage=stage,
        _deployment=deployment,
    )


def require_free(port: int) -> None:
    """HostError when something listens on a port of this machine's loopback; 0 is always free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what only waits for stragglers is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise HostError(
                f"port {port} cannot be had: {error.strerror}",
                hint="another program may listen there: --port with another one, or 0 for any that is free",
            ) from error


def require_possible(matrix: Matrix, cell: Cell) -> None:
    """RefusedError or TargetError when the plan says that the cell cannot be had on this host."""
    obstacle = make_plan(matrix.groups).obstacles.get(cell.id)
    if obstacle is None:
        return
    if obstacle.status == "refused":
        raise RefusedError(obstacle.reason, hint=obstacle.hint)
    raise as_error(cell, obstacle)


def as_target_error(failed: ServingFailed) -> TargetError:
    """With the last words of the process: its log goes with the directory."""
    outcome = failed.outcome
    last = next((line for line in reversed(outcome.log_tail.splitlines()) if line.strip()), "")
    return TargetError(outcome.reason, hint=f"its last words: {last.strip()[:_LOG_CHARS]}" if last else outcome.hint)
