"""The package: what it requires, and its wheel where nothing else is installed."""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("algorithm",)
TRY = """
import importlib.metadata, jax.numpy as jnp, optax
import autodrop_optax, autodrop_optax.flax
assert autodrop_optax.__version__ == importlib.metadata.version("autodrop-optax")
optimizer = optax.chain(optax.sgd(0.1), autodrop_optax.epoch_autodrop(0.1))
params, state = autodrop_optax.end_epoch(jnp.ones(3), optimizer.init(jnp.ones(3)))
assert float(autodrop_optax.autodrop_metrics(state)["epoch"]) == 1
print(autodrop_optax.__file__)
"""


@pytest.mark.slow
def test_the_wheel_builds_and_works_in_an_empty_environment(tmp_path):
    def run(*args, **keywords):
        done = subprocess.run(
            args, check=False, stdout=subprocess.PIPE, text=True, **keywords
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run(sys.executable, "-m", "build", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    # With this environment's versions, as warnings of others would be errors.
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(
        run(sys.executable, "-m", "pip", "freeze", "--exclude-editable")
    )
    install = ("-m", "pip", "install", "--quiet", "--constraint", constraints)
    run(python, *install, wheel)
    imported_from = Path(run(python, "-c", TRY, cwd=tmp_path).strip())
    assert imported_from.is_relative_to(environment)
    assert (imported_from.parent / "py.typed").exists()
    installed = run(python, "-m", "pip", "list", "--format", "freeze").lower()
    for unneeded in ("matplotlib", "scikit-learn", "tyro", "pytest", "tensorboardx"):
        assert unneeded not in installed

    run(python, *install, f"{wheel}[test-library]")
    # A strict type checker knows every type of the installed package.
    search_path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    pyright = Path(sys.executable).parent / "pyright"
    verify = (pyright, "--verifytypes", "autodrop_optax", "--ignoreexternal")
    report = run(*verify, cwd=tmp_path, env={**os.environ, "PATH": search_path})
    assert "Type completeness score: 100%" in report

    # The sdist's own tests on the installed wheel; its package is put out of the way.
    (sdist,) = tmp_path.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(sys.executable, "-m", "tarfile", "-e", sdist, tmp_path)
    (source,) = tmp_path.glob("autodrop_optax-*/")
    (source / "autodrop_optax").rename(tmp_path / "not_imported")
    core = [source / "tests" / "library" / f"test_{name}.py" for name in CORE]
    tested = run(python, "-m", "pytest", "-q", "-m", "not slow", *core, cwd=source)
    assert " passed" in tested


def test_the_oldest_versions_required_are_those_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["plot"]]
    required += [r for r in extras["test-library"] if r.startswith("orbax")]
    pins = (ROOT / "tests" / "oldest.txt").read_text().splitlines()
    tested = dict(pin.split("==") for pin in pins if pin and pin[0] != "#")
    oldest = dict(requirement.split(">=") for requirement in required)
    assert oldest.keys() >= {"chex", "flax", "jax", "matplotlib", "numpy", "optax"}
    assert oldest == {name: tested[name] for name in oldest}
    assert tested["jaxlib"] == tested["jax"]
