"""Python's own profiler: every function, of Python or native, that ran while the model was opened and called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.profiling import FunctionTime, Phase, Profile, Subject

from .host import watch

if TYPE_CHECKING:
    import cProfile

_KEPT_FUNCTIONS = 100


class CProfile:
    """Looks at functions, with every adapter."""

    def profile(self, subject: Subject) -> Profile:
        """All functions while calling, and while opening; `.prof` files for pstats and snakeviz."""
        import cProfile

        opening, calling = cProfile.Profile(), cProfile.Profile()
        watched = watch(subject, opening=_on(opening), calling=_on(calling), follow=False)
        watched.session.close()
        files = {"cprofile.prof": calling, "cprofile-open.prof": opening}
        for name, found in files.items():
            found.dump_stats(subject.out_dir / name)
        return Profile(
            profiler="cprofile",
            pid=os.getpid(),
            functions=(*_functions(calling, "call"), *_functions(opening, "open")),
            events=watched.events,
            files=tuple(files),
            notes=("every call of a function costs more under cProfile: many small ones look slower than they are",),
        )


@contextmanager
def _on(profiler: cProfile.Profile) -> Iterator[None]:
    profiler.enable()
    try:
        yield
    finally:
        profiler.disable()


def _functions(profiler: cProfile.Profile, phase: Phase) -> list[FunctionTime]:
    """Those that took longest by themselves, without this package's own watching."""
    import pstats

    stats = pstats.Stats(profiler)
    found = [
        FunctionTime(
            file=file,
            line=line,
            function=name,
            calls=calls,
            own_ns=round(own_s * 1e9),
            total_ns=round(total_s * 1e9),
            phase=phase,
        )
        for (file, line, name), (_, calls, own_s, total_s, _) in stats.stats.items()  # type: ignore[attr-defined]
        if Path(file).parent != Path(__file__).parent
    ]
    return sorted(found, key=lambda each: -each.own_ns)[:_KEPT_FUNCTIONS]


PROFILER = CProfile()
