"""AutoDrop in Flax: NNX here, Linen in :mod:`autodrop_optax.flax.linen`.

``nnx.Optimizer`` takes :func:`autodrop_optax.epoch_autodrop` like any transformation;
only
the end of an epoch changes parameters and state outside of ``optimizer.update``::

    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1, momentum=0.9), epoch_autodrop(0.1)),
        wrt=nnx.Param
    )
    for epoch in range(epochs):
        for batch in batches:
            train_step(model, optimizer, batch)  # nnx.jit, optimizer.update inside
        end_epoch(model, optimizer)
        metrics = autodrop_metrics(optimizer)
        if metrics["averaged"]:  # BatchNorm's statistics are those of other weights
            recompute_batch_stats(model, some_training_inputs)

With :func:`autodrop_optax.with_epoch_autodrop` there is no epoch to end, and the rest
is the
same.
"""

from autodrop_optax.flax._nnx import (
    autodrop_metrics,
    end_epoch,
    recompute_batch_stats,
)

__all__ = ["autodrop_metrics", "end_epoch", "recompute_batch_stats"]
