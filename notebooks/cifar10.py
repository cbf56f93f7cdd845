# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # CIFAR-10 on a TPU or GPU
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY_OWNER/autodrop_optax/blob/main/notebooks/cifar10.ipynb)
#
# ResNet-18 with AutoDrop, with multi-step and with linear decay: data-parallel over all
# devices of the runtime, computing in bfloat16, resumable from Drive or any folder. In
# Colab choose a TPU or GPU under *Runtime, Change runtime type*.
#
# **The outputs below are those of a rehearsal**: a narrow network on a few made-up
# images, in CIFAR-10's own file format, on eight devices that a CPU was divided into.
# They show what the notebook does and nothing about any schedule. The full run has not
# been made for this page.

# %%
# In Colab: installs the package and fetches the repository's experiments. Elsewhere:
# nothing.
import subprocess
import sys
from pathlib import Path

if "google.colab" in sys.modules:
    repository = "https://github.com/REPOSITORY_OWNER/autodrop_optax"
    clone = "/content/autodrop_optax"
    subprocess.run(["git", "clone", "--depth", "1", repository, clone], check=True)
    # JAX's own packages for the runtime's accelerator, of the version that is installed.
    accelerator = "jax"
    if any(Path("/dev").glob("accel*")) or any(Path("/dev/vfio").glob("[0-9]*")):
        accelerator = "jax[tpu]"
    elif Path("/dev/nvidia0").exists():
        accelerator = "jax[cuda12]"
    requirements = [f"{clone}[experiments]", accelerator]
    subprocess.run([sys.executable, "-m", "pip", "install", *requirements], check=True)
    sys.path.insert(0, clone)

# %% [markdown]
# ## Settings
#
# `FOLDER` holds the runs. To go on after the runtime has gone, put it on Drive:
# `from google.colab import drive; drive.mount("/content/drive")`, then
# `FOLDER = Path("/content/drive/MyDrive/autodrop")`. A checkpoint of the whole state, one
# per epoch of which the last is needed, takes 224 MB.
#
# `paper_autodrop` are the settings that the paper recommends for 200 epochs. For runs of
# a fraction of that, `scaled_epoch_autodrop` scales the demo's settings to their length.

# %%
import dataclasses
import os

import jax

# NOTEBOOK_REHEARSAL=1, or NOTEBOOK_SMALL=1 as in the others, is for tests.
REHEARSAL = (
    os.environ.get("NOTEBOOK_REHEARSAL", os.environ.get("NOTEBOOK_SMALL")) == "1"
)
FOLDER = Path("runs/cifar10")
EPOCHS = 200
SEED = 0
SCHEDULES = {
    "AutoDrop": "paper_autodrop",
    "multi-step": "multistep",
    "linear decay": "linear_decay",
}
if REHEARSAL:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    EPOCHS = 3
    SCHEDULES["AutoDrop"] = "scaled_epoch_autodrop"

# %% [markdown]
# ## The devices
#
# Every device takes its share of each batch of 128; their number must divide it.

# %%
from experiments.run.devices import choose_devices

devices = choose_devices()
print(f"backend {jax.default_backend()}, {devices}: {jax.devices()[0].device_kind}")

# %% [markdown]
# ## The data
#
# The official binary archive, 170 MB: taken from the folder in `$CIFAR_DIR`, else
# downloaded once and checked against its official sum.

# %%
from experiments.task import small_cifar as rehearsal
from experiments.task.workloads import WORKLOADS

workload = "cifar10_resnet18"
if REHEARSAL:
    workload = "rehearsal"
    WORKLOADS[workload] = rehearsal.small_workload()
    dataset = rehearsal.load_cifar10(Path("data"))
else:
    dataset = WORKLOADS[workload].load(None)

print(
    f"{dataset.name}: {len(dataset.train_labels)} images, {len(dataset.test_labels)} for the test"
)
print(f"{WORKLOADS[workload].network}: {WORKLOADS[workload].recipe}")

# %% [markdown]
# ## Training
#
# One run for each schedule, one after the other. Run this cell again, in a new runtime
# too, and each goes on after its last epoch; what is finished is taken from the folder.
# The devices may be others then. Stop it whenever you like: the last epoch counts when
# its checkpoint is written.

# %%
import io

from IPython.display import Image, display

from experiments.report.figures import compare
from experiments.report.outcome import Outcome
from experiments.run.metrics import read_metrics
from experiments.run.training import train
from experiments.task.presets import PRESETS


def config_of(preset):
    return dataclasses.replace(
        PRESETS[preset].config,
        workload=workload,
        epochs=EPOCHS,
        seed=SEED,
        compute_dtype="bfloat16",
    )


def train_all(on_epoch):
    return {
        label: train(
            config_of(preset),
            FOLDER / f"{preset}-seed{SEED}",
            dataset,
            resume=True,
            on_epoch=on_epoch,
            devices=devices,
        )
        for label, preset in SCHEDULES.items()
    }


def draw(runs):
    title, image = f"{dataset.name}, {WORKLOADS[workload].network}", io.BytesIO()
    compare(runs, title=title).savefig(image, dpi=70)
    return Image(image.getvalue())


figure = display(None, display_id=True)


def show(row):
    if int(row["epoch"]) % 5 and int(row["epoch"]) != EPOCHS:
        return
    folders = {label: FOLDER / f"{p}-seed{SEED}" for label, p in SCHEDULES.items()}
    rows = {label: read_metrics(folder) for label, folder in folders.items()}
    figure.update(draw({label: found for label, found in rows.items() if found}))


# %% [markdown]
# The rehearsal first has the runtime go away after the first epoch of the first run.


# %%
def lose_the_runtime(row):
    if row["epoch"] == 1:
        raise KeyboardInterrupt


if REHEARSAL:
    try:
        train_all(lose_the_runtime)
    except KeyboardInterrupt:
        print("stopped after epoch 1")

# %%
trained = []
runs = train_all(lambda row: (trained.append(int(row["epoch"])), show(row)))
print(f"epochs trained in this session: {trained}")

# %% [markdown]
# ## What came out
#
# Final test error, that of the last epoch. One seed is no comparison: change `SEED` and
# run again for a mean and a standard deviation.

# %%
for label, rows in runs.items():
    run = Outcome.of(workload, label, SEED, rows)
    print(
        f"{label:13} {run.final_error:6.2f} %,"
        f" drops after epochs {run.drop_epochs or 'none'}"
    )
