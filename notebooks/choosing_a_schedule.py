# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Choosing a schedule
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY_OWNER/autodrop_optax/blob/main/notebooks/choosing_a_schedule.ipynb)
#
# Most schedules must be told when the training ends. This notebook is about not knowing it:
# first runs made here, with a stopping time that you move; then the repository's committed
# results for a known end, and what each schedule must be told; last, how to make a schedule
# from the gradients of a first run.

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

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from IPython.display import display

from autodrop_optax import autodrop, autodrop_eval_params
from autodrop_optax.refinement import (
    record_gradient_norms,
    recorded_gradient_norms,
    refine_schedule,
)
from experiments.data.digits import load_digits
from experiments.report.anytime import StoppedRun
from experiments.report.anytime_figures import requirements
from experiments.report.csv_file import read_csv
from experiments.report.outcome import Outcome
from experiments.report.pages import STUDIES
from experiments.report.statistics import mean_sd

# NOTEBOOK_SMALL=1 is for tests: does everything, trains little.
SMALL = os.environ.get("NOTEBOOK_SMALL") == "1"
STEPS = 256 if SMALL else 4096
SEEDS = jnp.arange(2 if SMALL else 8)
EVERY = 64  # steps between evaluations
plt.rcParams["figure.dpi"] = 70

# %% [markdown]
# ## A stopping time that nobody knows
#
# A perceptron on the 1,797 digits that scikit-learn carries, 450 of them for the test. All
# runs start alike and are evaluated every 64 steps. AutoDrop makes one run, told nothing;
# linear decay makes a run for each end that it is told.

# %%
digits = load_digits()
inputs, labels = jnp.asarray(digits.train_inputs), jnp.asarray(digits.train_labels)


def logits(params, x):
    x = jax.nn.relu(x.reshape(len(x), -1) @ params["w1"])
    return x @ params["w2"]


def loss(params, batch):
    values = optax.softmax_cross_entropy_with_integer_labels(
        logits(params, inputs[batch]), labels[batch]
    )
    return values.mean()


def test_error(params):  # percent
    wrong = logits(params, digits.test_inputs).argmax(-1) != digits.test_labels
    return 100 * jnp.mean(wrong)


def sgd(rate):  # a number or a schedule
    return optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(rate, momentum=0.9))


