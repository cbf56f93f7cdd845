# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # AutoDrop in two lines
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY_OWNER/autodrop_optax/blob/main/notebooks/quickstart.ipynb)
#
# No schedule and no number of steps: AutoDrop lowers the learning rate when the parameters
# stop making headway, and keeps an average of them that is good whenever you stop.
#
#     optimizer = optax.chain(optax.adamw(1e-3), autodrop())    # the optimizer that you have
#     evaluate(autodrop_eval_params(opt_state, params))         # the average; train on
#
# This notebook trains a small perceptron on images of clothing and shows its errors while
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
import optax
from IPython.display import display

from autodrop_optax import autodrop, autodrop_eval_params, autodrop_metrics
from autodrop_optax.plot import plot_history, state_history

# NOTEBOOK_SMALL=1 is for tests: does everything, shows little.
SMALL = os.environ.get("NOTEBOOK_SMALL") == "1"
EPOCHS = 15 if SMALL else 60
TRAIN_IMAGES = 1280 if SMALL else 12800
plt.rcParams["figure.dpi"] = 70

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


# %% [markdown]
# ## Training
#
# SGD with momentum at a fixed rate, and AutoDrop as the last link. That the run is cut into
# epochs is for the evaluation alone; AutoDrop does not know of them. The figure grows while
# it trains.

# %%
live, panel = plt.subplots(figsize=(6, 2.6), layout="constrained")
view = display(live, display_id=True)
plt.close(live)  # the view is what shows it


def show(history):
    panel.clear()
    for name, color in {"parameters": "0.6", "average": "#0072B2"}.items():
        errors = [row[name] for row in history]
        panel.plot(range(1, len(errors) + 1), errors, color=color, label=name)
    panel.set(xlabel="epoch", ylabel="test error (%)", xlim=(1, EPOCHS))
    panel.legend(frameon=False)
    view.update(live)


def train(rate, show):
    sgd = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(rate, momentum=0.9))
    optimizer = optax.chain(sgd, autodrop())  # line one

    @jax.jit
    def train_epoch(params, state, key):
        def step(carry, batch):
            params, state = carry
            gradients = jax.grad(loss)(params, images[batch], labels[batch])
            updates, state = optimizer.update(gradients, state, params)
            return (optax.apply_updates(params, updates), state), None

        batches = jax.random.permutation(key, len(images)).reshape(-1, 128)
        return jax.lax.scan(step, (params, state), batches)[0]

    params = init_params(jax.random.key(0), [images[0].size, 128, 128, 10])
    state, history = optimizer.init(params), []
    for epoch in range(EPOCHS):
        params, state = train_epoch(params, state, jax.random.key(epoch))
        average = autodrop_eval_params(state, params)  # line two
        errors = {"parameters": test_error(params), "average": test_error(average)}
        history.append(autodrop_metrics(state) | errors)
        show(history)
    return state, history


# %%
state, history = train(0.1, show)

# %% [markdown]
# The average is what to evaluate, save or serve, whenever you stop. The parameters go on
# training, and carry the noise of the present rate.

# %%
for epoch in (EPOCHS // 4, EPOCHS // 2, EPOCHS):
    row = history[epoch - 1]
    print(
        f"stopped after epoch {epoch:2}: the average has {float(row['average']):.2f} %"
        f" test error, the parameters {float(row['parameters']):.2f} %"
    )

# %% [markdown]
# ## What it has seen
#
# `autodrop_metrics` gives a flat dictionary of scalars, which any logger takes.

# %%
for name, value in autodrop_metrics(state).items():
    print(f"{name:16} {float(value):8.4g}")

# %% [markdown]
# `plot_history` draws such rows: the *scale*, by which AutoDrop multiplies the updates, and
# the *angle* between the last two displacements of the average. A random walk would show
# 71.8 degrees, the dotted mark; where two checks in a row are at the mark or above, the
# scale is halved. Beside the run above, one at twice the rate:

# %%
too_high, its_history = train(0.2, show=lambda history: None)
plot_history(
    {"rate 0.1": history, "rate 0.2": its_history},
    panels=("scale", "angle", "average"),
    labels={"average": "test error (%)\nof the average"},
)

# %% [markdown]
# At 0.1 the average makes headway nearly to the end, and nothing drops. At 0.2 two checks in
# a row are soon at the mark: the scale is halved, and the average finds its way again. It
# does not quite catch up with the better rate.
#
# If nothing was logged, the state alone will do: it remembers the angle of every check.

# %%
plot_history({"rate 0.2": state_history(too_high)})

# %% [markdown]
# On from here: [which schedule](choosing_a_schedule.ipynb), with a stopping time that
# nobody knows. For a network of Flax or Equinox, groups of parameters, several devices and
# checkpoints the documentation has a page each.
