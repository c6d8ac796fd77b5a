"""What the kernel says of a process: counters around a block, peak memory of a tree, who descends from whom."""
