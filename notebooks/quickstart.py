# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # AutoDrop in ten minutes
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY_OWNER/autodrop_optax/blob/main/notebooks/quickstart.ipynb)
#
# Look at the step that the parameters take in each epoch, and at the angle between one
# step and the next: the *angular velocity*. At a fixed learning rate it rises while the
# optimizer makes headway, then saturates, when all that is left is bouncing about.
# AutoDrop ([Teng, Wang, Choromanska, 2021](https://arxiv.org/abs/2111.15317)) drops the
# rate at that moment.
#
# This notebook trains a small perceptron on images of clothing and shows the angle while
# it trains. On two CPU cores it takes a minute or two.

# %%
# In Colab: installs the package and fetches the repository's experiments. Elsewhere:
# nothing.
import subprocess
import sys

if "google.colab" in sys.modules:
    repository = "https://github.com/REPOSITORY_OWNER/autodrop_optax"
    clone = "/content/autodrop_optax"
    subprocess.run(["git", "clone", "--depth", "1", repository, clone], check=True)
    requirement = f"{clone}[experiments]"
    subprocess.run([sys.executable, "-m", "pip", "install", requirement], check=True)
    sys.path.insert(0, clone)

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from IPython.display import display

from autodrop_optax import (
    autodrop_metrics,
    end_epoch,
    epoch_autodrop,
    with_epoch_autodrop,
)
from autodrop_optax.plot import plot_history

# NOTEBOOK_SMALL=1 is for tests: does everything, shows little.
SMALL = os.environ.get("NOTEBOOK_SMALL") == "1"
EPOCHS = 8 if SMALL else 60
TRAIN_IMAGES = 1280 if SMALL else 12800

# %% [markdown]
# ## The data
#
# Fashion-MNIST, a part of it to save time; where it cannot be had, the small digits that
# scikit-learn carries.

# %%
from experiments.data.digits import load_digits
from experiments.data.fashion_mnist import load_fashion_mnist
from experiments.errors import DataUnavailableError

try:
    dataset = load_fashion_mnist()
except DataUnavailableError:
    dataset = load_digits()

images, labels = (
    dataset.train_inputs[:TRAIN_IMAGES],
    dataset.train_labels[:TRAIN_IMAGES],
)
print(f"{dataset.name}: {len(images)} images of {images.shape[1:]}, for training")

figure, panels = plt.subplots(1, 10, figsize=(7, 0.9))
for panel, image in zip(panels, images, strict=False):
    panel.imshow(image, cmap="gray")
    panel.axis("off")

# %% [markdown]
# ## The network and its loss
#
# Nothing here knows of AutoDrop.


# %%
def init_params(key, sizes):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (m, n)) * jnp.sqrt(2 / m), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def logits(params, images):
    x = images.reshape(len(images), -1)
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params, images, labels):
    values = optax.softmax_cross_entropy_with_integer_labels(
        logits(params, images), labels
    )
    return values.mean()


@jax.jit
def test_error(params):  # percent
    predicted = logits(params, dataset.test_inputs).argmax(axis=-1)
    return 100 * jnp.mean(predicted != dataset.test_labels)


first_params = init_params(jax.random.key(0), [images[0].size, 128, 128, 10])

# %% [markdown]
# ## AutoDrop in a plain optax loop
#
# A link of the chain, and one line at the end of each epoch. The settings are those of
# the repository's demo, for runs of about 60 epochs: the angular velocity counts as
# saturated when over 12 epochs it has changed by less than 0.4 degrees per epoch, and
# the drop comes after a delay of 5 epochs. The figure grows while it trains.

# %%
history, figure = [], display(None, display_id=True)


def show(history):
    if len(history) % 5 and len(history) != EPOCHS:
        return
    panels = ("learning_rate", "angular_velocity", "test_error")
    names = {"test_error": "test error (%)"}
    drawn = plot_history({"AutoDrop": history}, panels=panels, labels=names)
    drawn.set_dpi(70)
    figure.update(drawn)


def batches(key, size=128):  # indices of an epoch's batches, in random order
    steps = len(images) // size
    return jax.random.permutation(key, len(images))[: steps * size].reshape(steps, size)


# %%
sgd = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, momentum=0.9))
settings = {"threshold": 0.4, "max_threshold": 0.4, "window": 12, "drop_delay": 5}
optimizer = optax.chain(sgd, epoch_autodrop(0.1, **settings))
params, state = first_params, optimizer.init(first_params)


@jax.jit
def step(params, state, images, labels):
    gradients = jax.grad(loss)(params, images, labels)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


for epoch in range(EPOCHS):
    for batch in batches(jax.random.key(epoch)):
        params, state = step(params, state, images[batch], labels[batch])
    params, state = end_epoch(params, state)  # the one line that is new
    history.append(autodrop_metrics(state) | {"test_error": test_error(params)})
    show(history)

