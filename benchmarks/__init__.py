"""Measurements against peers, each run in a process of its own. Results: benchmarks/RESULTS.md."""
