"""More compute at inference: wrappers around a judge that change how its votes are cast. Each is a voter, so they nest.

Repeated(Swapped(judge), 4)          # eight votes, four in each order of the responses

`panel` makes one voter of several judges, and `ranking` uses voters to compare the pairs of n responses.
"""
