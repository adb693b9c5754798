"""`python -m bot bench storage`: whether the work for a job stays the same, however many jobs there were and wait."""
