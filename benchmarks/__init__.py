"""Benchmarks: each is a module with a command line, prints its figures and its peers' beside them."""
