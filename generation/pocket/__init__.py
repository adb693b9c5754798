"""Pocket SDXL: the embedded model's weights, and the programs that render its scenes, train it and measure it."""
