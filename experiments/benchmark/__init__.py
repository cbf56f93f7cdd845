"""AutoDrop's cost: `python -m experiments bench` prints a table of ratios.

A ratio is one of medians, taken in one run in which the sides take turns. Beside it
stands A/A, the base side against a second, separately compiled copy of itself: what a
ratio of exactly 1 looks like on this machine at this moment. Rows without a limit are
for information.
"""
