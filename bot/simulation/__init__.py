"""A day of orders on the real queue and on others, by a clock that is only counted: what the benches of fairness and of
planning are made of."""
