"""Sections 3 and 5 of the AutoDrop paper (arXiv:2111.15317), reproduced."""
