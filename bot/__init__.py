"""Talks to people: commands, buttons, messages and the command line."""
