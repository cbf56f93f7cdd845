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
from experiments.run.metrics import Row, read_metrics
from experiments.run.record import is_finished
from experiments.run.training import train
from experiments.studies.plan import FinishedRun, PlannedRun
from experiments.task.workloads import WORKLOADS

POLL = 0.5  # seconds


def run_queue(
    runs: Iterable[PlannedRun],
    *,
    workers: int | None = None,
    data_dir: Path | None = None,
    devices: Devices = ONE_DEVICE,
) -> list[FinishedRun]:
    """Runs what is not finished, going on with what was begun.

    Shown is the progress over all epochs of all runs with an estimate of the time left:
    a bar on a terminal, else a line for each run that ends. Ctrl-C ends each run after
    its present epoch.

    Args:
      runs: those in one folder are one.
      workers: processes, each with a core of its own; by default one a core where JAX
        computes on the CPU, and else 1, which is this process.
      data_dir: folder with the data sets' files.
      devices: what each run is trained on. Several of them are for runs in this
        process.

    Returns:
      The runs with their rows, in the order given.

    Raises:
      UserError: a run's folder holds another run, or one of its options is wrong;
        several processes are to share several devices.
    """
    runs = list({run.folder: run for run in runs}.values())
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
    left = [run for run in runs if not is_finished(run.folder, run.config)]
    done_before = {run.folder: len(read_metrics(run.folder)) for run in left}
    with tqdm(
        desc=f"{len(left)} of {len(runs)} runs",
        total=sum(run.config.epochs for run in left),
        initial=sum(done_before.values()),
        unit="epoch",
        disable=None,
        dynamic_ncols=True,
    ) as bar:
        progress = QueueProgress(bar, len(left))
        if workers == 1 or len(left) <= 1:
            for run in left:
                progress.add(make_run(run, data_dir, progress.add_epoch, devices))
        elif left:
            run_in_processes(left, min(workers, len(left)), cores, data_dir, progress)
    made = progress.finished
    return [
        made.get(run.folder) or FinishedRun(run, read_metrics(run.folder))
        for run in runs
    ]


class QueueProgress:
    """Shows a run that has ended."""

    def __init__(self, bar: tqdm, runs: int):
        self.bar = bar
        self.finished: dict[Path, FinishedRun] = {}
        self._runs, self._started = runs, time.monotonic()

    def add_epoch(self, row: Row) -> None:
        """Counts an epoch of a run in this process."""
        del row
        self.bar.update()

    def add(self, run: FinishedRun) -> None:
        """Shows it, with the time left as if all runs were as long as those so far."""
        folder = run.planned.folder
        self.finished[folder] = run
        ended = len(self.finished)
        elapsed = time.monotonic() - self._started
        left = elapsed / ended * (self._runs - ended)
        text = f"{ended}/{self._runs} {folder.name}, about {left / 60:.0f} min left"
        if self.bar.disable:
            print(text, flush=True)
        else:
            self.bar.set_postfix_str(text, refresh=False)


def make_run(
    run: PlannedRun,
    data_dir: Path | None,
    on_epoch: Callable[[Row], None],
    devices: Devices = ONE_DEVICE,
) -> FinishedRun:
    """Trains, or goes on training."""
    rows = train(
        run.config,
        run.folder,
        load(run.config.workload, data_dir),
        resume=True,
        on_epoch=on_epoch,
        devices=devices,
    )
    return FinishedRun(run, rows)


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
    runs: Sequence[PlannedRun],
    workers: int,
    cores: Sequence[int],
    data_dir: Path | None,
    progress: QueueProgress,
) -> None:
    """Hands the runs to processes, and waits for them."""
    # Not forked: JAX's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    shared = Shared(
        context.Queue(),
        context.Value("q", 0),
        context.Event(),
        os.getpid(),
        os.environ.get("JAX_COMPILATION_CACHE_DIR")
        or str(runs[0].folder.parent / "compiled"),
    )
    for number in range(workers):
        shared.cores.put(cores[number % len(cores)] if cores else None)
    with ProcessPoolExecutor(workers, context, set_up_worker, (shared,)) as executor:
        futures = {executor.submit(run_in_worker, run, data_dir) for run in runs}
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


def run_in_worker(run: PlannedRun, data_dir: Path | None) -> FinishedRun:
    """Makes a run, unless and until the queue is stopped."""
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

    finished = FinishedRun(run, [])
    # A run may have been handed over before the queue was stopped.
    if not is_stopped():
        with contextlib.suppress(KeyboardInterrupt):
            finished = make_run(run, data_dir, on_epoch)
    if os.getppid() != shared.parent:
        os._exit(1)  # or it would wait for runs for ever
    return finished
