"""What AutoDrop costs: `python -m experiments.benchmark` prints a table of ratios.

A ratio is one of medians, taken in one run in which the two sides alternate. Beside it
stands A/A, the base side against a second, separately compiled copy of itself in the
same run: what a ratio of exactly 1 looks like on this machine at this moment.

Rows without a limit are for information.
"""

import csv
import dataclasses
import datetime
import importlib
import importlib.metadata
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

from autodrop_optax import autodrop, autodrop_metrics, end_epoch, with_autodrop
from autodrop_optax._angle import Turn, measure_turn
from experiments.config import RunConfig
from experiments.data.dataset import Dataset, standardised
from experiments.errors import UserError
from experiments.training import cross_entropy, set_up
from experiments.workloads import WORKLOADS

RowName = Literal["link", "wrapper", "angle", "epoch_end", "demo", "memory"]
Side = Callable[[], Any]  # does the work once and returns arrays to wait for
Leaves = list[jax.Array]
Measure = Callable[[Leaves, Leaves, Leaves], Turn]

RATE, MOMENTUM = 0.1, 0.9
NEVER = 10**9  # steps per epoch: no epoch ends while the clock runs
MAX_ANGLE_ERROR = 1e-3  # degrees
WARM_UP = 3  # turns: compiling, first touch of memory, an epoch end without an angle
_PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "autodrop-optax", "torch")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measures the cost of AutoDrop, on one device."""

    rows: tuple[RowName, ...] = get_args(RowName)
    """What to measure."""
    repeats: int = 24
    """Timings of each side. With multiples of 6 every order is equally frequent."""
    size: float = 1.0
    """Multiplies the numbers of parameters and images. The limits hold for 1."""
    out: Path = Path("experiments/results")
    """Folder for benchmark.csv and benchmark.json."""
    check: bool = False
    """Exit with 1 if a limit is missed."""

    def scaled(self, number: int) -> int:
        """``number`` at the chosen size, but enough to be cut into 200 leaves."""
        return max(1000, round(number * self.size))


class Row(NamedTuple):
    """A line of the table; NaN where there is no figure."""

    what: str
    ratio: float
    a_a: float = math.nan
    limit: float = math.nan
    seconds: float = math.nan
    base_seconds: float = math.nan
    note: str = ""

    @property
    def met(self) -> str:
        """The verdict; a missing figure is none."""
        if math.isnan(self.limit) or math.isnan(self.ratio):
            return self.note
        return "yes" if self.ratio <= self.limit else "NO"


def compare(
    sides: dict[str, Side], repeats: int, prepare: dict[str, Side] | None = None
) -> dict[str, float]:
    """Times the sides in turns, in all orders one after the other.

    Args:
      sides: what to time, by name.
      repeats: timings of each.
      prepare: by name of the side, what to do before each timing, off the clock.

    Returns:
      The median of each side, in seconds.
    """
    orders = itertools.cycle(itertools.permutations(sides))
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WARM_UP + repeats):
        for name in next(orders):
            if prepare and name in prepare:
                jax.block_until_ready(prepare[name]())
            times[name].append(_seconds(sides[name]))
    return {name: statistics.median(t[WARM_UP:]) for name, t in times.items()}


def _seconds(side: Side) -> float:
    start = time.perf_counter()
    result = jax.block_until_ready(side())
    stop = time.perf_counter()
    del result  # its memory is given back off the clock
    return stop - start


def timed_row(
    what: str,
    make_base: Callable[[], Side],
    other: Side,
    repeats: int,
    *,
    limit: float = math.nan,
    prepare: Side | None = None,
) -> Row:
    """Times ``other`` over the base, and the base over another copy of itself.

    Args:
      what: the row's name.
      make_base: returns the base, a new function to compile at each call.
      other: the other side.
      repeats: timings of each.
      limit: what the ratio must not exceed.
      prepare: to be done before each timing of ``other``, off the clock.
    """
    sides = {"base": make_base(), "again": make_base(), "other": other}
    medians = compare(sides, repeats, {"other": prepare} if prepare else None)
    base, again, seconds = (medians[name] for name in sides)
    return Row(what, seconds / base, again / base, limit, seconds, base)


def link_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An optimizer's step alone: update and apply, in place, with given gradients."""
    sgd = optax.sgd(RATE, momentum=MOMENTUM)
    # It must not reach a plateau: scales that fall for ever end in denormal numbers.
    plateau = optax.contrib.reduce_on_plateau(patience=NEVER)
    others = {
        "link behind sgd": (optax.chain(sgd, autodrop(RATE)), 1.10),
        "link in front of sgd": (optax.chain(autodrop(RATE), sgd), math.nan),
        "with_autodrop": (with_autodrop(sgd, RATE, NEVER), math.nan),
        "reduce_on_plateau": (optax.chain(sgd, plateau), math.nan),
        "schedule_free": (optax.contrib.schedule_free_sgd(RATE), math.nan),
    }
    for millions in (10, 100):
        gradients = normal_leaves(config.scaled(millions * 10**6), leaves=20, seed=0)
        steps = 100 // millions  # short steps are timed in a row
        for name, (optimizer, limit) in others.items():
            yield timed_row(
                f"step, {millions} M: {name} / sgd",
                lambda: optimizer_side(sgd, gradients, steps),  # noqa: B023
                optimizer_side(optimizer, gradients, steps),
                config.repeats,
                limit=limit,
            )


