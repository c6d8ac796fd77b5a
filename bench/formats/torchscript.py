"""The `torchscript` format: a .ts archive of `torch.jit.save`, whose graph knows neither names nor shapes.

What it takes stands in an extra file of the archive, given to `torch.jit.save`:
`{"inputs": {name: [dtype, shape with named dimensions]}}`.
"""

from __future__ import annotations

SIGNATURE_NAME = "signature.json"
