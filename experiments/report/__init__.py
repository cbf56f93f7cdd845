"""Rows, statistics, tables, figures, pages: how a number is written."""
