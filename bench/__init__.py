"""deploybench: which build of my model, served how, within which limits, meets my latency goal at the least cost."""

__version__ = "0.1.0"
