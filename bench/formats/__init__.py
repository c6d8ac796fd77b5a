"""Model files: which format they have, and what adapters, steps and the zoo share in reading and writing them."""
