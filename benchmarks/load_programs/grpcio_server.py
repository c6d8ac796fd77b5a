"""An echo server of gRPC's own library, as a process of its own; it prints its port."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc


class Echo(grpc.GenericRpcHandler):
    """Messages are bytes; nothing is parsed."""

    def service(self, details: Any) -> Any:
        """The handler of a method; None for those that there are not."""
        if details.method == "/test.Echo/Echo":
            return grpc.unary_unary_rpc_method_handler(_echo)
        if details.method == "/test.Echo/Refuse":
            return grpc.unary_unary_rpc_method_handler(_refuse)
        return None


def _echo(message: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("bench-stamps", f"{os.getpid()},1,2,3,4,5,6"),))
    return message


def _refuse(_: bytes, context: Any) -> bytes:
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full: 12 waiting %")


def main() -> None:
    """Serve until the end."""
    server = grpc.server(
        ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    )
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
