"""The documentation speaks of what exists: links lead somewhere, verbs, options, names and matrices are real."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from bench import matrix
from bench.cli.main import VERBS
from bench.core import errors, plugins
from bench.core.results import Status
from bench.measure.flags import FLAGS
from bench.measure.served.validity import SERVED_FLAGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
OURS = ("bench", "optimizers", "converters", "servers")

_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?<![\w./-])(?:python -m bench|deploybench|bench) (?P<verb>[a-z]+)\b(?P<words>[^\n|;]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_NAMED_FILE = re.compile(r"\b(?:path|inputs): *([\w./-]+)")

pages = pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])


def blocks(text: str, language: str) -> list[str]:
    return [match["text"] for match in _FENCE.finditer(text) if match["language"] == language]


def code(text: str) -> Iterator[str]:
    """Commands and what programs print: fenced blocks that are no Python, then words between backticks."""
    yield from (match["text"] for match in _FENCE.finditer(text) if match["language"] != "python")
    yield from _INLINE.findall(_FENCE.sub("", text))


def links(page: Path) -> list[tuple[Path, str]]:
    """Target file and anchor of each relative link."""
    found = []
    for target in _LINK.findall(_INLINE.sub("", _FENCE.sub("", page.read_text()))):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            found.append(((page.parent / name).resolve() if name else page, anchor))
    return found


def anchors(page: Path) -> set[str]:
    """Headings as links spell them."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {target.name}#{anchor}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [target for target, _ in links(page)]
    assert set(DOCS.rglob("*.md")) <= reached


def help_of(verb: str) -> str:
    parser = argparse.ArgumentParser(prog=verb)
    importlib.import_module(f"bench.cli.{verb}").arguments(parser)
    return parser.format_help()


@pages
def test_every_verb_and_option_in_a_command_exists(page: Path) -> None:
    for text in code(page.read_text()):
        for command in _COMMAND.finditer(text):
            verb = command["verb"]
            assert verb in VERBS, command.group()
            known = {*_OPTION.findall(help_of(verb)), "--debug"}
            assert set(_OPTION.findall(command["words"])) <= known, command.group()


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_of_the_command_line_shows_the_options_of_each_verb(verb: str) -> None:
    page = (DOCS / "reference" / "cli.md").read_text()
    section = page.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    (shown,) = blocks(section, "")
    assert set(_OPTION.findall(shown)) == set(_OPTION.findall(help_of(verb)))


MATRICES = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text(), "yaml"))
    if re.search(r"^schema: 1$", block, re.MULTILINE)
]


def test_there_are_matrices_in_the_documentation() -> None:
    assert len(MATRICES) > 5


@pytest.mark.parametrize("text", MATRICES)
def test_a_matrix_in_the_documentation_has_no_mistake(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _NAMED_FILE.findall(text):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    # The step that the page about plug-ins adds; any other that reads ONNX stands in for it.
    assert matrix.load(text.replace("half_weights", "quantize_dynamic")).groups


@pages
def test_python_in_the_documentation_names_what_exists(page: Path) -> None:
    for text in blocks(page.read_text(), "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                module = importlib.import_module(node.module)
                source = Path(str(module.__file__)).read_text()  # for what type checkers alone see
                for alias in node.names:
                    exists = hasattr(module, alias.name) or re.search(rf"^ *{alias.name} = ", source, re.MULTILINE)
                    assert exists, f"{node.module}.{alias.name}"


REFERENCES = {
    "models": "zoo.md",
    "steps": "steps.md",
    "adapters": "adapters.md",
    "topologies": "topologies.md",
    "limiters": "limits.md",
    "profilers": "profilers.md",
}
NAMES = [
    *((kind, spec.name, REFERENCES[kind]) for kind in plugins.TABLES for spec in plugins.table(kind).values()
      if spec.target.startswith(OURS)),
    *(("flags", flag, "measurement.md") for flag in FLAGS),
    *(("served flags", flag, "serving.md") for flag in SERVED_FLAGS),
    *(("statuses", status, "errors-and-status.md") for status in get_args(Status)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "page"), NAMES, ids=[f"{kind}-{name}" for kind, name, _ in NAMES])
def test_every_name_has_a_row_in_the_reference(kind: str, name: str, page: str) -> None:
    text = (DOCS / "reference" / page).read_text()
    assert re.search(rf"^\| (`{name}`|\[{name}\]\(#\w+\)) \|", text, re.MULTILINE), f"{name} in {page}"


@pytest.mark.parametrize("name", [name for name, value in vars(errors).items() if isinstance(value, type)])
def test_every_error_has_a_row_with_its_culprit_and_exit_code(name: str) -> None:
    error: type[errors.BenchError] = getattr(errors, name)
    exit_code = "128 + signal" if error is errors.Interrupted else str(error.exit_code)
    text = (DOCS / "reference" / "errors-and-status.md").read_text()
    assert f"| `{error.culprit}` | `{name}` | {exit_code} |" in text
