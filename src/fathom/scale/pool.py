"""Runs workers on Ray: Ray Data reads the shards, and a pool of actors works on them.

    for result in completed(job, range(plan.shards), RaySettings(ray=True, workers=8)):
        ...                             # a `Report` per shard, as they finish, or a text that says why the run stops

Ray restarts a worker that died and gives its shard to a worker again; the segments say what was finished. The ledger is
an actor beside the driver, because it must live as long as the run.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from fathom.data.folders import Folder
from fathom.engines.opening import open_engine, shared
from fathom.errors import FathomError, require
from fathom.scale.ledger import Ledger, Progress
from fathom.scale.plan import PLAN, Report, Settled, shard_name
from fathom.scale.work import Job, work_on
from fathom.settings import BoundSettings, RaySettings

LOG = logging.getLogger(__name__)
REPORT = TypeAdapter(Report)
PATIENCE = 60.0
"""Seconds after which a run without any working worker is reported."""
CONNECT_SECONDS = 10.0
QUEUED_SHARDS = 2
"""Shards that a worker holds: the next one is there when one is finished, and few wait behind a slow worker."""


def completed(
    job: Job,
    shards: Sequence[int],
    settings: RaySettings,
    progress: Callable[[Settled], None] = lambda settled: None,
    ledger: Callable[[], Any] | None = None,
) -> Iterator[Report | str]:
    """Work on shards of the plan in the folder of `job`. Starts Ray on this machine, or joins a cluster.

    `progress` is called every second, in a thread, with what is settled of the shards. A warning is logged if no worker
    has begun after a minute. `ledger` returns that of several jobs whose bounds are common, made by `shared_ledger`.
    Raises FathomError if Ray cannot be reached or fails.
    """
    if not shards:
        return
    ray = started(settings)
    actor = ledger() if ledger else shared_ledger(job.task.bounds, settings)
    workers = min(len(shards), settings.workers or _affordable(ray, settings))
    results = _read(ray, job.out / PLAN, shards).map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=(job, actor),
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=QUEUED_SHARDS
        ),
        num_cpus=settings.worker_cpus,
        num_gpus=settings.worker_gpus or None,
    )
    waiting = partial(_waiting, ray, settings)
    try:
        with polled(lambda: ray.get(actor.progress.remote(job.identity)), progress, waiting):
            for row in results.iter_rows():
                yield REPORT.validate_json(row["report"]) if row["report"] else str(row["stopped"])
    except ray.exceptions.RayError as error:
        raise FathomError(f"Ray failed: {error}; finished shards are kept: repeat the command to resume") from error


@contextmanager
def polled(
    ask: Callable[[], Progress], tell: Callable[[Settled], None], waiting: Callable[[], str], every: float = 1.0
) -> Iterator[None]:
    """Tell what is settled, in a thread, every `every` seconds, and at the end.

    A warning, `waiting()`, is logged if nothing has begun after `PATIENCE` seconds.
    """
    over, patience = Event(), time.monotonic() + PATIENCE

    def watch() -> None:
        warned = False
        while not over.wait(every):
            try:
                begun, settled = ask()
            except Exception:  # noqa: BLE001 - the run itself fails for the same reason, and reports it
                return
            tell(settled)
            if not begun and not warned and time.monotonic() >= patience:
                LOG.warning("%s", waiting())
                warned = True

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    tell(ask().settled)


def _waiting(ray: Any, settings: RaySettings) -> str:
    """That no worker has begun, and what may be the reason."""
    there, free = ray.cluster_resources(), ray.available_resources()
    has = [f"{there.get(kind, 0):g} {kind}s ({free.get(kind, 0):g} of them free)" for kind in ("CPU", "GPU")]
    return (
        f"no worker has begun after {PATIENCE:g} seconds; the run waits. A worker reserves {settings.worker_cpus:g} "
        f"CPUs and {settings.worker_gpus:g} GPUs; the cluster has {' and '.join(has)} on {len(ray.nodes())} nodes. If "
        "workers are not still loading their model, reserve less with --worker-cpus and --worker-gpus, or add a node"
    )


def shared_ledger(bounds: BoundSettings, settings: RaySettings) -> Any:
    """A ledger beside the driver, for one job or for several that share its bounds. Raises as `completed` does."""
    return _beside_the_driver(started(settings), Ledger, bounds)


def started(settings: RaySettings) -> Any:
    """The module `ray`, connected: to the cluster of this process, of `ray_address`, or a new one on this machine."""
    ray = require("ray", "ray")
    require("ray.data", "ray")
    if not ray.is_initialized():
        try:
            _check_port(settings.ray_address or "")
            ray.init(address=settings.ray_address or "local", log_to_driver=False, logging_level=logging.WARNING)
        except (OSError, RuntimeError, ValueError) as error:
            where = settings.ray_address or "this machine"
            raise FathomError(
                f"--ray: cannot connect to Ray at {where}: {error}; check --ray-address with the command ray status"
            ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the run has its own progress
    return ray


def _check_port(address: str) -> None:
    """Connect to an address with a port. Ray itself tries for minutes before it gives up. Raises OSError."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()


def _read(ray: Any, folder: Folder, shards: Sequence[int]) -> Any:
    """A dataset with one row, and one block, per shard."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    paths = [f"{shard_name(shard)}.jsonl" for shard in shards]
    if folder.is_remote:
        system, root = folder.file_system
        given = {"filesystem": PyFileSystem(FSSpecHandler(system))}
    else:
        root, given = str(folder.path.resolve()), {}
    return ray.data.read_binary_files(
        [f"{root}/{path}" for path in paths],
        include_paths=True,
        override_num_blocks=len(paths),
        num_cpus=0,  # workers may reserve all CPUs, and would then wait for shards that nobody could read
        **given,
    )


def _beside_the_driver(ray: Any, kind: type, *arguments: Any) -> Any:
    node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=node).remote(*arguments)


def _affordable(ray: Any, settings: RaySettings) -> int:
    """The number of workers for which the cluster has CPUs and GPUs now."""
    there = ray.cluster_resources()
    counts = [there.get("CPU", 1) // settings.worker_cpus]
    if settings.worker_gpus:
        counts.append(there.get("GPU", 0) // settings.worker_gpus)
    return max(1, int(min(counts)))


class Worker:
    """Works on the shards that Ray Data passes to it, with one engine for all of them."""

    def __init__(self, job: Job, ledger: Any) -> None:
        self.job = job
        self.ledger = ledger
        self._open = ExitStack()
        self._engine: Any = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        shard = int(Path(str(batch["path"][0])).stem.rpartition("-")[2])
        try:
            # Opened here, because Ray would try an actor whose constructor fails again without end.
            self._engine = self._engine or self._open.enter_context(shared(open_engine(self.job.task.engine)))
            work = work_on(self.job, shard, batch["bytes"][0], self._engine, self._call, local_folder(self.job))
            return {"report": [REPORT.dump_json(asyncio.run(work)).decode()], "stopped": [""]}
        except FathomError as error:
            return {"report": [""], "stopped": [str(error)]}

    async def _call(self, method: str, *arguments: Any) -> Any:
        return await getattr(self.ledger, method).remote(*arguments)


def local_folder(job: Job) -> Path:
    """Where a worker keeps the SQLite files of a run."""
    return Path(tempfile.gettempdir()) / f"fathom-{getpass.getuser()}" / job.identity[:16]
