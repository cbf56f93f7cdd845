"""Schedules on logistic regression: the suite of Defazio et al. (2023) in small."""
