"""AutoDrop in a Flax NNX training loop.

``nnx.Optimizer`` takes :func:`autodrop_optax.autodrop` like any transformation; only
the end of an epoch changes parameters and state outside of ``optimizer.update``::

    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1, momentum=0.9), autodrop(0.1)), wrt=nnx.Param
    )
    for epoch in range(epochs):
        for batch in batches:
            train_step(model, optimizer, batch)  # nnx.jit, optimizer.update inside
        end_epoch(model, optimizer)
        print(autodrop_metrics(optimizer))
"""

import jax
from flax import nnx

from autodrop_optax import _end_epoch, _metrics


@nnx.jit
def end_epoch(model: nnx.Module, optimizer: nnx.Optimizer) -> None:
    """Ends an epoch as :func:`autodrop_optax.end_epoch` does, in place.

    Args:
      model: the model that ``optimizer`` trains. Of its variables only those that the
        optimizer was built for (``wrt``) are measured and averaged.
      optimizer: an optimizer whose transformation contains
        :func:`autodrop_optax.autodrop`.

    Raises:
      ValueError: as :func:`autodrop_optax.end_epoch`.
    """
    params = nnx.as_pure(nnx.state(model, optimizer.wrt))
    opt_state = nnx.as_pure(optimizer.opt_state)
    params, opt_state = _end_epoch.end_epoch(params, opt_state)
    nnx.update(model, params)
    nnx.update(optimizer.opt_state, nnx.state(opt_state))


def autodrop_metrics(optimizer: nnx.Optimizer) -> dict[str, jax.Array]:
    """Returns :func:`autodrop_optax.autodrop_metrics` of an optimizer's state."""
    return _metrics.autodrop_metrics(nnx.as_pure(optimizer.opt_state))
