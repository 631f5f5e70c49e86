"""Judging on many machines with Ray Data, for sources that are too large for one.

    plan = write_plan(comparisons, out, identity, shard_rows=1000)     # `plan`: shards of comparisons
    reports = judge_plan(Job(settings, out, identity), plan, RaySettings(workers=8))

`work` judges a shard with the session of one machine, and `segments` is its journal. All workers share the `budget` and
the `ledger`. Only `pool` and `engine_processor` import Ray. `fathom judge --ray` runs all of it.
"""