def optimizer_side(
    optimizer: optax.GradientTransformation, gradients: Leaves, steps: int
) -> Side:
    """Steps of an optimizer that go on from those before."""
    step = make_optimizer_step(optimizer)
    params = [jnp.ones_like(g) for g in gradients]
    # Copies: what init returns as it got it could not be donated twice.
    state = jax.tree.map(jnp.copy, optimizer.init(params))

    def run():
        nonlocal params, state
        for _ in range(steps):
            params, state = step(params, state, gradients)
        return params, state

    return run


def make_optimizer_step(optimizer: optax.GradientTransformation):
    """A jitted step that donates parameters and state."""
    optimizer = optax.with_extra_args_support(optimizer)

    def step(params, state, gradients):
        # Of the optimizers here only reduce_on_plateau looks at the value.
        updates, state = optimizer.update(gradients, state, params, value=1.0)
        return optax.apply_updates(params, updates), state

    # Arguments that are only handed through are memory all the same: count them.
    return jax.jit(step, donate_argnums=(0, 1), keep_unused=True)


def wrapper_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The demo's training step with and without ``with_autodrop``, no epoch end."""
    data = synthetic_fashion_mnist(config)
    base = WORKLOADS["fashion_mnist_mlp"].optimizer(RATE)
    wrapped = with_autodrop(base, RATE, NEVER)
    for scan, how in ((True, "one scan"), (False, "step by step")):
        yield timed_row(
            f"training step, {how}: with_autodrop / without",
            lambda: training_side(base, data, scan=scan),  # noqa: B023
            training_side(wrapped, data, scan=scan),
            config.repeats,
            limit=1.08,
        )


def training_side(
    optimizer: optax.GradientTransformation, data: Dataset, *, scan: bool
) -> Side:
    """An epoch's steps of the demo's network, and nothing else of its epoch.

    Args:
      optimizer: the optimizer.
      data: the data set.
      scan: all steps in one jitted scan, as the demo does; else each is a call.
    """
    workload = WORKLOADS["fashion_mnist_mlp"]
    graphdef, params = nnx.split(workload.model(data, nnx.Rngs(0)))
    params = nnx.to_pure_dict(params)
    state = jax.tree.map(jnp.copy, optimizer.init(params))
    steps = len(data.train_labels) // workload.batch_size
    order = np.random.default_rng(0).permutation(len(data.train_labels))
    batches = jnp.asarray(order[: steps * workload.batch_size].reshape(steps, -1))

    def loss_fn(params, images, labels):
        return cross_entropy(nnx.merge(graphdef, params)(images), labels).mean()

    def step(params, state, batch, images, labels):
        batch_images, batch_labels = images[batch], labels[batch]
        gradients = jax.grad(loss_fn)(params, batch_images, batch_labels)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def epoch(params, state, batches, images, labels):
        def body(carry, batch):
            return step(*carry, batch, images, labels), None

        return jax.lax.scan(body, (params, state), batches)[0]

    function = jax.jit(epoch if scan else step, donate_argnums=(0, 1))
    calls = [batches] if scan else list(batches)

    def run():
        nonlocal params, state
        for batch in calls:
            params, state = function(
                params, state, batch, data.train_images, data.train_labels
            )
        return params, state

    return run


