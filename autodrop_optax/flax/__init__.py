"""AutoDrop in Flax: NNX here, Linen in :mod:`autodrop_optax.flax.linen`.

``nnx.Optimizer`` takes :func:`autodrop_optax.autodrop` like any transformation::

    optimizer = nnx.Optimizer(
        model, optax.chain(optax.sgd(0.1, momentum=0.9), autodrop()), wrt=nnx.Param
    )
    for batch in batches:
        train_step(model, optimizer, batch)  # nnx.jit, optimizer.update inside
    metrics = autodrop_metrics(optimizer)
    evaluate(eval_model(model, optimizer))  # a copy with the average; train on

:func:`end_epoch` is for :func:`autodrop_optax.epoch_autodrop`.
"""

from autodrop_optax.flax._nnx import (
    autodrop_metrics,
    autodrop_restart,
    end_epoch,
    eval_model,
    recompute_batch_stats,
)

__all__ = [
    "autodrop_metrics",
    "autodrop_restart",
    "end_epoch",
    "eval_model",
    "recompute_batch_stats",
]
