"""Reward functions with the signatures that trainers expect, one trainer per file. No trainer is imported.

A response that could not be scored gets the value that the trainer excludes from training. If the trainer has no such
value, it is an error, unless the user chose a number for it.
"""