def angle_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The angle of 100 M parameters, over a sum over each of the three trees."""
    # One jitted function for the check and for all timings.
    measure = jax.jit(measure_turn)
    size, small = config.scaled(10**8), config.scaled(10**7)
    turns = [turning_leaves(small, 1, degrees) for degrees in (1.0, 90.0, 179.0)]
    errors = [check_accuracy(measure, *turn) for turn in turns]

    for leaves, degrees in ((1, 90), (200, 90), (1, 1), (1, 179)):
        trees = turning_leaves(size, leaves, degrees)
        errors.append(check_accuracy(measure, *trees))
        yield timed_row(
            f"angle, 100 M in {leaves}, {degrees} degrees / read three trees",
            lambda: read_three(trees),  # noqa: B023
            lambda: measure(*trees),  # noqa: B023
            config.repeats,
            # Near 0 and 180 degrees a second, scaled pass runs as well.
            limit=1.3 if degrees == 90 else math.nan,
        )
    yield Row("angle, largest error in 1e-3 degrees", max(errors) / 1e-3, limit=1.0)


def read_three(trees: Sequence[Leaves]) -> Side:
    """Reads three trees once."""
    read = jax.jit(lambda trees: [jnp.sum(x) for leaves in trees for x in leaves])
    return lambda: read(trees)


def check_accuracy(
    measure: Measure, ends: Leaves, starts: Leaves, previous: Leaves
) -> float:
    """Returns the error of a measured angle against float64, in degrees.

    Raises:
      ArithmeticError: it is over 1e-3 degrees. A speed would not count.
    """
    sums = np.zeros(3)
    for leaf in zip(ends, starts, previous, strict=True):
        arrays = [np.asarray(x).ravel() for x in leaf]
        for i in range(0, arrays[0].size, 10**7):  # the copies in float64 are large
            x, y, s = (a[i : i + 10**7].astype(np.float64) for a in arrays)
            step = x - y
            sums += step @ s, step @ step, s @ s
    ab, aa, bb = sums
    expected = np.degrees(np.arccos(ab / np.sqrt(aa * bb)))
    error = abs(float(measure(ends, starts, previous).angle) - expected)
    if not error <= MAX_ANGLE_ERROR:  # NaN neither
        raise ArithmeticError(
            f"The angle of {sum(x.size for x in ends)} parameters is off by {error:.2g}"
            f" degrees at {expected:.2f} degrees: no speed counts."
        )
    return error


def epoch_end_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The whole ``end_epoch`` at 100 M parameters, in place."""
    size = config.scaled(10**8)
    for leaves in (1, 200):
        trees = [normal_leaves(size, leaves, seed) for seed in range(3)]
        for kind, delay_count, in_place, limit in (
            ("no delay", 0, False, 1.0),
            # Harder than asked for: new arrays cost the base fresh pages.
            ("no delay", 0, True, math.nan),
            ("averaging", 10, False, math.nan),
            ("jump", 19, False, math.nan),
        ):
            prepare, end = epoch_end_side(trees[:2], delay_count)
            base = "in place" if in_place else "new"
            yield timed_row(
                f"end_epoch, 100 M in {leaves}, {kind} / read three, write two {base}",
                lambda: read_three_write_two(trees, in_place),  # noqa: B023
                end,
                config.repeats,
                limit=limit,
                prepare=prepare,
            )
            _, state = end_of(prepare, end)
            metrics = autodrop_metrics(state)
            # A zero step or one straight ahead would have timed something else.
            if not 8 < metrics["angular_velocity"] < 172:
                raise ArithmeticError("The epoch ends timed had no ordinary angle.")
            if bool(metrics["averaged"]) != (kind == "jump"):
                raise ArithmeticError(f"The epoch ends timed were not of: {kind}.")


def epoch_end_side(noises: Sequence[Leaves], delay_count: int) -> tuple[Side, Side]:
    """Epoch ends that go on from those before.

    Args:
      noises: steps at right angles, of which every epoch does the next.
      delay_count: epochs into the delay of 20, before each epoch end.

    Returns:
      The epoch, to be done off the clock, and its end.
    """
    add = jax.jit(lambda xs, ys: jax.tree.map(jnp.add, xs, ys), donate_argnums=0)
    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    steps = itertools.cycle(noises)
    params = [jnp.zeros_like(x) for x in noises[0]]
    state = autodrop(RATE, threshold=0.0, drop_delay=20).init(params)

    def prepare():
        nonlocal params, state
        params = add(params, next(steps))
        state = state._replace(  # pyright: ignore[reportAttributeAccessIssue]
            dropping=jnp.bool_(delay_count > 0), delay_count=jnp.int32(delay_count)
        )
        return params, state

    def run():
        nonlocal params, state
        params, state = end(params, state)
        return params, state

    return prepare, run


