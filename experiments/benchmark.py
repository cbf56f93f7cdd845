"""What AutoDrop costs: `python -m experiments.benchmark` prints a table of ratios.

A ratio is one of medians, taken in one run in which the sides take turns. Beside it
stands A/A, the base side against a second, separately compiled copy of itself: what a
ratio of exactly 1 looks like on this machine at this moment. Rows without a limit are
for information.
"""

import csv
import dataclasses
import datetime
import functools
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
Side = Callable[[], Any]  # does the work once; returns the arrays to wait for
Leaves = list[jax.Array]
Measure = Callable[[Leaves, Leaves, Leaves], Turn]

SGD = optax.sgd(0.1, momentum=0.9)
NEVER = 10**9  # steps per epoch: no epoch ends while the clock runs
MAX_ANGLE_ERROR = 1e-3  # degrees
WARM_UP = 3  # turns: compiling, first touch of memory, an epoch end without an angle
PACKAGES = ("jax", "jaxlib", "optax", "flax", "numpy", "autodrop-optax", "torch")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Measures what AutoDrop costs, on one device."""

    rows: tuple[RowName, ...] = get_args(RowName)
    """What to measure."""
    repeats: int = 12
    """Timings of each side. A multiple of 6 has every order equally often."""
    size: float = 1.0
    """Multiplies the numbers of parameters and images. The limits hold for 1."""
    out: Path = Path("experiments/results")
    """Folder for benchmark.csv and benchmark.json."""
    check: bool = False
    """Exit with 1 if a limit is missed."""

    def scaled(self, number: int) -> int:
        """Returns the number at the chosen size, enough to be cut into 200 leaves."""
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
        """The verdict."""
        if math.isnan(self.limit) or math.isnan(self.ratio):
            return self.note
        return "yes" if self.ratio <= self.limit else "NO"


def compare(
    sides: dict[str, Side], repeats: int, prepare: dict[str, Side] | None = None
) -> dict[str, float]:
    """Times the sides in turns, in every order one after the other.

    Args:
      sides: what to time, by name.
      repeats: timings of each.
      prepare: by name, what to do off the clock before each timing of that side.

    Returns:
      The median of each side, in seconds.
    """
    orders = itertools.cycle(itertools.permutations(sides))
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(WARM_UP + repeats):
        for name in next(orders):
            if prepare and name in prepare:
                jax.block_until_ready(prepare[name]())
            start = time.perf_counter()
            result = jax.block_until_ready(sides[name]())
            times[name].append(time.perf_counter() - start)
            del result  # its memory goes back off the clock
    return {name: statistics.median(t[WARM_UP:]) for name, t in times.items()}


def timed_row(
    what: str,
    make_base: Callable[[], Side],  # called twice, to be compiled twice
    other: Side,
    repeats: int,
    limit: float = math.nan,
    prepare: Side | None = None,  # the other side's
) -> Row:
    """Compares ``other`` with the base, and the base with another copy of itself."""
    sides = {"base": make_base(), "again": make_base(), "other": other}
    medians = compare(sides, repeats, {"other": prepare} if prepare else None)
    base, again, seconds = (medians[name] for name in sides)
    return Row(what, seconds / base, again / base, limit, seconds, base)


def going_on(function: Callable[..., tuple], *values: Any) -> Side:
    """A side that hands a function its own last results, which it may donate."""

    def run():
        nonlocal values
        values = function(*values)
        return values

    return run


def link_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An optimizer's step alone: update and apply, in place, with given gradients."""
    # No plateau may be found: scales that fall for ever end in denormal numbers.
    plateau = optax.contrib.reduce_on_plateau(patience=NEVER)
    others = {
        "sgd, link": (optax.chain(SGD, autodrop(0.1)), 1.10),
        "link, sgd": (optax.chain(autodrop(0.1), SGD), math.nan),
        "with_autodrop(sgd)": (with_autodrop(SGD, 0.1, NEVER), math.nan),
        "sgd, reduce_on_plateau": (optax.chain(SGD, plateau), math.nan),
        "schedule_free": (optax.contrib.schedule_free_sgd(0.1), math.nan),
    }
    for millions in (10, 100):
        gradients = normal_leaves(config.scaled(millions * 10**6), leaves=20, seed=0)
        steps = 100 // millions  # short ones are timed in a row
        for name, (optimizer, limit) in others.items():
            yield timed_row(
                f"step, {millions} M: {name} / sgd",
                functools.partial(optimizer_side, SGD, gradients, steps),
                optimizer_side(optimizer, gradients, steps),
                config.repeats,
                limit,
            )


