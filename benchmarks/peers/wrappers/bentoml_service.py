"""BentoML's service, as its guide "Create online API Services" has it: one worker, no access log, no metrics."""

from __future__ import annotations

from typing import Any

import bentoml
import numpy as np
from session import INPUT, OUTPUT, open_model


@bentoml.service(
    workers=1,
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Served:
    """The name of the parameter is a key of the request."""

    def __init__(self) -> None:
        self._run = open_model()

    # In the event loop, for a thread costs a quarter more; lists, for `np.ndarray` is not cheaper.
    @bentoml.api(route="/v1/predict")
    async def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """One answer."""
        batch = np.asarray(inputs[INPUT], dtype=np.float32)
        return {"outputs": {OUTPUT: self._run(batch).tolist()}}
