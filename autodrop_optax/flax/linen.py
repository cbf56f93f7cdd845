"""AutoDrop with Linen's ``TrainState``.

``TrainState`` takes :func:`autodrop_optax.autodrop` like any transformation::

    state = TrainState.create(
        apply_fn=model.apply,
        params=variables["params"],
        tx=optax.chain(optax.sgd(0.1, momentum=0.9), autodrop()),
    )
    for batch in batches:
        state = train_step(state, batch)  # state.apply_gradients inside
    metrics = autodrop_metrics(state)
    evaluate(eval_state(state))  # the average; train on with `state`

``autodrop_restart(state, factor=0.5)`` of ``autodrop_optax`` returns the new
``TrainState``. :func:`end_epoch` is for :func:`autodrop_optax.epoch_autodrop`.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.training.train_state import TrainState

from autodrop_optax import _evaluation, _metrics, _with_epoch_autodrop
from autodrop_optax._states import opt_state_of
from autodrop_optax.flax._average import mean_over_batches

State = TypeVar("State", bound=TrainState)
Variables = Any  # a plain or frozen dictionary of collections, as `init` returns


def end_epoch(state: State) -> State:
    """Returns a ``TrainState`` after :func:`autodrop_optax.end_epoch`.

    ``state`` may be of a subclass; its ``tx`` contains
    :func:`autodrop_optax.epoch_autodrop`. ``jax.jit(end_epoch, donate_argnums=0)``
    works in place.
    """
    opt_state = _opt_state(state)
    params, opt_state = _with_epoch_autodrop.end_epoch(state.params, opt_state)
    return state.replace(params=params, opt_state=opt_state)


def autodrop_metrics(state: TrainState) -> dict[str, jax.Array]:
    """Returns :func:`autodrop_optax.autodrop_metrics` of the optimizer's state."""
    return _metrics.autodrop_metrics(_opt_state(state))


def eval_state(
    state: State,
    batches: Iterable[Any] | None = None,
    forward: Callable[[Variables, Any], tuple[Any, Variables]] | None = None,
) -> State:
    """Returns a ``TrainState`` to evaluate, save or serve; train on with the old one.

    Its parameters are the average that :func:`autodrop_optax.autodrop` keeps.

    Args:
      state: a state, of a subclass too, whose ``tx`` contains
        :func:`autodrop_optax.autodrop`.
      batches: some training inputs, for a state with a field ``batch_stats``: these
        running statistics are those of other weights, and are recomputed.
      forward: how to apply the model to one of them: see
        :func:`recompute_batch_stats`.

    Raises:
      ValueError: the state has ``batch_stats``, and ``batches`` or ``forward`` is
        missing; and as :func:`autodrop_optax.autodrop_eval_params`.
    """
    average = _evaluation.autodrop_eval_params(_opt_state(state), state.params)
    evaluated = state.replace(params=average)
    statistics = getattr(state, "batch_stats", None)
    if batches is None or forward is None:
        if not statistics:
            return evaluated
        raise ValueError(
            "The state has batch_stats: the running statistics of BatchNorm, which"
            " belong to the trained parameters and not to their average. Pass some"
            " training inputs, from which they are recomputed, and how to apply the"
            " model to them: eval_state(state, batches, forward), with"
            " forward(variables, inputs) as model.apply(variables, inputs, train=True,"
            ' mutable=["batch_stats"]).'
        )
    variables = {"params": average, "batch_stats": statistics}
    return evaluated.replace(
        batch_stats=recompute_batch_stats(forward, variables, batches)
    )


def recompute_batch_stats(
    forward: Callable[[Variables, Any], tuple[Any, Variables]],
    variables: Variables,
    batches: Iterable[Any],
) -> Variables:
    """Returns the statistics of ``batches``, to put in the place of the running ones.

    As :func:`autodrop_optax.flax.recompute_batch_stats` does for NNX: the mean of the
    batches' means and variances at the present weights.

    Args:
      forward: applies the model so that ``nn.BatchNorm`` uses the batch, as
        ``model.apply(variables, inputs, train=True, mutable=["batch_stats"])``, best
        without dropout. It is compiled once for each function: define it outside of
        the loop.
      variables: the collections that the model needs, ``params`` and ``batch_stats``.
      batches: training inputs, best in batches of the training's size.

    Returns:
      The new collection ``batch_stats``.

    Raises:
      ValueError: there are no ``batch_stats``, or there are no batches.
    """
    if not variables.get("batch_stats"):
        raise ValueError(
            "variables have no collection batch_stats, so there is nothing to"
            f" recompute; they have {', '.join(sorted(variables)) or 'nothing'}."
        )
    return mean_over_batches(
        functools.partial(_batch_stats, forward, variables), batches
    )


def _opt_state(state: Any) -> Any:
    return opt_state_of(
        state, "A TrainState", "eval_state(state), autodrop_metrics(state)"
    )


# Part of the key of jit's caches: a function that the user has jitted is traced anew
# with BatchNorm changed, and what was traced so is not found again by the training.
_recomputing = jax.make_user_context(False)


@functools.partial(jax.jit, static_argnums=0)
def _batch_stats(forward, variables, batch):
    with _recomputing(True), nn.intercept_methods(_of_the_batch_alone):
        _, mutated = forward(variables, batch)
    return mutated["batch_stats"]


def _of_the_batch_alone(next_function, args, kwargs, context):
    """Has each BatchNorm replace its statistics by those of the batch alone.

    One that uses its running statistics, and whatever else is in the collection (the
    vectors of SpectralNorm), is left as it is.
    """
    norm = context.module
    if isinstance(norm, nn.BatchNorm) and context.method_name == "__call__":
        given = args[1] if len(args) > 1 else kwargs.get("use_running_average")
        running = norm.use_running_average if given is None else given
        if not running and norm.has_variable("batch_stats", "mean"):
            # A field, frozen as all of Linen's are. The module was made for this call.
            object.__setattr__(norm, "momentum", 0.0)
            for name in ("mean", "var"):  # also where a NaN has got into them
                old = norm.get_variable("batch_stats", name)
                norm.put_variable("batch_stats", name, jnp.zeros_like(old))
    return next_function(*args, **kwargs)
