"""KServe's model server with a model of one's own, as its guide "Custom Predictor" has it: one worker."""

from __future__ import annotations

import sys
from typing import Any

import kserve
import numpy as np
from kserve.utils.utils import generate_uuid
from session import OUTPUT, open_model


class Served(kserve.Model):
    """The names of the methods are KServe's."""

    def load(self) -> bool:
        """Open the model."""
        self._run = open_model()
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: dict[str, str] | None = None, response_headers: Any = None) -> Any:
        """One answer in the protocol of the request: TensorFlow Serving's rows (v1), or the Open Inference Protocol."""
        if isinstance(payload, dict):
            return {"predictions": self._run(np.asarray(payload["instances"], dtype=np.float32)).tolist()}
        answer = self._run(payload.inputs[0].as_numpy())
        output = kserve.InferOutput(name=OUTPUT, shape=list(answer.shape), datatype="FP32")
        output.set_data_from_numpy(answer, binary_data=payload.use_binary_outputs)
        return kserve.InferResponse(
            response_id=payload.id or generate_uuid(),
            model_name=self.name,
            infer_outputs=[output],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    model = Served(sys.argv[1])
    model.load()
    kserve.ModelServer(
        http_port=int(sys.argv[2]),
        grpc_port=int(sys.argv[3]),
        workers=1,
        enable_grpc=True,
        enable_latency_logging=False,
    ).start([model])
