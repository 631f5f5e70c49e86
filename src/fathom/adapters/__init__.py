"""Rewards in the form in which a trainer calls them, one trainer per file. No trainer is imported.

An adapter gets its rewards from a `RewardClient` or a `LocalRewardClient`. What could not be scored becomes what the
trainer excludes from training, where it can; elsewhere it is an error, unless the user chose a number.
"""