def optimizer_side(
    optimizer: optax.GradientTransformation, gradients: Leaves, steps: int
) -> Side:
    """Steps of an optimizer, each a call."""
    step = make_optimizer_step(optimizer)

    def run(params, state):
        for _ in range(steps):
            params, state = step(params, state, gradients)
        return params, state

    params = [jnp.ones_like(g) for g in gradients]
    # Copied: what init returns as it got it could not be donated twice.
    return going_on(run, params, jax.tree.map(jnp.copy, optimizer.init(params)))


def make_optimizer_step(optimizer: optax.GradientTransformation):
    """A jitted step that donates parameters and state."""
    optimizer = optax.with_extra_args_support(optimizer)

    def step(params, state, gradients):
        # Of the optimizers here only reduce_on_plateau looks at the value.
        updates, state = optimizer.update(gradients, state, params, value=1.0)
        return optax.apply_updates(params, updates), state

    # What is only handed through is memory all the same: memory_rows counts it.
    return jax.jit(step, donate_argnums=(0, 1), keep_unused=True)


def wrapper_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The demo's training step with and without ``with_autodrop``, no epoch end."""
    data = synthetic_fashion_mnist(config)
    base = WORKLOADS["fashion_mnist_mlp"].optimizer(0.1)
    wrapped = with_autodrop(base, 0.1, NEVER)
    for how, scan in (("one scan", True), ("step calls", False)):
        yield timed_row(
            f"training, {how}: with_autodrop / without",
            functools.partial(training_side, base, data, scan),
            training_side(wrapped, data, scan),
            config.repeats,
            limit=1.08,
        )


def training_side(
    optimizer: optax.GradientTransformation, data: Dataset, scan: bool
) -> Side:
    """The steps of an epoch of the demo, in one jitted scan or each a jitted call."""
    workload = WORKLOADS["fashion_mnist_mlp"]
    graphdef, params = nnx.split(workload.model(data, nnx.Rngs(0)))
    images, labels = data.train_images, data.train_labels
    size = len(labels) // workload.batch_size * workload.batch_size
    order = np.random.default_rng(0).permutation(len(labels))[:size]
    batches = jnp.asarray(order.reshape(-1, workload.batch_size))

    def loss_fn(params, images, labels):
        return cross_entropy(nnx.merge(graphdef, params)(images), labels).mean()

    def step(params, state, batch, images, labels):
        gradients = jax.grad(loss_fn)(params, images[batch], labels[batch])
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def epoch(params, state, batches, images, labels):
        def body(carry, batch):
            params, state = carry
            return step(params, state, batch, images, labels), None

        return jax.lax.scan(body, (params, state), batches)[0]

    function = jax.jit(epoch if scan else step, donate_argnums=(0, 1))
    calls = [batches] if scan else list(batches)

    def run(params, state):
        for batch in calls:
            params, state = function(params, state, batch, images, labels)
        return params, state

    params = nnx.to_pure_dict(params)
    return going_on(run, params, jax.tree.map(jnp.copy, optimizer.init(params)))


