# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The noisy quadratic model: theory against simulation
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY_OWNER/autodrop_optax/blob/main/notebooks/noisy_quadratic_model.ipynb)
#
# The model of section 3 of [the paper](https://arxiv.org/abs/2111.15317): a quadratic
# loss with curvatures $a_1, \dots, a_n$ whose minimum jumps about with every iteration,
#
# $$x_{t+1} = x_t - \alpha A (x_t - c_t), \qquad c_t \sim N(0, I), \qquad x_0 = (2, \dots, 2).$$
#
# There are no epochs: the angular velocity is the angle between the steps of successive
# iterations. Second moments follow a linear recursion, so that everything simulated has
# an exact expectation beside it, and in the limit (Theorem 1)
#
# $$\cos\omega \to C^* = -\frac{\alpha}{2}\,
# \frac{\sum_i a_i^3 / (2 - \alpha a_i)}{\sum_i a_i^2 / (2 - \alpha a_i)}.$$
#
# The code is that of `experiments/theory` in the repository; the notebook only draws. It
# takes about half a minute.

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

from experiments.theory import figure1, figure3
from experiments.theory.moments import effective_dimension, expected_run, saturation
from experiments.theory.noisy_quadratic import (
    SPECTRUM_LABELS,
    constant,
    simulate,
    unit_noise,
)

# NOTEBOOK_SMALL=1 is for tests: does everything, with few iterations and runs.
SMALL = os.environ.get("NOTEBOOK_SMALL") == "1"
STEPS = 100 if SMALL else 1000
RUNS = 2 if SMALL else 20
plt.rcParams["figure.dpi"] = 60

# %% [markdown]
# ## A rate and a spectrum of your own
#
# Curvatures $a_i = 20\, i^{-p}$ for $i = 1, \dots, 200$: all equal for $p = 0$, and the
# more ill-conditioned the larger $p$. The largest stable rate is 0.1 for all of them.


# %%
@jax.jit
def simulated(curvatures, rate, keys):
    model = unit_noise(np.ones(200))._replace(curvatures=curvatures)
    return jax.vmap(lambda key: simulate(model, constant(rate), STEPS, key))(keys)


def explore(rate=0.03, p=0.5):
    model = unit_noise(20 * np.arange(1.0, 201.0) ** -p)
    keys = jax.random.split(jax.random.key(0), RUNS)
    runs = simulated(jnp.float32(model.curvatures), jnp.float32(rate), keys)
    expected = expected_run(model, np.full(STEPS, rate))
    limit = saturation(model, rate)
    iteration = np.arange(1, STEPS + 1)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    blue = {"color": "#0072B2", "lw": 1}
    left.loglog(iteration, runs.loss.mean(axis=0), **blue, label=f"mean of {RUNS} runs")
    left.loglog(iteration, expected.loss, "k:", label="expected")
    left.axhline(limit.loss, color="#D55E00", ls="--", label="limit")
    left.set(xlabel="iteration", ylabel="loss above the minimum")
    right.semilogx(iteration[1:], runs.angular_velocity[:, 1:].mean(axis=0), **blue)
    right.semilogx(iteration[1:], expected.angle[1:], "k:")
    right.axhline(limit.angle, color="#D55E00", ls="--")
    right.set(xlabel="iteration", ylabel="angular velocity (degrees)", ylim=(0, 140))
    left.legend(frameon=False)
    figure.suptitle(
        f"rate {rate:.3g}, p = {p:.2f}: limit {limit.angle:.1f} degrees, effective"
        f" dimension {effective_dimension(model, rate):.0f}"
    )
    plt.show()


explore(rate=0.03, p=0.5)

# %%
explore(rate=0.003, p=0.5)

# %%
explore(rate=0.03, p=1.5)

# %% [markdown]
# A tenth of the rate takes ten times as long, and ends lower, with an angle nearer to 90
# degrees. At $p = 1.5$ hardly more than one direction carries the steps: the angle
# saturates while the loss is still falling, and single angles scatter widely.
#
# With a kernel that runs, the sliders draw the same figure for any rate and spectrum:

# %%
sliders = widgets.interact(
    explore,
    rate=widgets.FloatLogSlider(
        0.03, min=-3, max=-1.05, step=0.05, description="rate", continuous_update=False
    ),
    p=widgets.FloatSlider(
        0.5, min=0, max=1.5, step=0.05, description="p", continuous_update=False
    ),
)
# %% [markdown]
# ## The paper's rates
#
# Figure 1 of the paper on three spectra. Coloured: the mean of the runs. Dotted: the
# exact expectation. Dots: the first iteration from which the expected angle is within
# 1 degree of its limit for good.

# %%
courses = [c for name in SPECTRUM_LABELS for c in figure1.courses(name, STEPS, RUNS)]
levels = [figure1.level(course) for course in courses]
figure = figure1.draw([x for c in courses for x in figure1.binned(c)], levels)
figure.set_dpi(60)
figure

# %% [markdown]
# The angle's level at the end, measured over the last quarter, beside Theorem 1:

# %%
print("spectrum    rate   angle, mean ± sd of runs   limit   saturated from iteration")
for x in levels:
    when = f"{x.saturation_time:6}" if x.saturation_time <= STEPS else " later"
    print(
        f"{x.spectrum:10} {x.rate:5.3f}   {x.mean_angle:12.2f} ± {x.sd_angle:.2f}"
        f"       {x.limit_angle:7.2f}   {when}"
    )

# %% [markdown]
# On the first two spectra simulation and theorem agree to a tenth of a degree. On the
# ill-conditioned one few directions carry the steps: the limit is the arccosine of a ratio
# of expectations, and the mean angle lies some degrees below it. At the rate of 0.001 it
# has not saturated yet; there that takes thousands of iterations.
#
# ## AutoDrop on the model
#
# As in the paper's Figure 3: a drop by half whenever the mean angle of 20 iterations
# stands still, from 0.06 down to 0.001. The dotted line is the exact expectation for the
# rates of that very run on noise that it has not seen: what the same rates would do
# without looking at the angle.

# %%
steps = 4 * STEPS
run = figure3.run_autodrop(floor=0.001, seeds=RUNS, steps=steps)
expected = expected_run(figure3.MODEL, run.learning_rate)
iteration = np.arange(1, steps + 1)
panels = [
    ("learning rate", run.learning_rate[0], None),
    ("angular velocity\n(degrees)", run.angular_velocity[0], expected.angle[0]),
    ("loss above\nthe minimum", run.loss.mean(axis=0), expected.loss.mean(axis=0)),
]
figure, axes = plt.subplots(3, 1, figsize=(7, 6), sharex=True, layout="constrained")
for axis, (label, values, theory) in zip(axes, panels, strict=True):
    axis.plot(iteration, values, color="#0072B2", lw=0.8)
    if theory is not None:
        axis.plot(iteration, theory, "k:")
    axis.set_ylabel(label)
axes[0].set_yscale("log")
axes[2].set(yscale="log", xscale="log", xlabel="iteration")
axes[0].set_title(f"rate and angle of the first run, mean loss of {RUNS}", fontsize=10)
difference = run.loss[:, -1] - expected.loss[:, -1]
half = 1.96 * difference.std(ddof=1) / np.sqrt(RUNS)
print(f"final loss minus that of the same rates: {difference.mean():.2f} ± {half:.2f}")

# %% [markdown]
# The angle starts over at 90 degrees with every halving, but from the third drop on the
# reset is smaller than the scatter of the angles. On this model the signal adds nothing
# that can be seen in the loss: the same rates on other noise do as well. The repository's
# page on the theory has the measurements, with more runs, and what the signal does give.
