"""The highest rate that keeps an objective, and how to share out processors: algorithms over loads others run."""
