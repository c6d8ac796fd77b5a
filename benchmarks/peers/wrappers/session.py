"""The model as every peer opens it: the settings of our own adapter for ONNX Runtime, so that servers alone differ.

Each file in this directory runs in the environment of one peer and imports nothing of this project. The path of the
model comes in DEPLOYBENCH_MODEL.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

INPUT, OUTPUT = "input", "output"


def open_model() -> Callable[[np.ndarray], np.ndarray]:
    """The model as a function of a batch."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = os.environ["DEPLOYBENCH_MODEL"]
    session: Any = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

    def run(batch: np.ndarray) -> np.ndarray:
        answer: np.ndarray = session.run([OUTPUT], {INPUT: batch})[0]
        return answer

    return run
