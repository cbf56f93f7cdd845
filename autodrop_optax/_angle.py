"""The angle between two pytrees, as a rule in one pass over their leaves.

It needs three sums over all parameters, <a, b>, <a, a> and <b, b>, in float32. Three
things make that harder than it looks, all measured on CPU:

* Written as three ``jnp.sum``, XLA reads the trees three times. One variadic
  ``lax.reduce`` reads them once, but adds serially: at 10^7 parameters in a leaf its
  float32 sums are off by up to a degree. Here it runs along short rows of the leaf, and
  the rows' sums are added by ``jnp.sum``, which adds as a tree.
* XLA's partitioner does not split a variadic reduction: every device would gather
  the whole leaf. A leaf that may be spread over devices takes three ``jnp.sum``,
  which become one scalar all-reduce each.
* XLA compiles a kernel for each leaf and pass, and compiling one takes longer than
  running it. So all passes are turns of one loop, which differ by numbers alone: where
  float32 sums cannot give the angle (norms near the ends of the range, angles near 0 or
  180 degrees, where arccos has no accuracy left) more passes follow.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from autodrop_optax._params import check_match
from autodrop_optax._placement import on_mesh_of, scalar_of
from autodrop_optax._trees import inexact_leaves, step_between, widen

# A leaf of n elements is laid out as (_CHUNKS, n / _BLOCK, _ROW). A serial sum runs
# over _ROW elements, each already the sum of _CHUNKS terms. Longer rows are less
# accurate and no faster; more chunks keep the adders busy and take longer to compile.
_ROW, _CHUNKS = 64, 2
_BLOCK = _CHUNKS * _ROW
_LARGE = 2**15  # elements: leaves from here on are worth a reduction of their own

# Beyond |cos| = 0.99 (angles under 8 or over 172 degrees) a rounding of 1e-7 in the
# cosine would already be worth 4e-5 degrees, and ten times that at one degree.
_MAX_COSINE = 0.99

# What a vector is multiplied or divided by, once or several times, until the sum of
# its squares is a normal number. A power of two: it rounds nothing.
_RESCALING = 2.0**60

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
    epsilon, which would turn a zero vector into exactly 90 degrees). Leaves of
    integers, booleans and PRNG keys are left out.

    Args:
      a: a pytree of arrays.
      b: a pytree of the same structure and shapes.

    Returns:
      Degrees between 0 and 180, a float32 scalar within 1e-3 degrees, where the
      elements are normal numbers (smaller ones may count as zero); NaN if either vector
      is zero, is not finite or has no elements.

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

    All three are the leaves of trees alike, in any inexact dtypes. The difference is
    never written to memory: it is taken again wherever it is needed.
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


class _Pass(NamedTuple):
    """What a pass over the trees found, and the factors of the one that follows.

    It measures u = f_0 a - f_1 b and v = f_2 a + f_3 b.
    """

    left: jax.Array  # passes that there may be yet, int32
    scales: tuple[jax.Array, jax.Array]  # that bring a and b into range
    factors: tuple[jax.Array, ...]
    mixed: jax.Array  # whether u and v are difference and sum of unit vectors, or a, b
    turn: Turn


def _measure(vectors: Callable[[T], tuple[Parts, Parts]], operands: T) -> Turn:
    """The angle between ``a`` and ``b``, the pair ``vectors(operands)``.

    The first pass takes the angle from its cosine. Where a norm is out of range, passes
    with other scales follow; where the angle is near 0 or 180 degrees, a last one by
    Kahan's formula, 2 atan2(|u|, |v|), u and v the difference and sum of unit vectors.
    """
    a, b = vectors(operands)
    size = sum(x.size for x in a)
    turn = Turn(jnp.float32(jnp.inf), jnp.float32(0), jnp.bool_(True))
    if size == 0:
        return turn
    dtype = np.result_type(*(x.dtype for x in (*a, *b)))  # that of the factors, too
    # Squares below `tiny` are lost: all of them together must not matter.
    info = jnp.finfo(jnp.float32)
    least, most = size * float(info.tiny) / float(info.eps), float(info.max)
    # As many scales bring the dtype's largest and smallest numbers into range.
    rescalings = math.ceil(jnp.finfo(dtype).maxexp / math.log2(_RESCALING)) - 1

    def into_range(scale: jax.Array, square: jax.Array) -> jax.Array:
        larger = jnp.where(square <= least, scale * _RESCALING, scale)
        scale = jnp.where(square >= most, scale / _RESCALING, larger)
        # Zeros never come into range: an infinite factor would make NaN of them.
        limit = _RESCALING**rescalings
        return jnp.clip(scale, 1 / limit, limit)

    def measure_again(now: _Pass) -> _Pass:
        # Tied to the factors: what does not change from turn to turn XLA might compute
        # ahead of the loop, and write to memory.
        tied, now = lax.optimization_barrier((operands, now))
        f = now.factors

        def combine(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
            x, y = x.astype(dtype), y.astype(dtype)
            return f[0] * x - f[1] * y, f[2] * x + f[3] * y

        pairs = [combine(*pair) for pair in zip(*vectors(tied), strict=True)]
        uv, uu, vv = _products(pairs)
        u, v = jnp.sqrt(uu), jnp.sqrt(vv)
        known = (uu > least) & (uu < most) & (vv > least) & (vv < most)
        cosine = jnp.where(known, uv, 0) / jnp.where(known, u, 1)
        cosine = jnp.clip(cosine / jnp.where(known, v, 1), -1.0, 1.0)
        by_cosine = jnp.where(known, jnp.degrees(jnp.arccos(cosine)), jnp.inf)
        by_units = jnp.degrees(2 * jnp.arctan2(u, v))
        norm = (u.astype(dtype) / now.scales[0]).astype(jnp.float32)
        norm = jnp.where(jnp.isfinite(norm), norm, jnp.inf)

        p, q = into_range(now.scales[0], uu), into_range(now.scales[1], vv)
        # Of length two, so that no factor is below the dtype's normal numbers.
        norms = (jnp.where(known, x, 1).astype(dtype) for x in (u, v))
        units = tuple(2 * x / y for x, y in zip((p, q), norms, strict=True))
        zero = jnp.zeros_like(p)
        done = now.mixed | known & (jnp.abs(cosine) < _MAX_COSINE)
        return _Pass(
            left=jnp.where(done, 0, now.left - 1),
            scales=(p, q),
            factors=tuple(
                jnp.where(known, x, y)
                for x, y in zip(2 * units, (p, zero, zero, q), strict=True)
            ),
            mixed=known,
            turn=Turn(
                angle=jnp.where(now.mixed, by_units, by_cosine),
                norm=jnp.where(now.mixed, now.turn.norm, norm),
                finite=jnp.where(now.mixed, now.turn.finite, jnp.isfinite(norm)),
            ),
        )

    one, zero = jnp.ones((), dtype), jnp.zeros((), dtype)
    left = jnp.int32(rescalings + 2)
    first = _Pass(left, (one, one), (one, zero, zero, one), jnp.bool_(False), turn)
    first = jax.tree.map(
        functools.partial(on_mesh_of, scalar_of(min(a, key=jnp.size))), first
    )
    return lax.while_loop(lambda now: now.left > 0, measure_again, first).turn


def _products(pairs: Sequence[tuple[jax.Array, jax.Array]]) -> list[jax.Array]:
    """The sums <u, v>, <u, u> and <v, v>, in one pass over what is on one device."""

    def terms(u: jax.Array, v: jax.Array) -> Terms:
        u, v = u.astype(jnp.float32), v.astype(jnp.float32)
        return u * v, u * u, v * v

    def join(left: Terms, right: Terms) -> Terms:
        return tuple(p + q for p, q in zip(left, right, strict=True))

    def sum_rows(u: jax.Array, v: jax.Array) -> Terms:
        shape = (_CHUNKS, -1, _ROW)
        chunks = zip(u.reshape(shape), v.reshape(shape), strict=True)
        joined = functools.reduce(join, (terms(p, q) for p, q in chunks))
        zeros = (np.float32(0),) * len(joined)
        return tuple(lax.reduce(joined, zeros, join, dimensions=(1,)))

    results: list[Terms] = []  # each three vectors, still to be added up
    rest: list[tuple[jax.Array, jax.Array]] = []
    for u, v in pairs:
        if not _on_one_device(u):
            results.append(tuple(jnp.sum(term)[None] for term in terms(u, v)))
            continue
        u, v = u.ravel(), v.ravel()
        size = u.size // _BLOCK * _BLOCK if u.size >= _LARGE else 0
        if size:
            results.append(sum_rows(u[:size], v[:size]))
        if size < u.size:
            rest.append((u[size:], v[size:]))
    if rest:
        # What is left of large leaves, and all of the small ones, as one leaf more:
        # to reduce each by itself takes XLA long to compile.
        u, v = (jnp.concatenate(vectors) for vectors in zip(*rest, strict=True))
        padding = (0, -u.size % _BLOCK)
        results.append(sum_rows(jnp.pad(u, padding), jnp.pad(v, padding)))
    columns = [jnp.concatenate(column) for column in zip(*results, strict=True)]
    # Else XLA would sum each vector, in two kernels, and then add the sums.
    return [jnp.sum(column) for column in lax.optimization_barrier(columns)]


def _on_one_device(x: jax.Array) -> bool:
    """Whether ``x`` certainly lies on one device, as far as tracing can tell."""
    mesh = jax.typeof(x).sharding.mesh
    # Without a mesh in its type an array may still be sharded later, by in_shardings
    # or a constraint. Then only a single device is safe.
    return jax.device_count() == 1 if mesh.empty else mesh.size == 1
