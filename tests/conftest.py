"""Set-up of all tests."""

import os

import jax

# Before the backend starts, which reads all of these. Sharding can be tested on any
# machine, and where there is an accelerator too; processes that tests start read the
# variable.
os.environ["JAX_PLATFORMS"] = "cpu"
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
# Eight devices on few cores: beside other work one may be kept waiting for the others
# for longer than the 40 seconds after which XLA ends the process.
_WAIT = "--xla_cpu_collective_call_terminate_timeout_seconds=300"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_WAIT}"
