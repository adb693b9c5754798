"""Buttons, one file per family."""