def angle_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The angle of 100 M parameters, over a sum over each leaf of the three trees."""
    measure = jax.jit(measure_turn)  # checked and timed
    size = config.scaled(10**7)
    checks = [turning_leaves(size, 1, degrees) for degrees in (1, 90, 179)]
    errors = [check_accuracy(measure, *trees) for trees in checks]
    # Near 0 and 180 degrees a second, scaled pass runs as well.
    for leaves, degrees, limit in (
        (1, 90, 1.3),
        (200, 90, 1.3),
        (1, 1, math.nan),
        (1, 179, math.nan),
    ):
        trees = turning_leaves(config.scaled(10**8), leaves, degrees)
        errors.append(check_accuracy(measure, *trees))
        yield timed_row(
            f"angle, 100 M in {leaves}, {degrees} degrees / read three trees",
            functools.partial(read_three, trees),
            functools.partial(measure, *trees),
            config.repeats,
            limit,
        )
    yield Row("angle, largest error / 1e-3 degrees", max(errors) / 1e-3, limit=1.0)


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
    products = np.zeros(3)
    for leaf in zip(ends, starts, previous, strict=True):
        arrays = [np.asarray(x).ravel() for x in leaf]
        for i in range(0, arrays[0].size, 10**7):  # float64 copies of all are large
            x, y, b = (array[i : i + 10**7].astype(np.float64) for array in arrays)
            a = x - y
            products += a @ b, a @ a, b @ b
    ab, aa, bb = products
    expected = np.degrees(np.arccos(ab / np.sqrt(aa * bb)))
    error = abs(float(measure(ends, starts, previous).angle) - expected)
    if not error <= MAX_ANGLE_ERROR:  # NaN neither
        raise ArithmeticError(
            f"The angle of {sum(x.size for x in ends)} parameters is {error:.2g}"
            f" degrees off at {expected:.2f} degrees: no speed counts."
        )
    return error


def epoch_end_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """The whole ``end_epoch`` at 100 M parameters, in place."""
    for leaves in (1, 200):
        trees = [normal_leaves(config.scaled(10**8), leaves, seed) for seed in range(3)]
        for kind, delay_count, base, limit in (
            ("no delay", 0, "new", 1.0),
            # Harder than asked for: new arrays cost the base fresh pages.
            ("no delay", 0, "in place", math.nan),
            ("averaging", 10, "new", math.nan),
            ("jump", 19, "new", math.nan),
        ):
            prepare, end = epoch_end_side(trees[:2], delay_count)
            yield timed_row(
                f"end_epoch, 100 M in {leaves}, {kind} / read three, write two {base}",
                functools.partial(read_three_write_two, trees, base == "in place"),
                end,
                config.repeats,
                limit,
                prepare,
            )
            prepare()
            metrics = autodrop_metrics(end()[1])
            # A zero step, or one straight on, would have timed something else.
            if not 8 < metrics["angular_velocity"] < 172:
                raise ArithmeticError("The epochs timed did not turn by usual angles.")
            if bool(metrics["averaged"]) != (kind == "jump"):
                raise ArithmeticError(f"The epoch ends timed were not of kind {kind}.")


def epoch_end_side(steps: Sequence[Leaves], delay_count: int) -> tuple[Side, Side]:
    """Epochs that move by the ``steps`` in turn, off the clock; and their ends.

    Each ends ``delay_count`` epochs into the delay of 20. The epoch end is compiled
    once for all of these: what it does is decided by the state alone.
    """
    add = jax.jit(lambda xs, ys: jax.tree.map(jnp.add, xs, ys), donate_argnums=0)
    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    step = itertools.cycle(steps)
    params = [jnp.zeros_like(x) for x in steps[0]]
    state: Any = autodrop(0.1, threshold=0.0, drop_delay=20).init(params)

    def prepare():
        nonlocal params, state
        params = add(params, next(step))
        state = state._replace(
            dropping=jnp.bool_(delay_count > 0), delay_count=jnp.int32(delay_count)
        )
        return params, state

    def run():
        nonlocal params, state
        params, state = end(params, state)
        return params, state

    return prepare, run


def read_three_write_two(trees: Sequence[Leaves], in_place: bool) -> Side:
    """Reads three trees and writes two, new ones or over two of those read."""

    def write(x, y, s):
        return [a + 1 for a in x], [b + c for b, c in zip(y, s, strict=True)]

    if not in_place:
        return functools.partial(jax.jit(write), *trees)
    write = jax.jit(write, donate_argnums=(0, 1))
    copies = ([jnp.copy(a) for a in tree] for tree in trees[:2])
    return going_on(lambda x, y: write(x, y, trees[2]), *copies)


def demo_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """An epoch of the demo, over one in PyTorch. Both train and evaluate."""
    what = "epoch of the demo / PyTorch"
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        yield Row(what, math.nan, limit=1.0, note="torch not installed")
        return
    data = synthetic_fashion_mnist(config)
    for name, limit, options in (("", 1.0, {}), (", fused", math.nan, {"fused": True})):
        state, run_epoch = set_up(RunConfig("fashion_mnist_mlp", "autodrop"), data)
        yield timed_row(
            what + name,
            functools.partial(torch_epoch, torch, data, options),
            going_on(lambda state, _, run=run_epoch: run(state, data), state, None),
            config.repeats,
            limit,
        )


def torch_epoch(torch: Any, data: Dataset, options: dict[str, Any]) -> Side:
    """The demo's epoch without AutoDrop, as a plain loop over tensors in memory."""
    batch_size = WORKLOADS["fashion_mnist_mlp"].batch_size
    images, labels, test_images, test_labels = (
        torch.from_numpy(np.array(x)) for x in data[3:]
    )
    labels, test_labels = labels.long(), test_labels.long()
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(28 * 28, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, data.num_classes),
    )
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, **options
    )
    cross_entropy = torch.nn.functional.cross_entropy
    size = len(labels) // batch_size * batch_size

    def run():
        losses = torch.zeros(())
        for batch in torch.randperm(len(labels))[:size].split(batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            losses += loss.detach()
        with torch.no_grad():
            logits = torch.cat([model(x) for x in test_images.split(1000)])
            wrong = logits.argmax(1) != test_labels
            loss = cross_entropy(logits, test_labels)
        return losses.item(), loss.item(), wrong.sum().item()

    return run


def memory_rows(config: BenchmarkConfig) -> Iterator[Row]:
    """Copies of the parameters among the buffers of compiled programs."""
    del config  # only compiled: no need to scale
    params = [jax.ShapeDtypeStruct((500_000,), jnp.float32)] * 20
    copy = 20 * 4 * 500_000  # bytes

    def buffers(function, optimizer, *args) -> tuple[float, float]:
        state = jax.eval_shape(optimizer.init, params)
        memory = function.lower(params, state, *args).compile().memory_analysis()
        return memory.argument_size_in_bytes / copy, memory.temp_size_in_bytes / copy

    base, _ = buffers(make_optimizer_step(SGD), SGD, params)
    end = jax.jit(end_epoch, donate_argnums=(0, 1))
    for averaging, limit in ((True, 3.0), (False, 2.0)):
        link = optax.chain(SGD, autodrop(0.1, averaging=averaging))
        wrapped = with_autodrop(SGD, 0.1, NEVER, averaging=averaging)
        for name, optimizer in (("link", link), ("with_autodrop", wrapped)):
            what = f"copies, averaging={averaging}: {name}"
            size, temporary = buffers(make_optimizer_step(optimizer), optimizer, params)
            # Rounded: the state's scalars are some sixty bytes more.
            yield Row(f"{what}, state", round(size - base, 4), limit=limit)
            yield Row(f"{what}, temporary in a step", temporary)
        _, temporary = buffers(end, link)
        yield Row(f"copies, averaging={averaging}: end_epoch, temporary", temporary)


def normal_leaves(size: int, leaves: int, seed: int) -> Leaves:
    """Normal numbers in equal leaves."""
    rng = np.random.default_rng(seed)
    shape = (size // leaves,)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(leaves)]


def turning_leaves(size: int, leaves: int, degrees: float) -> tuple[Leaves, ...]:
    """Ends and starts of a step, and the step before, about ``degrees`` apart."""
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


def benchmark(config: BenchmarkConfig) -> list[Row]:
    """Measures, prints the table and writes it.

    Raises:
      UserError: JAX has several devices.
    """
    if jax.device_count() != 1:
        raise UserError(
            f"The limits are for one device, and JAX has {jax.device_count()}: take"
            " what makes it several out of the environment."
        )
    load = os.getloadavg()
    rows: list[Row] = []
    print(f"{'what':<70} ratio    A/A  limit  met?")
    for name in config.rows:
        for row in ROWS[name](config):
            ratio, a_a, limit = (
                " " * 6 if math.isnan(x) else f"{x:6.3f}" for x in row[1:4]
            )
            print(f"{row.what:<69}{ratio} {a_a} {limit}  {row.met}", flush=True)
            rows.append(row)

    config.out.mkdir(parents=True, exist_ok=True)
    with (config.out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*Row._fields[:6], "met"))
        for row in rows:
            figures = ["" if math.isnan(x) else f"{x:.6g}" for x in row[1:6]]
            writer.writerow((row.what, *figures, row.met))
    record = {
        **environment(),
        "load": {"before": load, "after": os.getloadavg()},
        "config": dataclasses.asdict(config),
    }
    text = json.dumps(record, indent=2, default=str)
    (config.out / "benchmark.json").write_text(text + "\n")
    return rows


def environment() -> dict[str, Any]:
    """Where the figures come from."""
    versions = {}
    for name in PACKAGES:
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
        "cpu": names[0] if names else platform.processor(),
        "cpu_count": os.cpu_count(),
    }


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    prog = "python -m experiments.benchmark"
    config = tyro.cli(BenchmarkConfig, prog=prog, args=args)
    try:
        rows = benchmark(config)
    except UserError as error:
        sys.exit(f"Error: {error}")
    if config.check and any(row.met == "NO" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
