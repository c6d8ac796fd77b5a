"""Topologies: how a variant is reached."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

TOPOLOGIES: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="direct",
        target="servers.direct:Direct",
        summary="in process: the worker that measures holds the model",
    ),
    PluginSpec(
        name="external",
        target="servers.external:External",
        summary="a server that somebody else runs, at a URL",
    ),
    PluginSpec(
        name="multiprocess",
        target="servers.multiprocess:Multiprocess",
        summary="several processes that hold the model, behind one port or behind one front",
        needs=("httptools", "orjson", "uvicorn", "uvloop"),
        uses=("gunicorn", "uvicorn_worker"),
    ),
    PluginSpec(
        name="nginx",
        target="servers.nginx:Nginx",
        summary="nginx before several web servers that each hold the model",
        needs=("httptools", "orjson", "uvicorn", "uvloop"),
    ),
    PluginSpec(
        name="queue",
        target="servers.queue:Queue",
        summary="a message queue (RabbitMQ or Redis) between a web server and workers that hold the model",
        needs=("httptools", "orjson", "uvicorn", "uvloop"),
        uses=("pika", "redis"),
    ),
    PluginSpec(
        name="simple",
        target="servers.simple:Simple",
        summary="one web server (uvicorn) that holds the model",
        needs=("httptools", "orjson", "uvicorn", "uvloop"),
    ),
    PluginSpec(
        name="tf_serving",
        target="servers.tf_serving:TfServing",
        accepts=("saved_model",),
        summary="TensorFlow Serving: the program tensorflow_model_server, here or in a container image",
    ),
    PluginSpec(
        name="tfs_protocol",
        target="servers.tfs_protocol:TfsProtocol",
        summary="one server of ours that speaks TensorFlow Serving's protocol, over gRPC or REST",
        needs=("google.protobuf", "grpc", "httptools", "orjson", "uvicorn", "uvloop"),
    ),
    PluginSpec(
        name="triton",
        target="servers.triton:Triton",
        accepts=("onnx",),
        summary="NVIDIA Triton, with the model on ONNX Runtime in its Python backend",
    ),
)
