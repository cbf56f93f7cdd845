"""One training run: its loop, an epoch, devices, checkpoints, the record on disk."""
