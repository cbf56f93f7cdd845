"""AutoDrop in an NNX training loop."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from autodrop_optax import _evaluation, _metrics, _restart, _with_epoch_autodrop
from autodrop_optax._states import opt_state_of
from autodrop_optax.flax._average import mean_over_batches

# Flax before 0.12.7 has it as `pure`, a name that later ones deprecate.
as_pure = getattr(nnx, "as_pure", None) or nnx.pure

M = TypeVar("M", bound=nnx.Module)


def _call(model: Any, batch: Any) -> Any:
    return model(batch)


def end_epoch(model: nnx.Module, optimizer: "nnx.Optimizer[Any]") -> None:
    """Ends an epoch as :func:`autodrop_optax.end_epoch` does, in place.

    Args:
      model: the model that ``optimizer`` trains. Of its variables only those that the
        optimizer was built for (``wrt``) are measured and averaged.
      optimizer: an optimizer with :func:`autodrop_optax.epoch_autodrop`.
    """
    _end_epoch_jit(model, optimizer)


@nnx.jit
def _end_epoch_jit(model, optimizer):
    opt_state = _opt_state(optimizer)
    params = as_pure(nnx.state(model, optimizer.wrt))
    params, opt_state = _with_epoch_autodrop.end_epoch(params, opt_state)
    nnx.update(model, params)
    nnx.update(optimizer.opt_state, nnx.state(opt_state))


def autodrop_metrics(optimizer: "nnx.Optimizer[Any]") -> dict[str, jax.Array]:
    """Returns :func:`autodrop_optax.autodrop_metrics` of an optimizer's state."""
    return _metrics.autodrop_metrics(_opt_state(optimizer))


def autodrop_restart(
    optimizer: "nnx.Optimizer[Any]",
    model: nnx.Module | None = None,
    *,
    scale: chex.Numeric | None = None,
    factor: chex.Numeric | None = None,
) -> None:
    """Begins a new phase as :func:`autodrop_optax.autodrop_restart` does, in place.

    Args:
      optimizer: an optimizer with :func:`autodrop_optax.autodrop`.
      model: what it trains, to start over at its parameters; None: the run goes on.
      scale: what updates are multiplied by from now on.
      factor: or what to multiply the scale by.
    """
    opt_state = _opt_state(optimizer)
    params = None if model is None else as_pure(nnx.state(model, optimizer.wrt))
    opt_state = _restart.autodrop_restart(opt_state, params, scale=scale, factor=factor)
    nnx.update(optimizer.opt_state, nnx.state(opt_state))


def eval_model(
    model: M,
    optimizer: "nnx.Optimizer[Any]",
    batches: Iterable[Any] | None = None,
    forward: Callable[[Any, Any], Any] = _call,
) -> M:
    """Returns a copy of the model to evaluate, save or serve; the model trains on.

    Its parameters are the average that :func:`autodrop_optax.autodrop` keeps, and it is
    in evaluation mode (``model.eval()``).

    Args:
      model: the model that ``optimizer`` trains.
      optimizer: an optimizer with :func:`autodrop_optax.autodrop`.
      batches: some training inputs, for a model with ``nnx.BatchNorm``: its running
        statistics are those of other weights, and are recomputed from these.
      forward: how to call the model with one of them: see
        :func:`recompute_batch_stats`.

    Raises:
      ValueError: the model has ``nnx.BatchNorm`` and there are no ``batches``; and as
        :func:`autodrop_optax.autodrop_eval_params`.
    """
    opt_state = _opt_state(optimizer)
    params = as_pure(nnx.state(model, optimizer.wrt))
    average = _evaluation.autodrop_eval_params(opt_state, params)
    copy = nnx.clone(model)
    nnx.update(copy, average)
    if batches is not None:
        recompute_batch_stats(copy, batches, forward)
    elif _batch_norms(model):
        raise ValueError(
            "The model has nnx.BatchNorm, whose running statistics belong to the"
            " trained parameters and not to their average. Pass some training inputs,"
            " from which they are recomputed: eval_model(model, optimizer, batches),"
            " with fifty batches of the training's size, for instance."
        )
    copy.eval()
    return copy


def recompute_batch_stats(
    model: nnx.Module,
    batches: Iterable[Any],
    forward: Callable[[Any, Any], Any] = _call,
) -> None:
    """Puts the statistics of ``batches`` in the place of BatchNorm's running ones.

    After an averaging the running means and variances belong to other weights. This
    takes, at the present weights, the mean of the batches' means and variances, each
    batch with the same weight, as is done after stochastic weight averaging. All else
    of the model is as in evaluation (no dropout) and stays as it is. A BatchNorm that
    was frozen with ``use_running_average=True`` is recomputed as well.

    Args:
      model: a model with ``nnx.BatchNorm``, whose means and variances change in place.
      batches: training inputs, best in batches of the training's size.
      forward: how to call the model with one of them, without
        ``use_running_average``. It is compiled once for each function.

    Raises:
      ValueError: there is no ``nnx.BatchNorm``, or there are no batches.
    """
    copy = nnx.merge(*nnx.split(model))
    copy.eval()
    norms = _batch_norms(copy)
    if not norms:
        raise ValueError(
            "The model has no nnx.BatchNorm, so there is nothing to recompute."
        )
    for norm in norms:
        norm.use_running_average = False
        norm.momentum = 0.0  # the new statistics are then those of the batch alone
    # Not every nnx.BatchStat: SpectralNorm keeps its vectors in some.
    of_norms = {id(v) for norm in norms for v in (norm.mean, norm.var)}
    graphdef, stats, rest = nnx.split(copy, lambda _, v: id(v) in of_norms, ...)
    zeros = jax.tree.map(jnp.zeros_like, stats)  # also where a NaN has got into them
    statistics = functools.partial(_batch_stats, graphdef, forward, zeros, rest)
    nnx.update(model, mean_over_batches(statistics, batches))


def _opt_state(optimizer: Any) -> Any:
    calls = "eval_model(model, optimizer), autodrop_metrics(optimizer)"
    return as_pure(opt_state_of(optimizer, "An nnx.Optimizer", calls))


def _batch_norms(model: nnx.Module) -> list[nnx.BatchNorm]:
    return [m for _, m in nnx.iter_modules(model) if isinstance(m, nnx.BatchNorm)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_stats(graphdef, forward, zeros, rest, batch):
    model = nnx.merge(graphdef, zeros, rest)
    forward(model, batch)
    recorded = set(nnx.to_flat_state(zeros).paths)
    return nnx.state(model, lambda path, _: path in recorded)
