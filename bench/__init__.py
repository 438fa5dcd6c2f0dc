"""Benchmarks: what a claim about speed is reproduced with. Not part of the wheel."""
