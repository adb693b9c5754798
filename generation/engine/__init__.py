"""Where workers run: one protocol, one local implementation."""
