"""Data sets as arrays on the device."""
