"""Many runs, one after the other or each in a process with a core of its own.

A perceptron's matrices are too small for several cores. Measured once, on two: an epoch
with both takes 0.8 of the time with one, so that two runs with one each do 1.6 times as
much as one after the other. So did a run of several seeds in one `vmap`, by a few
percent more, but none of those could be killed, resumed and looked at by itself.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from experiments.data.dataset import Dataset
from experiments.errors import UserError, choose
from experiments.run.devices import ONE_DEVICE, Devices
from experiments.run.jobs import FinishedJob, Job
from experiments.run.record import Row, is_finished, read_metrics
from experiments.run.training import train
from experiments.task.workloads import WORKLOADS

POLL = 0.5  # seconds


def run_queue(
    jobs: Iterable[Job],
    *,
    workers: int | None = None,
    data_dir: Path | None = None,
    devices: Devices = ONE_DEVICE,
) -> list[FinishedJob]:
    """Runs what is not finished, going on with what was begun.

    Shown is the progress over all epochs of all runs with an estimate of the time left:
    a bar on a terminal, else a line for each run that ends. Ctrl-C ends each run after
    its present epoch.

    Args:
      jobs: the runs; those in one folder are one.
      workers: processes, each with a core of its own; by default one a core where JAX
        computes on the CPU, and else 1, which is this process.
      data_dir: folder with the data sets' files.
      devices: what each run is trained on. Several of them are for runs in this
        process.

    Returns:
      The jobs with the rows of their runs, in the order given.

    Raises:
      UserError: a job's folder holds another run, or one of its options is wrong;
        several processes are to share several devices.
    """
    jobs = list({job.folder: job for job in jobs}.values())
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if workers is None:
        own_cores = jax.default_backend() == "cpu" and devices.count == 1
        workers = max(1, len(cores)) if own_cores else 1
    if workers < 1:
        raise UserError(f"workers must be at least 1, got {workers}.")
    if workers > 1 and devices.count > 1:
        raise UserError(
            f"{workers} workers cannot share {devices}: use --workers 1, or --devices"
            " 1 for runs beside each other."
        )
    left = [job for job in jobs if not is_finished(job.folder, job.config)]
    done_before = {job.folder: len(read_metrics(job.folder)) for job in left}
    with tqdm(
        desc=f"{len(left)} of {len(jobs)} runs",
        total=sum(job.config.epochs for job in left),
        initial=sum(done_before.values()),
        unit="epoch",
        disable=None,
        dynamic_ncols=True,
    ) as bar:
        progress = QueueProgress(bar, len(left))
        if workers == 1 or len(left) <= 1:
            for job in left:
                progress.add(run_job(job, data_dir, progress.add_epoch, devices))
        elif left:
            run_in_processes(left, min(workers, len(left)), cores, data_dir, progress)
    return [FinishedJob(job, read_metrics(job.folder)) for job in jobs]


class QueueProgress:
    """Shows a run that has ended."""

    def __init__(self, bar: tqdm, runs: int):
        self.bar = bar
        self._runs, self._ended, self._started = runs, 0, time.monotonic()

    def add_epoch(self, row: Row) -> None:
        """Counts an epoch of a run in this process."""
        del row
        self.bar.update()

    def add(self, job: Job) -> None:
        """Shows it, with the time left as if all runs were as long as those so far."""
        self._ended += 1
        elapsed = time.monotonic() - self._started
        left = elapsed / self._ended * (self._runs - self._ended)
        text = (
            f"{self._ended}/{self._runs} {job.folder.name},"
            f" about {left / 60:.0f} min left"
        )
        if self.bar.disable:
            print(text, flush=True)
        else:
            self.bar.set_postfix_str(text, refresh=False)


def run_job(
    job: Job,
    data_dir: Path | None,
    on_epoch: Callable[[Row], None],
    devices: Devices = ONE_DEVICE,
) -> Job:
    """Trains, or goes on training."""
    train(
        job.config,
        job.folder,
        load(job.config.workload, data_dir),
        resume=True,
        on_epoch=on_epoch,
        devices=devices,
    )
    return job


@functools.lru_cache(maxsize=2)
def load(workload: str, data_dir: Path | None) -> Dataset:
    """Loads a workload's data, once for several runs."""
    return choose(WORKLOADS, "workload", workload).load(data_dir)


class Shared(NamedTuple):
    """What the processes of a queue have in common."""

    cores: Any  # multiprocessing.Queue of ints: those not taken yet
    epochs: Any  # multiprocessing.Value: epochs done
    stop: Any  # multiprocessing.Event: end every run after its present epoch
    parent: int  # process id
    cache: str  # folder for compiled functions


def run_in_processes(
    jobs: Sequence[Job],
    workers: int,
    cores: Sequence[int],
    data_dir: Path | None,
    progress: QueueProgress,
) -> None:
    """Hands the jobs to processes, and waits for them."""
    # Not forked: JAX's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    shared = Shared(
        context.Queue(),
        context.Value("q", 0),
        context.Event(),
        os.getpid(),
        os.environ.get("JAX_COMPILATION_CACHE_DIR")
        or str(jobs[0].folder.parent / "compiled"),
    )
    for number in range(workers):
        shared.cores.put(cores[number % len(cores)] if cores else None)
    with ProcessPoolExecutor(workers, context, set_up_worker, (shared,)) as executor:
        futures = {executor.submit(run_in_worker, job, data_dir) for job in jobs}
        try:
            wait_for(futures, shared, progress)
        except BaseException:
            shared.stop.set()
            executor.shutdown(wait=True, cancel_futures=True)
            raise


def wait_for(futures: set[Future], shared: Shared, progress: QueueProgress) -> None:
    """Shows epochs and runs as they are done; raises the first error."""
    seen = 0
    while futures:
        done, futures = wait(futures, timeout=POLL, return_when=FIRST_COMPLETED)
        progress.bar.update(shared.epochs.value - seen)
        seen = shared.epochs.value
        for future in done:
            progress.add(future.result())


_worker: dict[str, Shared] = {}  # in a worker: what it shares with the others


def set_up_worker(shared: Shared) -> None:
    """Takes a core, before JAX counts how many there are."""
    _worker["shared"] = shared
    core = shared.cores.get()
    if core is not None:
        os.sched_setaffinity(0, {core})
    # The parent is told, and tells.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jax.config.update("jax_compilation_cache_dir", shared.cache)


def run_in_worker(job: Job, data_dir: Path | None) -> Job:
    """Runs a job, unless and until the queue is stopped."""
    shared = _worker["shared"]

    def is_stopped() -> bool:
        # Also where the parent has been killed.
        return shared.stop.is_set() or os.getppid() != shared.parent

    def on_epoch(row: Row) -> None:
        del row
        with shared.epochs.get_lock():
            shared.epochs.value += 1
        if is_stopped():
            raise KeyboardInterrupt

    # A job may have been handed over before the queue was stopped.
    if not is_stopped():
        with contextlib.suppress(KeyboardInterrupt):
            run_job(job, data_dir, on_epoch)
    if os.getppid() != shared.parent:
        os._exit(1)  # or it would wait for jobs for ever
    return job