def train(optimizer, seed, evaluated=lambda state, params: params):
    """Returns the state at the end and the errors of what is evaluated."""
    one, two, key = jax.random.split(jax.random.key(seed), 3)
    params = {
        "w1": jax.random.normal(one, (64, 128)) * jnp.sqrt(2 / 64),
        "w2": jax.random.normal(two, (128, 10)) * jnp.sqrt(1 / 128),
    }

    def step(carry, key):
        params, state = carry
        batch = jax.random.randint(key, (32,), 0, len(labels))
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    def steps(carry, keys):
        (params, state), _ = jax.lax.scan(step, carry, keys)
        return (params, state), test_error(evaluated(state, params))

    keys = jax.random.split(key, (STEPS // EVERY, EVERY))
    (_, state), errors = jax.lax.scan(steps, (params, optimizer.init(params)), keys)
    return state, errors


@jax.jit
@jax.vmap
def with_autodrop(seed, rate):
    optimizer = optax.chain(sgd(rate), autodrop())
    return train(optimizer, seed, autodrop_eval_params)[1]


@jax.jit
@jax.vmap
def with_linear_decay(seed, rate, end):
    def schedule(i):
        return rate * jnp.maximum(0, 1 - i / end)

    return train(sgd(schedule), seed)[1]


RATES = (0.05, 0.1, 0.2, 0.4)
ENDS = [STEPS // 8, STEPS // 4, STEPS // 2, STEPS]
runs = {}  # rate, label: errors, shape (seeds, evaluations)
for rate in RATES:
    rates = jnp.full(len(SEEDS), rate)
    runs[rate, "AutoDrop, told nothing"] = with_autodrop(SEEDS, rates)
    for end in ENDS:
        errors = with_linear_decay(SEEDS, rates, jnp.full(len(SEEDS), end))
        runs[rate, f"linear decay, told {end}"] = errors

# %% [markdown]
# The lines are means over the seeds. The dashed line is where somebody stops the training;
# the legend has the error of each run there.

# %%
COLORS = ["#0072B2", "0.75", "0.6", "0.4", "0.1"]


def explore(stop, rate):
    now = stop // EVERY - 1
    time = EVERY * np.arange(1, STEPS // EVERY + 1)
    _, panel = plt.subplots(figsize=(8, 3.2), layout="constrained")
    of_this_rate = {label: x for (r, label), x in runs.items() if r == rate}
    for (label, errors), color in zip(of_this_rate.items(), COLORS, strict=True):
        here = f"{mean_sd(np.asarray(errors)[:, now])} %  {label}"
        panel.plot(time, np.mean(errors, axis=0), color=color, label=here)
    panel.axvline(stop, color="0.3", ls="--", lw=1)
    panel.set(xscale="log", yscale="log", xlabel="step", ylabel="test error (%)")
    panel.set_title(f"rate {rate}, stopped after {stop} steps", fontsize=10)
    panel.legend(frameon=False, fontsize=8)
    plt.show()


explore(stop=STEPS // 4, rate=0.1)

# %%
explore(stop=STEPS // 4, rate=0.4)

# %% [markdown]
# At 0.1 AutoDrop is, at whatever step it is stopped, about as good as linear decay that was
# told that step. With 450 test images the schedules differ by less than their scatter.
#
# At 0.4, a rate far too high, linear decay that was told this stop is ahead: two of AutoDrop's
# eight seeds still stand at 23 and 50 %. By the end its drops have brought back every seed,
# and it is ahead, with 2.0 % against 2.9 of linear decay that was told the end.
#
# With a kernel that runs, move the stop:

# %%
sliders = widgets.interact(
    explore,
    stop=widgets.IntSlider(
        STEPS // 2, min=EVERY, max=STEPS, step=EVERY, continuous_update=False
    ),
    rate=widgets.ToggleButtons(options=RATES, value=0.1),
)
# %% [markdown]
# ## A known end
#
# The repository's demo: Fashion-MNIST with a perceptron, 60 epochs, five seeds. The two
# schedules were told the 60 epochs.

# %%
demo = read_csv(STUDIES / "demo.csv", Outcome)
for schedule in dict.fromkeys(run.schedule for run in demo):
    case = "fashion_mnist_mlp", schedule
    errors = [run.final_error for run in demo if run[:2] == case]
    print(f"{schedule:13} {mean_sd(errors)} % test error, n = {len(errors)}")

# %% [markdown]
# ## What you have to know
#
# The study of stops: six workloads, each method at its own best rate, by what it must be
# told before the run. The grey line is linear decay's error.

# %%
stopped = read_csv(STUDIES / "anytime.csv", StoppedRun)
display(requirements(stopped))

# %% [markdown]
# ## Refinement in three lines
#
# With the gradient norms of a first run a schedule can be refined for the task
# ([Defazio et al., 2023](https://arxiv.org/abs/2310.07831)): train once, refine, train
# again.

# %%
linear = optax.linear_schedule(0.1, 0.0, STEPS)
recording = optax.chain(record_gradient_norms("l2"), sgd(linear))

state, _ = train(recording, seed=100)  # train once
refined = refine_schedule(recorded_gradient_norms(state))  # refine
_, errors = train(sgd(lambda i: 0.1 * refined(i)), seed=0)  # train again

# %%
time = np.arange(STEPS)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(recorded_gradient_norms(state), linewidth=0.5)
left.set(xlabel="step", ylabel="norm of the gradient", yscale="log")
left.set_title("the first run")
right.plot(time, [linear(t) for t in time], "--", color="0.6", label="linear decay")
right.plot(time, 0.1 * refined(time), label="refined")
right.set(xlabel="step", ylabel="learning rate")
right.legend(frameon=False)
plt.show()

# %%
for name, schedule in {"linear": linear, "refined": lambda i: 0.1 * refined(i)}.items():
    errors = jax.vmap(lambda seed, s=schedule: train(sgd(s), seed)[1])(SEEDS)
    print(
        f"{name:8} {mean_sd(np.asarray(errors)[:, -1])} % test error, n = {len(SEEDS)}"
    )

# %% [markdown]
# Where the norms hardly change, or change with the noise alone, there is little to
# refine, and the schedule stays close to linear decay. Where they fall because the loss
# does, as here, the refined schedule begins with a warm-up. In the repository's
# experiments that was better than linear decay in none of twenty convex cases and on
# neither of two networks. Compare the two on your task before you rely on it.
