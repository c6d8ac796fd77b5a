"""A step of another distribution, from its entry point to its artifact: built once, failures never kept."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core import plugins
from tests.runner.conftest import Run, null_matrix

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

#: Copies the null model and writes down that it did; fails as long as a file called `broken` lies beside it.
_STEP = """
import shutil
from dataclasses import dataclass
from pathlib import Path
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.core.plugins import PluginSpec

HERE = Path(__file__).parent
SPEC = PluginSpec(name="stamp", target="stamping_party:STEP", summary="a test's", accepts=("null",))

@dataclass(frozen=True, kw_only=True)
class Options:
    word: str = ""

class Step:
    Options = Options

    def blockers(self, source_format, options):
        return ()

    def apply(self, source, options, out_dir, examples):
        with open(HERE / "applied.txt", "a") as applied:
            applied.write(options.word + "\\n")
        if options.word == (HERE / "broken").read_text():
            raise StepFailed("the stamp is dry", hint="buy ink")
        model = out_dir / "null.json"
        shutil.copyfile(source.path, model)
        (out_dir / "stamp.txt").write_text(options.word)
        return StepResult(format="null", path=model, inputs=source.inputs, outputs=source.outputs)

STEP = Step()
"""


class Party:
    """The installed distribution: what its step did, and which word it cannot stamp."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.site.mkdir()
        metadata = site / "stamping_party-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stamping-party\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[deploybench.steps]\nstamp = stamping_party:SPEC\n")
        (site / "stamping_party.py").write_text(_STEP)
        self.cannot("(nothing)")

    def cannot(self, word: str) -> None:
        (self.site / "broken").write_text(word)

    def applied(self) -> Counter[str]:
        file = self.site / "applied.txt"
        return Counter(file.read_text().split() if file.exists() else ())


@pytest.fixture
def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Party]:
    installed = Party(tmp_path / "site")
    monkeypatch.syspath_prepend(str(installed.site))
    paths = [str(installed.site), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    plugins.table.cache_clear()
    yield installed
    sys.modules.pop("stamping_party", None)
    plugins.table.cache_clear()


def chains(**steps: str) -> str:
    """A matrix of `plain` and of variants with these chains, each with an adapter of its own behaviour."""
    text = null_matrix({"plain": "seed: 0"}).replace("rounds: 2", "rounds: 1").replace("max_rounds: 2", "max_rounds: 1")
    lines = [f'  {name}: {{source: "null", steps: {chain}, adapter: "null"}}' for name, chain in steps.items()]
    return text.replace("\nmeasurement", "\n" + "\n".join(lines) + "\n\nmeasurement", 1)


ONE = "[{stamp: {word: one}}]"
TWO = "[{stamp: {word: one}}, {stamp: {word: two}}]"


def test_a_chain_that_variants_share_is_built_once_and_not_again_by_the_next_run(party: Party, run_null: Run) -> None:
    text = chains(once=ONE, again=ONE, twice=TWO)
    records = run_null(text)
    assert {name: record.outcome.status for name, record in records.items()} == dict.fromkeys(
        ("plain", "once", "again", "twice"), "ok"
    )
    assert party.applied() == {"one": 1, "two": 1}
    made = {name: record.artifact for name, record in records.items() if record.artifact is not None}
    assert made["once"].id == made["again"].id != made["twice"].id
    assert [link.step for link in made["twice"].lineage] == ["source", "stamp", "stamp"]
    assert made["twice"].lineage[2].source_id == made["once"].id

    run_null(text, resume=False)
    assert party.applied() == {"one": 1, "two": 1}


def test_a_step_that_fails_is_the_outcome_of_all_that_need_it_and_is_tried_anew_by_the_next_run(
    party: Party, run_null: Run
) -> None:
    party.cannot("one")
    text = chains(once=ONE, twice=TWO, other="[{stamp: {word: three}}]")
    records = run_null(text)
    assert records["plain"].outcome.status == records["other"].outcome.status == "ok"
    for name in ("once", "twice"):
        outcome = records[name].outcome
        assert (outcome.status, outcome.culprit, outcome.hint) == ("failed", "step", "buy ink")
        assert "the stamp is dry" in outcome.reason
        assert records[name].statistics is None
    assert party.applied() == {"one": 1, "three": 1}, "nothing was made of what is not there"

    party.cannot("(nothing)")
    records = run_null(text, resume=False)
    assert {record.outcome.status for record in records.values()} == {"ok"}
    assert party.applied() == {"one": 2, "two": 1, "three": 1}
