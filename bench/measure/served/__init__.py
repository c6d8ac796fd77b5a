"""From the requests of a load to numbers that can be believed: latency, where it went, and whose fault it was."""
