"""Benchmarks: every figure is a ratio against a reference of the same run, since machines differ and are noisy."""
