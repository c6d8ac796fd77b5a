"""MLServer's custom runtime, as its guide "Custom Inference Runtimes" has it."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import OUTPUT, open_model


class Served(MLModel):
    """The names of the methods are MLServer's."""

    async def load(self) -> bool:
        """Open the model."""
        self._run = open_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One answer."""
        batch = NumpyCodec.decode_input(payload.inputs[0])
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name=OUTPUT, payload=self._run(batch))]
        )
