"""ResNet-18 in bfloat16 on Fashion-MNIST: AutoDrop against linear decay.

AutoDrop is told nothing. Linear decay to zero is told the end, and has a run for it.
What is evaluated is what a person would use, the average or the parameters.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from autodrop_optax import autodrop, autodrop_eval_params, autodrop_metrics
from autodrop_optax.flax import recompute_batch_stats
from experiments.data.augment import crop_and_flip
from experiments.models import resnet18
from experiments.task.optimizers import sgd

losses = optax.softmax_cross_entropy_with_integer_labels
RATES = (0.05, 0.1, 0.2)
BATCH = 256
TEST_BATCH = 1000
STOPS = (1 / 4, 1 / 2, 1)  # of the run, for what needs no horizon
EPOCHS = 30  # at most
STATISTICS = 20  # batches that BatchNorm's statistics are recomputed from

Part = tuple[np.ndarray, np.ndarray]
Optimizer = optax.GradientTransformationExtraArgs


class Result(NamedTuple):
    """An evaluation."""

    schedule: str
    learning_rate: float
    epochs: int  # until here
    horizon: float  # as a fraction of the length
    error: float  # percent of the test images
    loss: float  # nats
    drops: int
    seconds: float  # an epoch's, the fastest


class Training(NamedTuple):
    """The network's trees, and the optimizer's."""

    params: Any
    rest: Any
    opt_state: Any


def training_rows(
    train: Part, test: Part, size: float, seconds: float
) -> Iterator[Result]:
    """Trains at each rate with each schedule, for as many epochs as fit.

    Args:
      train: images of shape (examples, 28, 28), uint8, and labels.
      test: the same.
      size: multiplies the network's width and the number of examples.
      seconds: for all runs together; one epoch is run before, to see how long it takes.
    """
    count = max(BATCH, round(size * len(train[1])))
    train = train[0][:count], train[1][:count]
    count = max(TEST_BATCH, round(size * len(test[1])))
    test = test[0][:count], test[1][:count]
    run = functools.partial(train_once, train, test, max(4, round(64 * size)))
    begun = time.perf_counter()
    *_, first = run("linear_decay", RATES[0], 2)
    left = seconds - (time.perf_counter() - begun)
    # Compiling and evaluating take what is left of the last fifth.
    fitting = int(0.8 * left / (2 * len(RATES) * first.seconds))
    epochs = 4 * max(1, min(EPOCHS, fitting) // 4)
    for rate in RATES:
        for schedule in ("autodrop", "linear_decay"):
            yield from run(schedule, rate, epochs)


def train_once(
    train: Part, test: Part, width: int, schedule: str, rate: float, epochs: int
) -> Iterator[Result]:
    """One run with seed 0, evaluated at its stops."""
    mean, std = train[0].mean() / 255, train[0].std() / 255
    images, labels = jnp.asarray(train[0])[..., None], jnp.asarray(train[1], jnp.int32)
    steps = len(labels) // BATCH

    def prepare(x: jax.Array) -> jax.Array:
        return ((x / 255 - mean) / std).astype(jnp.bfloat16)

    model = resnet18(
        10,
        stem="cifar",
        in_channels=1,
        width=width,
        dtype=jnp.bfloat16,
        rngs=nnx.Rngs(0),
    )
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = nnx.to_pure_dict(params), nnx.to_pure_dict(rest)
    optimizer = optimizer_of(schedule, rate, epochs * steps)
    state = Training(params, rest, optimizer.init(params))

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state: Training, images, labels, key: jax.Array) -> Training:
        order = jax.random.permutation(key, len(labels))[: steps * BATCH]

        def step(state: Training, batch: jax.Array):
            crop_key = jax.random.fold_in(key, batch[0])
            inputs = prepare(crop_and_flip(crop_key, images[batch], padding=2))

            def loss_fn(params):
                model = nnx.merge(graphdef, params, state.rest)
                model.train()
                loss = losses(model(inputs), labels[batch]).mean()
                _, _, rest = nnx.split(model, nnx.Param, ...)
                return loss, nnx.to_pure_dict(rest)

            gradients, rest = jax.grad(loss_fn, has_aux=True)(state.params)
            updates, opt_state = optimizer.update(
                gradients, state.opt_state, state.params
            )
            return Training(
                optax.apply_updates(state.params, updates), rest, opt_state
            ), None

        return jax.lax.scan(step, state, order.reshape(-1, BATCH))[0]

    stops = [round(epochs * stop) for stop in STOPS]
    keys = jax.random.split(jax.random.key(1), epochs)
    fastest = float("inf")
    for number, key in enumerate(keys, 1):
        begun = time.perf_counter()
        state = jax.block_until_ready(epoch(state, images, labels, key))
        fastest = min(fastest, time.perf_counter() - begun)
        told_nothing = schedule == "autodrop"
        if number != epochs and not (told_nothing and number in stops):
            continue
        params, drops = state.params, 0
        if told_nothing:
            params = autodrop_eval_params(state.opt_state, params)
            drops = int(autodrop_metrics(state.opt_state)["num_drops"])
        model = nnx.merge(graphdef, params, state.rest)
        if told_nothing:
            parts = (images[i * BATCH : (i + 1) * BATCH] for i in range(steps))
            recompute_batch_stats(
                model, map(prepare, itertools.islice(parts, STATISTICS))
            )
        loss, error = evaluate(model, prepare, test)
        yield Result(
            schedule, rate, number, number / epochs, error, loss, drops, fastest
        )


def optimizer_of(schedule: str, rate: float, steps: int) -> Optimizer:
    """SGD with momentum 0.9 and weight decay 5e-4."""
    if schedule == "autodrop":
        return optax.chain(sgd(rate, 0.9, 5e-4), autodrop())
    return optax.with_extra_args_support(
        sgd(optax.linear_schedule(rate, 0.0, steps), 0.9, 5e-4)
    )


def evaluate(
    model: nnx.Module, prepare: Callable[[jax.Array], jax.Array], test: Part
) -> tuple[float, float]:
    """Mean loss in nats and error in percent, over whole batches."""
    model.eval()

    @nnx.jit
    def sums(model, images, labels):
        logits = model(prepare(images))
        wrong = jnp.argmax(logits, axis=-1) != labels
        return jnp.stack([losses(logits, labels).sum(), wrong.sum()])

    totals = np.zeros(2)
    count = len(test[1]) // TEST_BATCH * TEST_BATCH
    for i in range(0, count, TEST_BATCH):
        images, labels = (jnp.asarray(x[i : i + TEST_BATCH]) for x in test)
        totals += np.asarray(sums(model, images[..., None], labels.astype(jnp.int32)))
    loss, wrong = totals / count
    return float(loss), 100 * float(wrong)
