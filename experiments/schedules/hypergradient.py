"""Hypergradient descent: the rate itself is trained by gradient descent."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.schedules._checks import check_choice, check_number
from experiments.schedules._trees import dot, require_params, scaled, squared_norm
from experiments.schedules.schedule import Requirements, Schedule, ScheduledOptimizer
from experiments.task.recipe import Recipe


class HypergradientState(NamedTuple):
    """State of :func:`hypergradient`."""

    learning_rate: jax.Array  # shape (), float32: of the last step, alpha_0 before it
    direction: Any  # like the parameters, float32: that of the last step, d_{t-1}
    inner_state: optax.OptState


def hypergradient(
    optimizer: optax.GradientTransformation,
    learning_rate: float,
    *,
    hypergradient_rate: float = 1e-3,
    rule: Literal["additive", "multiplicative"] = "additive",
    weight_decay: float = 0.0,
    min_learning_rate: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    r"""Adapts the rate of an optimizer by the gradient with respect to that rate.

    Baydin, Cornish, Martinez Rubio, Schmidt, Wood, "Online Learning Rate Adaptation
    with Hypergradient Descent", ICLR 2018. With :math:`d_t` the direction in which the
    optimizer steps, :math:`x_t = x_{t-1} - \alpha_t d_t`, and :math:`g_t` the gradient
    at :math:`x_{t-1}`, the rate is updated before it is used:

    .. math::
      \alpha_t = \alpha_{t-1} + \beta \langle g_t, d_{t-1} \rangle
      \quad\text{(additive)}

      \alpha_t = \alpha_{t-1} \Bigl(1 + \beta
      \frac{\langle g_t, d_{t-1} \rangle}{|g_t| |d_{t-1}|}\Bigr)
      \quad\text{(multiplicative)}

    and :math:`d_0 = 0`, so that the first step is taken at :math:`\alpha_0`. Around
    ``optax.sgd(1.0)`` it is the paper's SGD-HD, around ``optax.sgd(1.0, momentum=mu,
    nesterov=True)`` its SGDN-HD, around ``optax.adam(1.0)`` its Adam-HD; around heavy
    ball it is what the authors' program does without ``nesterov``.

    What is the paper's: the additive rule, the direction of each optimizer, and the
    default of 1e-3 for :math:`\beta`, that of its experiments with SGD, which start at
    a rate of 1e-3 (with Adam they take 1e-7 and 1e-8; the authors' program, in which
    all of this was checked, has 1e-6 as its default). Not checked against the paper's
    text: the multiplicative rule and its usual :math:`\beta`, for which the default is
    no recommendation. What is a choice: the floor, since nothing keeps the rate of the
    additive rule positive and the paper's algorithm has none, and that a step whose
    inner product is not finite leaves the rate as it is.

    Args:
      optimizer: at a rate of 1: its updates are :math:`-d_t`.
      learning_rate: :math:`\alpha_0`, above 0.
      hypergradient_rate: :math:`\beta`, 0 or more.
      rule: how the rate is updated.
      weight_decay: the coefficient of an l2 penalty that ``optimizer`` adds to the
        gradients itself, 0 or more. :math:`g_t` is the gradient with the penalty, as
        in the authors' program.
      min_learning_rate: the rate is taken no lower, 0 or more.

    Returns:
      A transformation whose state has the rate, ``state.learning_rate``. It keeps one
      copy of the parameters beside the state of ``optimizer``.

    Raises:
      ValueError: an argument is out of its range.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("hypergradient_rate", hypergradient_rate, low=0, low_allowed=True)
    check_number("weight_decay", weight_decay, low=0, low_allowed=True)
    check_number(
        "min_learning_rate",
        min_learning_rate,
        low=0,
        high=learning_rate,
        low_allowed=True,
    )
    check_choice("rule", rule, ("additive", "multiplicative"))
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> HypergradientState:
        return HypergradientState(
            learning_rate=jnp.float32(learning_rate),
            direction=optax.tree.zeros_like(params, jnp.float32),
            inner_state=inner.init(params),
        )

    def update(updates, state, params=None, **extra_args):
        rate, direction = state.learning_rate, state.direction
        gradient = updates
        if weight_decay:
            params = require_params(params, "hypergradient with weight decay")
            gradient = jax.tree.map(lambda g, x: g + weight_decay * x, updates, params)
        product = dot(gradient, direction)
        if rule == "additive":
            new_rate = rate + hypergradient_rate * product
        else:
            norms = jnp.sqrt(squared_norm(gradient)) * jnp.sqrt(squared_norm(direction))
            cosine = jnp.where(norms > 0, product / jnp.where(norms > 0, norms, 1), 0)
            new_rate = rate * (1 + hypergradient_rate * cosine)
        new_rate = jnp.maximum(new_rate, min_learning_rate)
        new_rate = jnp.where(jnp.isfinite(new_rate), new_rate, rate)

        updates, inner_state = inner.update(
            updates, state.inner_state, params, **extra_args
        )
        direction = jax.tree.map(lambda u: -u.astype(jnp.float32), updates)
        return scaled(updates, new_rate), HypergradientState(
            learning_rate=new_rate, direction=direction, inner_state=inner_state
        )

    return optax.GradientTransformationExtraArgs(init, update)


class _Hypergradient(Schedule):
    """What both rules have in common."""

    source: ClassVar = "Baydin et al. 2018"
    requires: ClassVar = Requirements(rate=True, also="the rate of the rate")
    copies: ClassVar = 2

    def with_rule(
        self,
        rule: Literal["additive", "multiplicative"],
        hypergradient_rate: float,
        recipe: Recipe,
    ) -> ScheduledOptimizer:
        """The recipe's optimizer with a rate of its own."""
        optimizer = hypergradient(
            recipe.optimizer(1.0),
            recipe.learning_rate,
            hypergradient_rate=hypergradient_rate,
            rule=rule,
            weight_decay=recipe.penalty,
        )
        return ScheduledOptimizer(optimizer, lambda state, _: state.learning_rate)


@dataclass(frozen=True)
class Hypergradient(_Hypergradient):
    """The recipe's rate, changed in each step by its own gradient."""

    hypergradient_rate: float | None = None
    """The rate of the rate; None: the authors', 1e-3, and with AdamW 1e-7."""

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The additive rule."""
        rate = self.hypergradient_rate
        if rate is None:
            rate = 1e-7 if recipe.optimizer_name == "adamw" else 1e-3
        return self.with_rule("additive", rate, recipe)


@dataclass(frozen=True)
class HypergradientTimes(_Hypergradient):
    """The rate by gradient descent on itself (Baydin et al. 2018), multiplicative.

    It is moved by a cosine, which has no scale, so that all optimizers have one factor.
    """

    hypergradient_rate: float = 1e-3
    """The rate of the rate."""

    def build(self, recipe: Recipe) -> ScheduledOptimizer:
        """The multiplicative rule."""
        return self.with_rule("multiplicative", self.hypergradient_rate, recipe)
