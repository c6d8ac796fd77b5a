"""LitServe's server, as its README has it: one worker, one API server, and the queue that it advises for high rates."""

from __future__ import annotations

import sys

import litserve
import numpy as np
from session import INPUT, OUTPUT, open_model


class Served(litserve.LitAPI):
    """The names of the methods, and of their parameters `request` and `output`, are LitServe's.

    It reads the annotations of the two as the types of the body.
    """

    def setup(self, device: str) -> None:
        """Open the model."""
        self._run = open_model()

    def decode_request(self, request):
        """The batch of a request."""
        return np.asarray(request["inputs"][INPUT], dtype=np.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """One call."""
        return self._run(x)

    def encode_response(self, output):
        """The answer as JSON."""
        return {"outputs": {OUTPUT: output.tolist()}}


if __name__ == "__main__":
    server = litserve.LitServer(
        Served(api_path="/v1/predict"), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
