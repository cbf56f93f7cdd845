"""Training runs that show what AutoDrop does: `python -m experiments --help`."""