def end_of(prepare: Side, end: Side) -> Any:
    """Does one more epoch and its end."""
    prepare()
    return end()


def read_three_write_two(trees: Sequence[Leaves], in_place: bool) -> Side:
    """Reads three trees and writes two, new ones or over two of those read."""

    def write(x, y, s):
        return [a + 1 for a in x], [b + c for b, c in zip(y, s, strict=True)]

    if not in_place:
        write = jax.jit(write)
        return lambda: write(*trees)
    write = jax.jit(write, donate_argnums=(0, 1))
    x, y = ([jnp.copy(a) for a in tree] for tree in trees[:2])

    def run():
        nonlocal x, y
        x, y = write(x, y, trees[2])
        return x, y

    return run


def demo_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An epoch of the demo, training and evaluation, over one in PyTorch."""
    what = "epoch of the demo / PyTorch"
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        yield Row(what, math.nan, limit=1.0, note="torch not installed")
        return
    data = synthetic_fashion_mnist(config)
    for options, limit in (({}, 1.0), ({"fused": True}, math.nan)):
        yield timed_row(
            what + (", fused SGD" if options else ""),
            lambda: torch_epoch(torch, data, **options),  # noqa: B023
            demo_epoch(data),
            config.repeats,
            limit=limit,
        )


def demo_epoch(data: Dataset) -> Side:
    """The demo's own jitted epoch: shuffle, train, end_epoch, evaluate."""
    state, run_epoch = set_up(RunConfig("fashion_mnist_mlp", "autodrop"), data)

    def run():
        nonlocal state
        state, metrics = run_epoch(state, data)
        return state, metrics

    return run