# %% [markdown]
# Each dashed line is a drop. The angle rises at first, and a rise that has become slow
# enough for the threshold starts the delay. At a drop the rate falls to a fifth, the
# angle starts over, and the parameters become the average of the delay's epochs: at the
# first drop the test error falls at once. The later drops gain little here, and the
# angles between them scatter by more than the rise that is looked for.
#
# ## Reading the metrics
#
# `autodrop_metrics` gives a flat dictionary of scalars, which any logger takes.

# %%
for name, value in autodrop_metrics(state).items():
    print(f"{name:24} {float(value):10.4g}")

# %% [markdown]
# * `angular_velocity`, in degrees, is the angle between the last two epochs' steps;
#   infinite until there are two.
# * `angular_velocity_change` is what is compared with `threshold`: here the mean change
#   per epoch over 12 epochs. Below the threshold the delay begins, and `delay_count`
#   counts it.
# * `learning_rate` is the one from now on, `num_drops` how often it has dropped,
#   `epochs_since_drop` how long ago.
# * `step_norm` is the length of the last epoch's step: it shrinks with the rate.
# * `averaged` is true right after an averaging: the moment to recompute BatchNorm's
#   statistics, if there are any.
#
# The epochs in which something happened:

# %%
drops = [int(row["num_drops"]) for row in history]
for before, after, row in zip([0, *drops], drops, history, strict=False):
    if after > before:
        print(
            f"after epoch {int(row['epoch'])}: rate {float(row['learning_rate']):.4f},"
            f" angle {float(row['angular_velocity']):.1f} degrees,"
            f" test error {float(row['test_error']):.2f} %"
        )
print(f"at the end: test error {float(history[-1]['test_error']):.2f} %")

# %% [markdown]
# ## Three ways to drive it
#
# | | write | call | averages parameters |
# |---|---|---|---|
# | a link | `optax.chain(sgd, epoch_autodrop(0.1))` | `end_epoch` once per epoch | yes |
# | a wrapper | `with_epoch_autodrop(sgd, 0.1, steps_per_epoch)` | nothing | yes |
# | a link that counts | `epoch_autodrop(0.1, steps_per_epoch=..., averaging=False)` | nothing | no |
#
# A link cannot move parameters, so that the third has no averaging. Here are runs of all
# three, without averaging and, where there is one, with it. They are three programs, which
# a compiler rounds differently, and training carries such differences apart; over a dozen
# steps it hardly does. A threshold of 180 degrees lets any angle count as saturated, so
# that even epochs of two steps have drops.

# %%
STEPS = 2
short = {"threshold": 180.0, "max_threshold": 180.0, "drop_delay": 2}


def run(optimizer, *, call_end_epoch, epochs=7):
    @jax.jit
    def step(params, state, images, labels):
        gradients = jax.grad(loss)(params, images, labels)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params, state = first_params, optimizer.init(first_params)
    for epoch in range(epochs):
        for batch in batches(jax.random.key(epoch))[:STEPS]:
            params, state = step(params, state, images[batch], labels[batch])
        if call_end_epoch:
            params, state = end_epoch(params, state)
    return params, autodrop_metrics(state)


def three_ways(averaging):
    options = short | {"averaging": averaging}
    link = optax.chain(sgd, epoch_autodrop(0.1, **options))
    wrapper = with_epoch_autodrop(sgd, 0.1, steps_per_epoch=STEPS, **options)
    runs = {
        "link and end_epoch": run(link, call_end_epoch=True),
        "wrapper": run(wrapper, call_end_epoch=False),
    }
    if not averaging:
        counting = optax.chain(
            sgd, epoch_autodrop(0.1, steps_per_epoch=STEPS, **options)
        )
        runs["link that counts"] = run(counting, call_end_epoch=False)
    return runs


def largest_difference(tree, other):
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in pairs)


for averaging in (False, True):
    runs = three_ways(averaging)
    first, _ = runs["link and end_epoch"]
    print(f"averaging={averaging}")
    for name, (params, metrics) in runs.items():
        difference = largest_difference(params, first)
        assert metrics["num_drops"] == 2
        assert difference < 1e-6, "the ways should give the same run"
        print(
            f"  {name:20} {int(metrics['num_drops'])} drops,"
            f" rate {float(metrics['learning_rate']):.4f},"
            f" angle {float(metrics['angular_velocity']):.3f},"
            f" parameters differ from the first's by {difference:.1g}"
        )

# %% [markdown]
# The three give the same run, up to rounding: they call the same function. Over a long
# training the parameters drift apart, as those of two machines do. The link that
# counts finishes an epoch with the first step of the next one, so the angle that it shows
# here is the one of the epoch before. Take the link where you have a place for one line per epoch; the wrapper where
# you have none.
#
# Plainly: in the repository's comparisons AutoDrop came out even with a multi-step
# schedule whose milestones were set knowing the length of the run, and it was not free of
# tuning. The first page of the repository has the figures.
