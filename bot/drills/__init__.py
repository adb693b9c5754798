"""Drills: the real bot in a process of its own, on a server that speaks Discord's API, while things go wrong."""
