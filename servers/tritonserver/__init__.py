"""The real Triton Inference Server, from the wheel of NVIDIA's PyTriton, in an environment of its own."""
