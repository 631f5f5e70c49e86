"""Runs on many machines with Ray Data, for sources that are too large for one.

    plan = write_plan(comparisons, out, identity, shard_rows=1000)     # `plan`: shards of comparisons
    job = Job(JudgeTask(settings), out, identity)                      # `task`: what is done to each comparison
    reports = run_plan(job, plan, RaySettings(ray=True, workers=8))

`work` does a task on a shard, with the code of one machine, and `segments` is its journal. All workers share the
`budget` and the `ledger`. Only `pool` and `engine_processor` import Ray. `--ray` of a verb runs all of it. `judging`
has the task of `fathom judge` and `fathom eval`, `labels` that of `fathom label`, and `fathom.synth.task` that of
`fathom synth`.
"""
