"""Comparisons and labels, and reading them from files of any layout."""
