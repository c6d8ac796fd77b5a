"""One thing that the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["ok", "warning", "problem", "unavailable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A finding in words; `hint` is the next step, empty when there is none.

    ok: works. warning: numbers suffer. problem: something is broken. unavailable: cannot be used here, and that is
    no fault.
    """

    kind: Kind
    subject: str
    text: str
    hint: str = ""
