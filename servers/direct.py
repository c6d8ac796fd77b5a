"""In process: no server, no wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.core.serving import Description, Service, Site


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Nothing can be chosen."""


class Direct:
    """The measuring worker opens the artifact itself, so there is nothing to start and nothing to ask."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = True

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """None: what an adapter can open can be called."""
        return ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """Never asked: a runner that wants to start something here has a bug."""
        raise TypeError("a model in process has no server to describe")
