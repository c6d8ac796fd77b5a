"""Every error the harness raises on purpose, sorted by whose fault it is.

BenchError
├── MatrixError        what the user wrote: matrix file, options, words on the command line
├── RefusedError       security: running this needs the user's explicit trust
├── PluginError        a plug-in table or plug-in module is wrong
│   └── MissingPackage a package that a plug-in needs is not installed or is broken
├── StepFailed         an optimizer or converter could not do its work
├── TargetError        the model under measurement: cannot be opened, crashed, hung, out of memory
├── HostError          this machine: limits not granted, no memory, no permission
│   └── ExecutionUnavailable  the model is whole, but no device of this machine can execute it
├── StoreError         results or artifacts: damaged, full, locked by another run
└── Interrupted        a signal asked the run to stop; data is safe

A message names the thing, the place and the next step (`hint`). `exit_code` is what the command line returns.
"""

from __future__ import annotations


class BenchError(Exception):
    """Base of all errors raised on purpose; `message` is one line, `hint` is the next step."""

    exit_code = 1
    culprit = "deploybench"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class MatrixError(BenchError):
    """The user's matrix, path or option is wrong; `problems` holds one ready-to-print message per mistake."""

    exit_code = 2
    culprit = "matrix"

    def __init__(self, message: str, *, hint: str | None = None, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class RefusedError(BenchError):
    """Refused for safety: the format can run code and the user has not said `--trust`."""

    exit_code = 5
    culprit = "security"


class PluginError(BenchError):
    """A plug-in table line or plug-in module is wrong."""

    culprit = "plug-in"


class MissingPackage(PluginError):
    """A package that a plug-in needs is absent or fails to import."""

    exit_code = 3
    culprit = "package"


class StepFailed(BenchError):
    """An optimizer or converter could not produce its artifact."""

    exit_code = 3
    culprit = "step"


class TargetError(BenchError):
    """The model under measurement could not be opened or run."""

    exit_code = 3
    culprit = "target"


class HostError(BenchError):
    """This machine could not grant what was asked."""

    exit_code = 3
    culprit = "host"


class ExecutionUnavailable(HostError):
    """The artifact is whole, but no device of this machine can execute it: its cell is skipped, not failed."""


class StoreError(BenchError):
    """Results or artifacts are damaged, full or locked."""

    exit_code = 6
    culprit = "results"


class Interrupted(BenchError):
    """A signal asked the run to stop; `signal_number` decides the exit code (128 + signal)."""

    culprit = "operator"

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
