"""`python -m bot bench fairness`: a day of a community on the queue that serves it, by a clock that is only counted."""
