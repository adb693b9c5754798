"""Measures the painter on a GPU against the hardware's limit and beside plain diffusers; `bot/bench_gpu.py` runs it."""
