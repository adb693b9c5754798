"""Remembers users, jobs, images, credits, settings and files. Knows no Discord and no torch."""
