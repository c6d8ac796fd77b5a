"""The model that Triton's Python backend runs: an ONNX file in one session. Copied into a model repository.

It runs in Triton's own Python process; `model.json` beside it says what to open.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class TritonPythonModel:
    """The names of this class and of its methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the file, with thread pools as in the adapter for ONNX Runtime."""
        import onnxruntime

        told = json.loads(Path(__file__).with_name("model.json").read_text(encoding="utf-8"))
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = told["threads"]
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, told["graph_optimization"])
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(told["path"], settings, providers=["CPUExecutionProvider"])
        self._inputs: dict[str, str] = told["inputs"]  # name on the wire -> name in the file
        self._outputs: dict[str, str] = told["outputs"]
        self._has_batches = bool(told["has_batches"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer per request; requests that Triton collected are one call."""
        import triton_python_backend_utils as triton  # type: ignore[import-not-found]

        inputs = [
            {native: triton.get_input_tensor_by_name(request, name).as_numpy() for name, native in self._inputs.items()}
            for request in requests
        ]
        if self._has_batches:
            answers = self._run_together(inputs)
        else:
            answers = [self._run(each) for each in inputs]
        return [
            triton.InferenceResponse([triton.Tensor(name, array) for name, array in answer.items()])
            for answer in answers
        ]

    def _run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        arrays = self._session.run(list(self._outputs.values()), inputs)
        return dict(zip(self._outputs, arrays, strict=True))

    def _run_together(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(requests) == 1:
            return [self._run(requests[0])]
        import numpy as np

        sizes = [len(next(iter(request.values()))) for request in requests]
        joined = {name: np.concatenate([request[name] for request in requests]) for name in requests[0]}
        bounds = np.cumsum(sizes)[:-1]
        outputs = {name: np.split(array, bounds) for name, array in self._run(joined).items()}
        return [{name: parts[number] for name, parts in outputs.items()} for number in range(len(requests))]
