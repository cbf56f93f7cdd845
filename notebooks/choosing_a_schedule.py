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
# Which course should the learning rate take? This notebook shows what the repository's
# own experiments say: the final test errors of many schedules at one rate, with error
# bars; what each schedule must be told in advance; and how to make a schedule from the
# gradients of a first run, in three lines.
#
# The runs themselves are not made here: their results are committed, one line a run. The
# rules, written before the runs, stand in the
# [the studies' page](https://github.com/REPOSITORY_OWNER/autodrop_optax/blob/main/experiments/studies/README.md#schedules-on-equal-terms).

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
import statistics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from IPython.display import Markdown, display

from autodrop_optax.refinement import (
    record_gradient_norms,
    recorded_gradient_norms,
    refine_schedule,
)
from experiments.report.comparison import ComparedRun, differences_by_schedule
from experiments.report.csv_file import read_csv
from experiments.report.pages import STUDIES, finals
from experiments.report.requirements import requirements_figure
from experiments.report.statistics import mean_sd, t_limit, t_statistic
from experiments.studies import comparison
from experiments.task.workloads import WORKLOADS

# NOTEBOOK_SMALL=1 is for tests: does everything, trains little.
SMALL = os.environ.get("NOTEBOOK_SMALL") == "1"

# %% [markdown]
# ## One rate, many schedules
#
# The rate was tuned once for each workload, for the multi-step schedule alone, on
# examples held out; every schedule then runs at that rate (but the schedule-free ones,
# whose authors prescribe another). Final test error in %, mean ± standard deviation over
# n seeds. **Bold** is better than multi-step, *italics* worse, where a t test of the
# differences seed by seed tells them apart at 5 %. At that level one in twenty differs by
# chance.

# %%
names = (
    "fashion_mnist_mlp",
    "digits_mlp",
    "fashion_mnist_resnet",
    "pydoc_transformer_comparison",
)
tables = {name: read_csv(STUDIES / f"{name}.csv", ComparedRun) for name in names}
workloads = [rows[0].workload for rows in tables.values()]
for name in workloads:
    print(f"{name}: {WORKLOADS[name].data}; {WORKLOADS[name].network}")
display(Markdown(finals(" ".join(names))))

# %% [markdown]
# The same as differences from multi-step, seed by seed: mean and standard deviation in
# points of error. Left of the line is better.

# %%
differences = [differences_by_schedule(rows) for rows in tables.values()]
most = [s for s in differences[0] if sum(s in found for found in differences) > 2]
shown = most[::-1]  # the axis counts from below
figure, panels = plt.subplots(
    1, len(tables), figsize=(11, 3.2), sharey=True, layout="constrained"
)
for panel, name, found in zip(panels, workloads, differences, strict=True):
    for height, schedule in enumerate(shown):
        values = found.get(schedule)
        if values is None:
            continue
        told_apart = abs(t_statistic(values)) > t_limit(len(values))
        panel.errorbar(
            statistics.mean(values),
            height,
            xerr=statistics.stdev(values),
            fmt="o",
            color="C0" if "autodrop" in schedule else "0.4",
            markerfacecolor=None if told_apart else "white",
        )
    panel.axvline(0, color="0.8", zorder=0)
    panel.set_title(name, fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
panels[0].set_yticks(range(len(shown)), shown)
figure.supxlabel("minus multi-step, points of error (filled: told apart)", fontsize=10)
plt.show()

# %% [markdown]
# ## What you have to know
#
# A schedule that knows more should do better. Below, schedules and rivals on two
# workloads, five seeds each, in groups by what they must be told before the run. AutoDrop
# itself asks for no total number of steps; the settings called `scaled` follow the length
# of the run, and so count as knowing it.

# %%
compared = ("fashion_mnist_mlp", "pydoc_transformer")
paths = {name: STUDIES / f"{name}_comparison.csv" for name in compared}
rows = {name: read_csv(path, ComparedRun) for name, path in paths.items()}
arms = [arm for name in compared for arm in comparison.arms(name)]
schedules = {arm.label: arm.config.schedule_name for arm in arms}
display(requirements_figure(rows, schedules))

# %% [markdown]
# ## Refinement in three lines
#
# Linear decay is the best schedule in the worst case. With the gradient norms of a first
# run it can be refined for the task
# ([Defazio et al., 2023](https://arxiv.org/abs/2310.07831)): train once, refine, train
# again. Here on the 1,797 digits that scikit-learn carries.

# %%
from experiments.data.digits import load_digits

digits = load_digits()
STEPS = 100 if SMALL else 1500
RATE = 0.1


def logits(params, x):
    x = jax.nn.relu(x.reshape(len(x), -1) @ params["w1"])
    return x @ params["w2"]


def loss(params, batch):
    inputs, labels = digits.train_inputs[batch], digits.train_labels[batch]
    values = optax.softmax_cross_entropy_with_integer_labels(
        logits(params, inputs), labels
    )
    return values.mean()


def train(schedule, seed):  # a schedule: step -> factor of the rate
    sgd = optax.sgd(lambda step: RATE * schedule(step), momentum=0.9)
    decayed = optax.chain(optax.add_decayed_weights(1e-3), sgd)
    optimizer = optax.chain(record_gradient_norms("l2"), decayed)
    one, two, key = jax.random.split(jax.random.key(seed), 3)
    params = {
        "w1": jax.random.normal(one, (64, 128)) * jnp.sqrt(2 / 64),
        "w2": jax.random.normal(two, (128, 10)) * jnp.sqrt(1 / 128),
    }

    def step(carry, key):
        params, state = carry
        batch = jax.random.randint(key, (32,), 0, len(digits.train_labels))
        gradients = jax.grad(loss)(params, batch)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    carry, _ = jax.lax.scan(step, carry, jax.random.split(key, STEPS))
    return carry


def test_error(params):
    wrong = logits(params, digits.test_inputs).argmax(-1) != digits.test_labels
    return 100 * float(jnp.mean(wrong))


# %% [markdown]
# The three lines:

# %%
linear = optax.linear_schedule(1.0, 0.0, STEPS)

params, state = train(linear, seed=100)  # train once
refined = refine_schedule(recorded_gradient_norms(state))  # refine
params, state = train(refined, seed=0)  # train again

# %%
time = np.arange(STEPS)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(recorded_gradient_norms(train(linear, seed=100)[1]), linewidth=0.5)
left.set(xlabel="step", ylabel="norm of the gradient", yscale="log")
left.set_title("the first run")
right.plot(time, [linear(t) for t in time], "--", color="0.6", label="linear decay")
right.plot(time, refined(time), label="refined")
right.set(xlabel="step", ylabel="factor of the rate")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# Did it help? Five seeds each, the same rate. The refined schedule is the one above, of a
# first run with another seed.

# %%
for name, schedule in {"linear decay": linear, "refined": refined}.items():
    errors = [test_error(train(schedule, seed)[0]) for seed in range(5)]
    print(f"{name:13} {mean_sd(errors)} % test error, n = {len(errors)}")

# %% [markdown]
# Where the norms hardly change, or change with the noise alone, there is little to
# refine, and the schedule stays close to linear decay. Where they fall because the loss
# does, as here, the refined schedule begins with a warm-up. In the repository's
# experiments that was better than linear decay in none of twenty convex cases and on
# neither of two networks. Compare the two on your task before you rely on it.
