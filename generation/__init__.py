"""Draws pictures. Knows no Discord and no SQL; torch lives in `generation.painter` and `generation.pocket` only."""
