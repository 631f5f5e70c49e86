"""Comparisons and their labels, and the files of any layout that they are read from."""
