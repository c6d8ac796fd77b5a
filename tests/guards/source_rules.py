"""What no source file may do, found in its syntax tree: run code from data, open a shell, listen to the world."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: Called by their full name, whatever they were imported as.
FORBIDDEN_CALLS = {
    **dict.fromkeys(("eval", "exec"), "runs text as code"),
    **dict.fromkeys(
        (
            "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open",
            "cloudpickle.load", "cloudpickle.loads", "dill.load", "dill.loads", "joblib.load", "pandas.read_pickle",
        ),
        "unpickling runs code",
    ),
    **dict.fromkeys(
        ("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "ruamel.yaml.load"),
        "may construct any object; use ruamel.yaml.YAML",
    ),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "opens a shell"),
    "keras.config.enable_unsafe_deserialization": "lets a model file run code",
}  # fmt: skip

#: keyword -> the value that is refused.
FORBIDDEN_KEYWORDS = {
    "shell": True,
    "weights_only": False,
    "allow_pickle": True,
    "autoescape": False,
    "safe_mode": False,
    "trust_remote_code": True,
}

#: Writing a pickle runs nothing; tests write hostile files with these.
_WRITERS = {"save", "savez", "savez_compressed"}

#: The last word of a call -> the keyword that must be written down.
REQUIRED_KEYWORDS = {"extractall": "filter", "unpack_archive": "filter"}
REQUIRED_KEYWORDS_OF_NAMES = {"torch.load": "weights_only", "jinja2.Environment": "autoescape"}

_EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104 - named here to be refused


def violations(source: str) -> Iterator[tuple[int, str]]:
    """Line number and reason of each forbidden thing in `source`."""
    tree = ast.parse(source)
    names = dict(_imported_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for reason in _of_call(node, names):
                yield node.lineno, reason
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_every_interface(node.value):
            yield node.lineno, f"{node.value!r} listens on every interface"


def _is_every_interface(text: str) -> bool:
    return text in _EVERY_INTERFACE or text.startswith(("0.0.0.0:", "[::]:"))


def _imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Name in this file -> full name of what it was imported from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else ((alias.name.split(".")[0],) * 2)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Dotted name of an expression through this file's imports; empty when it is no plain name."""
    if isinstance(node, ast.Name):
        builtin = node.id if node.id in {"eval", "exec"} else ""
        return names.get(node.id, builtin)
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def _of_call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = _full_name(node.func, names)
    if name in FORBIDDEN_CALLS:
        yield f"{name}: {FORBIDDEN_CALLS[name]}"
    last = node.func.attr if isinstance(node.func, ast.Attribute) else name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    for keyword, refused in FORBIDDEN_KEYWORDS.items():
        value = given.get(keyword)
        if isinstance(value, ast.Constant) and value.value is refused and last not in _WRITERS:
            yield f"{keyword}={refused}"
    required = REQUIRED_KEYWORDS.get(last) or REQUIRED_KEYWORDS_OF_NAMES.get(name)
    if required and required not in given:
        yield f"{last} without {required}="
