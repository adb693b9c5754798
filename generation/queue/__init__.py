"""Decides which job runs next on which worker, and sees each one through to its end."""
