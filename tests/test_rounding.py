"""`make test-rounding` rounds otherwise than `make test`, or it would test nothing."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
PRODUCT = """
import hashlib, jax
a, b = jax.random.normal(jax.random.key(0), (2, 128, 128))
product = jax.device_get(jax.jit(jax.numpy.dot)(a, b))
print(hashlib.sha256(product.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_its_switches_change_the_last_digits():
    lines = MAKEFILE.read_text().replace("\\\n", "")
    (switches,) = re.findall(r"^OTHER_ROUNDING = (.*)$", lines, re.MULTILINE)
    other = dict(switch.split("=", 1) for switch in shlex.split(switches))
    assert "XLA_FLAGS" in other

    def digest(environment):
        command = [sys.executable, "-c", PRODUCT]
        return subprocess.check_output(command, env=environment, text=True)

    usual = {k: v for k, v in os.environ.items() if k not in other}
    assert digest(usual) == digest(usual)
    assert digest(usual) != digest(usual | other)
