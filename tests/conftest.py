"""Set-up of all tests."""

import jax

# Before the backend starts: sharding can be tested on any machine.
jax.config.update("jax_num_cpu_devices", 8)
