"""The page that shows and tries a server's paths: Swagger UI from its package, without anything from another host."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

from bench.core.plugins import install_hint

from .http_messages import Refused, Response

DOCUMENT_PATH = "/openapi.json"

_FILES: Mapping[str, bytes] = {
    "swagger-ui.css": b"text/css",
    "swagger-ui-bundle.js": b"text/javascript",
    "favicon-32x32.png": b"image/png",
}
_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>deploybench</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
#: Scripts and styles of this server alone; Swagger UI sets styles and shows small images from its own code.
_POLICY = b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_START = f"""SwaggerUIBundle({{url: "{DOCUMENT_PATH}", dom_id: "#page", deepLinking: true}});
""".encode()


def docs_pages() -> Mapping[str, Callable[[], Response]]:
    """Path -> what makes its answer to GET."""
    page = partial(_answer, b"text/html; charset=utf-8", _PAGE)
    return {
        "/": page,
        "/docs": page,
        "/docs/start.js": partial(_answer, b"text/javascript", _START),
        **{f"/docs/{name}": partial(_file, name, kind) for name, kind in _FILES.items()},
    }


def _answer(kind: bytes, body: bytes) -> Response:
    _directory()
    return Response(200, ((b"content-type", kind), (b"content-security-policy", _POLICY)), body)


def _file(name: str, kind: bytes) -> Response:
    return Response(200, ((b"content-type", kind), (b"cache-control", b"max-age=3600")), _content(name))


@cache
def _content(name: str) -> bytes:
    return (_directory() / name).read_bytes()


def _directory() -> Path:
    """Where the package keeps its files; Refused says how to get it."""
    package = importlib.util.find_spec("swagger_ui_bundle")
    if package is None or package.origin is None:
        hint = install_hint(["swagger_ui_bundle"])
        raise Refused(404, f"the page needs a package that is not installed: {hint}; {DOCUMENT_PATH} is there")
    found = sorted(Path(package.origin).parent.glob("vendor/swagger-ui-*/swagger-ui-bundle.js"))
    if not found:
        raise Refused(404, f"the package swagger_ui_bundle has no files for the page; {DOCUMENT_PATH} is there")
    return found[-1].parent
