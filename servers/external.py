"""A server that somebody else runs: nothing is started, the load goes to a URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from bench.core.errors import MatrixError
from bench.core.serving import Description, Endpoint, Service, Site

HttpEncoding = Literal["binary", "json", "kserve", "kserve_binary", "npy", "tfs_columns", "tfs_row"]
GrpcEncoding = Literal["kserve_grpc", "tfs_grpc"]

_FORM = "http://HOST:PORT or grpc://HOST:PORT"
_NOTES = (
    "external: nothing proves that this model answers at the URL; only its answers are compared with the model's own.",
    "external: the server's processors, memory and limits are its own: nothing of them is measured or set.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """`url` is http://HOST:PORT or grpc://HOST:PORT; `model` is the name under which the server has the model, where
    it is not that of the matrix."""

    url: str = ""
    encoding: HttpEncoding | GrpcEncoding = "kserve_binary"
    model: str = ""
    keep_alive: bool = True
    compression: Literal["none", "gzip"] = "none"


class External:
    """Asks a server that is already there."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """What is wrong with the URL, with the right form; whether anybody answers there shows when it is asked."""
        problem = _problem(options.url, options.encoding)
        return (problem,) if problem else ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """No process, only an endpoint; MatrixError when the URL is none."""
        problem = _problem(options.url, options.encoding)
        if problem:
            raise MatrixError(f"external: {problem}")
        scheme, host, port = _parts(options.url)
        endpoint = Endpoint(
            protocol="grpc" if scheme == "grpc" else "http",
            host=host,
            port=port,
            encoding=options.encoding,
            model=options.model or service.model,
            keep_alive=options.keep_alive,
            compression=options.compression,
            tells_stamps=False,
        )
        return Description(processes=(), endpoint=endpoint, network="host", does_all_work=False, notes=_NOTES)


def _problem(url: str, encoding: str) -> str:
    """Why this is no URL for requests in `encoding`; empty when it is one."""
    if not url:
        return f"no url: say where the server listens, url: {_FORM}"
    if "@" in url:
        return f"url holds a user name or a password, which would be sent in clear; the form is {_FORM}"
    try:
        scheme, host, port = _parts(url)
    except ValueError as error:
        return f"url {url!r}: {error}; the form is {_FORM}"
    if scheme not in {"http", "grpc"} or not host or not port or _has_more(url):
        return f"url {url!r} is not of the form {_FORM}"
    if (scheme == "grpc") != encoding.endswith("_grpc"):
        return (
            f"url {url!r} does not go with encoding {encoding}: encodings that end in _grpc are for grpc://, others for"
            " http://"
        )
    return ""


def _parts(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or 0


def _has_more(url: str) -> bool:
    """Paths come from the encoding."""
    parts = urlsplit(url)
    return parts.path not in {"", "/"} or bool(parts.query or parts.fragment)
