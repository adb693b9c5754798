"""`python -m bot bench trace`: a day of orders against 1 to 64 workers, by a clock that is only counted."""
