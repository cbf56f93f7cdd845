"""Data sets: arrays on the device, or batches that are read meanwhile."""
