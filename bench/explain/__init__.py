"""Why a variant is wrong, and why one is slower than another: from tensors and from operator profiles, in words."""
