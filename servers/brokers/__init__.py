"""Brokers between a front and its workers: started by us, private, on loopback only, with nothing kept on disk."""
