"""Servers that say what a test puts into their mouth: over HTTP by path, over gRPC by method."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = tuple[int, bytes]


@contextmanager
def http_server(answers: Mapping[str, Said]) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """Its port, and (path, body) of every POST so far; 404 for a path without an answer."""
    posts: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self._say()

        def do_POST(self) -> None:
            posts.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self._say()

        def _say(self) -> None:
            status, body = answers.get(self.path, (404, b'{"error": "no such thing"}'))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port, posts
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_server(methods: Mapping[str, Callable[[bytes], bytes]]) -> Iterator[int]:
    """Its port; a method that raises a RuntimeError(CODE, text) ends with that status, others are unimplemented."""
    import grpc

    class Methods(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            method = methods.get(details.method)
            if method is None:
                return None

            def answer(body: bytes, context: Any) -> bytes:
                try:
                    return method(body)
                except RuntimeError as error:
                    context.abort(grpc.StatusCode[error.args[0]], error.args[1])
                raise AssertionError

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((Methods(),))
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