def torch_epoch(torch: Any, data: Dataset, **options: Any) -> Side:
    """The same epoch without AutoDrop, as a loop over tensors in memory."""
    workload = WORKLOADS["fashion_mnist_mlp"]
    tensors = [torch.from_numpy(np.array(x)) for x in data[3:]]
    images, labels, test_images, test_labels = tensors
    labels, test_labels = labels.long(), test_labels.long()
    layers = itertools.pairwise((images[0].numel(), 256, 256, data.num_classes))
    model = torch.nn.Sequential(torch.nn.Flatten())
    for n_in, n_out in layers:
        model.extend([torch.nn.Linear(n_in, n_out), torch.nn.ReLU()])
    model = model[:-1]  # logits
    optimizer = torch.optim.SGD(
        model.parameters(), RATE, momentum=MOMENTUM, weight_decay=5e-4, **options
    )
    cross_entropy = torch.nn.functional.cross_entropy
    steps = len(labels) // workload.batch_size

    def run():
        order = torch.randperm(len(labels))[: steps * workload.batch_size]
        total = torch.zeros(())
        for batch in order.split(workload.batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        with torch.no_grad():
            logits = torch.cat([model(x) for x in test_images.split(1000)])
            wrong = (logits.argmax(1) != test_labels).sum()
            test_loss = cross_entropy(logits, test_labels)
        return total.item() / steps, test_loss.item(), wrong.item()

    return run


def memory_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """Copies of the parameters in the buffers of compiled programs."""
    del config  # nothing is allocated here: no need to scale
    params = [jax.ShapeDtypeStruct((500_000,), jnp.float32)] * 20
    copy = 4 * sum(x.size for x in params)  # bytes
    sgd = optax.sgd(RATE, momentum=MOMENTUM)

    def buffers(function, optimizer, *args):
        state = jax.eval_shape(optimizer.init, params)
        memory = function.lower(params, state, *args).compile().memory_analysis()
        sizes = memory.argument_size_in_bytes, memory.temp_size_in_bytes
        return [number / copy for number in sizes]

    base, base_temporary = buffers(make_optimizer_step(sgd), sgd, params)
    yield Row("copies: sgd's step, temporary", base_temporary)
    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    for averaging, limit in ((True, 3.0), (False, 2.0)):
        link = optax.chain(sgd, autodrop(RATE, averaging=averaging))
        wrapped = with_autodrop(sgd, RATE, NEVER, averaging=averaging)
        for name, optimizer in (("link", link), ("with_autodrop", wrapped)):
            state, temporary = buffers(
                make_optimizer_step(optimizer), optimizer, params
            )
            name = f"copies: {name}, averaging={averaging}"
            # Rounded: the state has some sixty bytes of scalars as well.
            yield Row(f"{name}, state", round(state - base, 2), limit=limit)
            yield Row(f"{name}, step, temporary", temporary)
        _, temporary = buffers(end, link)
        yield Row(f"copies: end_epoch, averaging={averaging}, temporary", temporary)


def normal_leaves(size: int, leaves: int, seed: int) -> Leaves:
    """Normal numbers in equal leaves."""
    rng = np.random.default_rng(seed)
    shape = (size // leaves,)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(leaves)]


def turning_leaves(
    size: int, leaves: int, degrees: float
) -> tuple[Leaves, Leaves, Leaves]:
    """Ends, starts and the step before, of a step that turns by about ``degrees``."""
    starts, previous, other = (normal_leaves(size, leaves, seed) for seed in range(3))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    triples = zip(starts, previous, other, strict=True)
    return [y + cos * s + sin * q for y, s, q in triples], starts, previous


def synthetic_fashion_mnist(config: BenchmarkConfig) -> Dataset:
    """Noise in the shape of Fashion-MNIST, with labels that can be learnt."""
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((28 * 28, 10), np.float32)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        images = rng.standard_normal((number, 28 * 28), np.float32)
        return images.reshape(-1, 28, 28), (images @ teacher).argmax(axis=1)

    train, test = draw(config.scaled(60_000)), draw(config.scaled(10_000))
    return standardised("Synthetic", "noise", 10, train, test)


ROWS: dict[RowName, Callable[[BenchmarkConfig], Iterator[Row]]] = {
    "link": link_rows,
    "wrapper": wrapper_rows,
    "angle": angle_rows,
    "epoch_end": epoch_end_rows,
    "demo": demo_rows,
    "memory": memory_rows,
}


def environment() -> dict[str, Any]:
    """Where the figures come from."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "device": jax.devices()[0].device_kind,
        "cpu_count": os.cpu_count(),
        "cpu": names[0] if names else platform.processor(),
        "load_at_start": os.getloadavg(),
    }


def benchmark(config: BenchmarkConfig) -> list[Row]:
    """Measures, prints the table and writes it.

    Raises:
      UserError: JAX has several devices.
    """
    if jax.device_count() != 1:
        raise UserError(
            f"The limits are for one device, and JAX has {jax.device_count()}: take"
            " jax_num_cpu_devices or XLA's flag for several out of the environment."
        )
    record = environment()
    rows = []
    _print_line("what", "ratio", "A/A", "limit", "met?")
    for name in config.rows:
        for row in ROWS[name](config):
            figures = (row.ratio, row.a_a, row.limit)
            texts = ["" if math.isnan(x) else f"{x:.3f}" for x in figures]
            _print_line(row.what, *texts, row.met)
            rows.append(row)

    config.out.mkdir(parents=True, exist_ok=True)
    with (config.out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("what", "ratio", "a_a", "limit", "met", "seconds", "base_seconds")
        )
        for row in rows:
            figures = (row.ratio, row.a_a, row.limit, row.seconds, row.base_seconds)
            texts = ["" if math.isnan(x) else f"{x:.6g}" for x in figures]
            writer.writerow((row.what, *texts[:3], row.met, *texts[3:]))
    record["load_at_end"] = os.getloadavg()
    record["config"] = dataclasses.asdict(config) | {"out": str(config.out)}
    path = config.out / "benchmark.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return rows


def _print_line(what: str, *texts: str) -> None:
    figures = "  ".join(text.rjust(6) for text in texts)
    print(f"{what:<72}{figures}", flush=True)


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    config = tyro.cli(
        BenchmarkConfig, prog="python -m experiments.benchmark", args=args
    )
    try:
        rows = benchmark(config)
    except UserError as error:
        sys.exit(f"Error: {error}")
    if config.check and any(row.met == "NO" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
