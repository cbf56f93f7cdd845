"""The angle between two pytrees, in one pass over their leaves.

The angle of Definition 1 (Teng, Wang, Choromanska, 2021) needs three sums over all
parameters, <a, b>, <a, a> and <b, b>, in float32. Two things make that harder than
it looks, both measured on CPU:

* Written as three ``jnp.sum``, XLA reads the trees three times. One variadic
  ``lax.reduce`` reads them once, but adds serially: at 10^7 parameters in a leaf its
  float32 sums are off by up to a degree. Here the leaf is cut into short rows; the
  variadic reduction runs along the rows, and the rows' sums are added by
  ``jnp.sum``, which adds as a tree.
* XLA's partitioner does not split a variadic reduction: every device would gather
  the whole leaf. A leaf that may be spread over devices takes three ``jnp.sum``,
  which become one scalar all-reduce each.

Where float32 sums cannot give the angle (norms near the ends of the range, angles
near 0 or 180 degrees, where arccos has no accuracy left) a second, scaled measurement
replaces the result. It runs only then.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from autodrop_optax._once import once
from autodrop_optax._params import check_match
from autodrop_optax._trees import inexact_leaves, step_between, widen

# A leaf of n elements is laid out as (_CHUNKS, n / _BLOCK, _ROW). A serial sum runs
# over _ROW elements, each already the sum of _CHUNKS terms. Longer rows are less
# accurate and no faster; more chunks keep the adders busy, until XLA stops fusing.
_ROW, _CHUNKS = 64, 4
_BLOCK = _CHUNKS * _ROW
_LARGE = 2**15  # elements: leaves from here on are worth a reduction of their own

# Beyond |cos| = 0.99 (angles under 8 or over 172 degrees) a rounding of 1e-7 in the
# cosine would already be worth 4e-5 degrees, and ten times that at one degree.
_MAX_COSINE = 0.99

T = TypeVar("T")
Parts = list[jax.Array]  # real arrays of 32 bits or more
Terms = tuple[jax.Array, ...]  # of each sum


class Turn(NamedTuple):
    """How the parameters turned between two steps.

    Attributes:
      angle: degrees, float32 scalar; infinite where there is none, as a step is zero
        or not finite. Not NaN, so that ``jax_debug_nans`` can be used.
      norm: l2 norm of the newer step, float32 scalar; infinite if not finite.
      finite: whether the norm of the newer step is finite, bool scalar.
    """

    angle: jax.Array
    norm: jax.Array
    finite: jax.Array


def angle_between(a: optax.Params, b: optax.Params) -> jax.Array:
    """Returns the angle between two pytrees, each taken as one long vector.

    ``(180/pi) arccos(<a, b> / (|a| |b|))``, the real part of the inner product if
    leaves are complex (Teng, Wang, Choromanska, 2021, Definition 1, without the
    epsilon, which would turn a zero vector into exactly 90 degrees).

    Leaves of integers, booleans and PRNG keys have no direction and are left out.
    The sums are float32 whatever the dtypes; the result is within 1e-3 degrees, where
    the elements are normal numbers (smaller ones may count as zero).

    Args:
      a: a pytree of arrays.
      b: a pytree of the same structure and shapes.

    Returns:
      Degrees between 0 and 180, a float32 scalar; NaN if either vector is zero, is
      not finite or has no elements.

    Raises:
      ValueError: the structures, the shapes or the kinds of dtype differ.

    Example:
      >>> import jax.numpy as jnp
      >>> from autodrop_optax import angle_between
      >>> x, y = {"w": jnp.array([1.0, 0.0])}, {"w": jnp.array([1.0, 1.0])}
      >>> print(f"{angle_between(x, y):.3f}")
      45.000
    """
    check_match(a, b, "a", "b")
    return _angle_between(inexact_leaves(a), inexact_leaves(b))


def measure_turn(
    ends: Sequence[jax.Array],
    starts: Sequence[jax.Array],
    previous: Sequence[jax.Array],
) -> Turn:
    """Measures the step ``ends - starts`` and its angle to the step ``previous``.

    The difference is never written to memory: it is taken again wherever it is
    needed.

    Args:
      ends: leaves of the parameters now, any inexact dtypes.
      starts: the same leaves at the start of the step.
      previous: the same leaves of the step before.
    """

    def steps_of(operands) -> tuple[Parts, Parts]:
        ends, starts, previous = operands
        pairs = zip(ends, starts, strict=True)
        return _parts(step_between(x, y) for x, y in pairs), _parts(previous)

    return _measure(steps_of, (ends, starts, previous))


@jax.jit
def _angle_between(a: list[jax.Array], b: list[jax.Array]) -> jax.Array:
    turn = _measure(lambda trees: (_parts(trees[0]), _parts(trees[1])), (a, b))
    return jnp.where(jnp.isfinite(turn.angle), turn.angle, jnp.nan)


def _parts(leaves) -> list[jax.Array]:
    """Real arrays of at least 32 bits: <a, b> is then Re(conj(a) b) if complex."""
    parts = []
    for x in map(widen, leaves):
        parts += [x.real, x.imag] if jnp.iscomplexobj(x) else [x]
    return parts


def _measure(vectors: Callable[[T], tuple[Parts, Parts]], operands: T) -> Turn:
    """The angle between ``a`` and ``b``, the pair ``vectors(operands)``."""
    a, b = vectors(operands)
    size = sum(x.size for x in a)
    if size == 0:
        return Turn(jnp.float32(jnp.inf), jnp.float32(0), jnp.bool_(True))
    ab, aa, bb = _products(a, b)
    # Squares below `tiny` are lost: all of them together must not matter.
    info = jnp.finfo(jnp.float32)
    least, most = size * float(info.tiny) / float(info.eps), float(info.max)
    trusted = (aa > least) & (bb > least) & (aa < most) & (bb < most)
    ab, aa, bb = (jnp.where(trusted, x, 1) for x in (ab, aa, bb))
    cosine = ab / jnp.sqrt(aa) / jnp.sqrt(bb)
    angle = jnp.degrees(jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))
    turn = Turn(angle, jnp.sqrt(aa), trusted)
    trusted &= jnp.abs(cosine) < _MAX_COSINE
    return once(~trusted, lambda _: _measure_scaled(vectors, operands), turn)


def _products(a: Parts, b: Parts) -> list[jax.Array]:
    """The sums <a, b>, <a, a> and <b, b>, in one pass over what is on one device."""

    def terms(x: jax.Array, y: jax.Array) -> Terms:
        x, y = x.astype(jnp.float32), y.astype(jnp.float32)
        return x * y, x * x, y * y

    def join(left: Terms, right: Terms) -> Terms:
        return tuple(p + q for p, q in zip(left, right, strict=True))

    def sum_rows(x: jax.Array, y: jax.Array) -> Terms:
        shape = (_CHUNKS, -1, _ROW)
        pairs = zip(x.reshape(shape), y.reshape(shape), strict=True)
        joined = functools.reduce(join, (terms(p, q) for p, q in pairs))
        zeros = (np.float32(0),) * len(joined)
        return tuple(lax.reduce(joined, zeros, join, dimensions=(1,)))

    results: list[Terms] = []  # each three vectors, still to be added up
    rest: list[tuple[jax.Array, jax.Array]] = []
    for x, y in zip(a, b, strict=True):
        if not _on_one_device(x):
            results.append(tuple(jnp.sum(term)[None] for term in terms(x, y)))
            continue
        x, y = x.ravel(), y.ravel()
        size = x.size // _BLOCK * _BLOCK if x.size >= _LARGE else 0
        if size:
            results.append(sum_rows(x[:size], y[:size]))
        if size < x.size:
            rest.append((x[size:], y[size:]))
    if rest:
        # What is left of large leaves, and all of the small ones, as one leaf more:
        # to reduce each by itself takes XLA long to compile.
        x, y = (_concatenate(vectors) for vectors in zip(*rest, strict=True))
        padding = (0, -x.size % _BLOCK)
        results.append(sum_rows(jnp.pad(x, padding), jnp.pad(y, padding)))
    return [jnp.sum(_concatenate(column)) for column in zip(*results, strict=True)]


def _measure_scaled(vectors: Callable[[T], tuple[Parts, Parts]], operands: T) -> Turn:
    """The angle by Kahan's formula, 2 atan2(|u - v|, |u + v|), of unit vectors.

    Accurate at every angle and every norm: the vectors are divided by their largest
    magnitudes, and then by their norms. Plain sums read the leaves several times, but
    are compiled soon, and this runs seldom.
    """
    # float64 may hold what float32 cannot.
    dtype = np.result_type(*(x.dtype for tree in vectors(operands) for x in tree))
    tiny = float(jnp.finfo(dtype).tiny)

    def leaves(known: Terms) -> tuple[Parts, Parts, Terms]:
        # Tied to what is known before: what several sums have in common XLA would
        # compute once, ahead of them, and write to memory.
        tied, known = lax.optimization_barrier((operands, known))
        a, b = map(_with_small_ones_joined, vectors(tied))
        return a, b, known

    def total(term: Callable[..., jax.Array], *known: jax.Array) -> jax.Array:
        a, b, known = leaves(known)
        wide = ((x.astype(dtype), y.astype(dtype)) for x, y in zip(a, b, strict=True))
        return jnp.sum(jnp.stack([jnp.sum(term(x, y, *known)) for x, y in wide]))

    def scale(tree: Parts) -> jax.Array:
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(x), initial=0) for x in tree]))
        return jnp.clip(1 / largest.astype(dtype), tiny, 1 / tiny)

    p, q = map(scale, leaves(())[:2])
    aa = total(lambda x, y, p: jnp.square(x * p), p)
    u = lax.rsqrt(jnp.where(aa == 0, 1, aa))
    bb = total(lambda x, y, q, u: jnp.square(y * q), q, u)
    v = lax.rsqrt(jnp.where(bb == 0, 1, bb))
    units = p, q, u, v
    far = total(lambda x, y, p, q, u, v: jnp.square(x * p * u - y * q * v), *units)
    near = total(
        lambda x, y, p, q, u, v, _: jnp.square(x * p * u + y * q * v), *units, far
    )
    angle = jnp.degrees(2 * jnp.arctan2(jnp.sqrt(far), jnp.sqrt(near)))
    exists = (aa > 0) & (bb > 0) & jnp.isfinite(aa) & jnp.isfinite(bb)
    angle = jnp.where(exists, angle, jnp.inf)
    norm = jnp.where(aa > 0, 1 / u / p, jnp.where(aa == 0, 0, jnp.inf))
    return Turn(angle.astype(jnp.float32), norm.astype(jnp.float32), jnp.isfinite(norm))


def _with_small_ones_joined(leaves: Parts) -> Parts:
    """The same elements in fewer leaves, as far as those lie on one device."""
    small = [x.size < _LARGE and _on_one_device(x) for x in leaves]
    joined = [x.ravel() for x, is_small in zip(leaves, small, strict=True) if is_small]
    large = [x for x, is_small in zip(leaves, small, strict=True) if not is_small]
    return large + ([_concatenate(joined)] if joined else [])


def _concatenate(vectors: Sequence[jax.Array]) -> jax.Array:
    dtype = np.result_type(*(x.dtype for x in vectors))
    return jnp.concatenate([x.astype(dtype) for x in vectors])


def _on_one_device(x: jax.Array) -> bool:
    """Whether ``x`` certainly lies on one device, as far as tracing can tell."""
    mesh = jax.typeof(x).sharding.mesh
    # Without a mesh in its type an array may still be sharded later, by in_shardings
    # or a constraint. Then only a single device is safe.
    return jax.device_count() == 1 if mesh.empty else mesh.size == 1
