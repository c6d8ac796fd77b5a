"""The child process: reads one job file, does what it is asked over its own descriptor; nobody imports it."""
