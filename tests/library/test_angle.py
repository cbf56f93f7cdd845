"""The angle kernel against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import angle as reference_angle
from slow import slow_but

from autodrop_optax import _angle, angle_between

TOLERANCE = 1e-3  # degrees
ANGLES = [1.0, 5.0, 30.0, 90.0, 120.0, 175.0, 179.0]


@pytest.fixture(
    scope="module",
    autouse=True,
    params=[
        pytest.param(True, id="one-device"),
        pytest.param(False, id="spread"),
    ],
)
def layout(request):
    """Both reductions: the one for a leaf on one device, and that for sharded ones.

    Tests of one reduction stand together and share what is compiled.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_angle, "_on_one_device", lambda x: request.param)
        jax.clear_caches()
        yield
    jax.clear_caches()


def normal(rng, n):
    return rng.normal(size=n)


def constant(rng, n):
    return np.ones(n)


def heavy_tailed(rng, n):
    return rng.normal(size=n) * np.exp(3 * rng.normal(size=n))


def ascending(rng, n):
    return np.sort(normal(rng, n) * np.exp(2 * rng.normal(size=n)))


def sparse(rng, n):
    return normal(rng, n) * (rng.uniform(size=n) < 0.01) + 1e-6


def vectors_at(degrees, n, draw, rng):
    """Two vectors of n elements, `degrees` apart, of different lengths."""
    a = draw(rng, n)
    q = rng.normal(size=n)
    q -= (q @ a) / (a @ a) * a
    q *= np.linalg.norm(a) / np.linalg.norm(q)
    b = 3 * (np.cos(np.radians(degrees)) * a + np.sin(np.radians(degrees)) * q)
    return a, b


def error(a, b):
    wide = [np.asarray(v, np.float64) for v in (a, b)]
    return abs(float(angle_between(a, b)) - reference_angle(*wide))


DRAWS = (normal, constant, heavy_tailed, ascending, sparse)
SIZES = {
    f"{n}-{draw.__name__}": (n, draw)
    for n in (2, 3, 255, 257, 12_345, 10**6)
    for draw in DRAWS
}
SMALL = [name for name, (n, _) in SIZES.items() if n < 10**6]


@pytest.mark.parametrize(("n", "draw"), slow_but(SIZES, *SMALL))
def test_within_tolerance_in_float32(n, draw):
    rng = np.random.default_rng(n)
    for degrees in ANGLES:
        a, b = vectors_at(degrees, n, draw, rng)
        assert error(a.astype(np.float32), b.astype(np.float32)) < TOLERANCE


LARGE = {
    f"{degrees:.0f}-{draw.__name__}": (degrees, draw)
    for degrees in (1.0, 90.0, 179.0)
    for draw in DRAWS[:-1]
}


@pytest.mark.parametrize(("degrees", "draw"), slow_but(LARGE, "90-ascending"))
def test_within_tolerance_at_ten_million_in_one_leaf(degrees, draw):
    a, b = vectors_at(degrees, 10**7, draw, np.random.default_rng(0))
    assert error(a.astype(np.float32), b.astype(np.float32)) < TOLERANCE


@pytest.mark.parametrize("dtype", slow_but(["bfloat16", "float16"], "bfloat16"))
def test_narrow_leaves_are_summed_in_float32(dtype):
    rng = np.random.default_rng(1)
    for n in (10, 10**4, 10**6):
        for degrees in (2.0, 90.0, 178.0):
            a, b = vectors_at(degrees, n, normal, rng)
            assert error(jnp.asarray(a, dtype), jnp.asarray(b, dtype)) < TOLERANCE


def test_float64_leaves():
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        for degrees in ANGLES:
            a, b = vectors_at(degrees, 1000, normal, rng)
            for scale in (1.0, 1e-200, 1e200):
                measured = angle_between(jnp.asarray(a * scale), jnp.asarray(b))
                assert abs(float(measured) - degrees) < TOLERANCE
                assert measured.dtype == jnp.float32


def test_one_parameter_points_along_or_against():
    x = jnp.asarray([2.0])
    assert float(angle_between(x, 3 * x)) == 0.0
    assert float(angle_between(x, -x)) == 180.0


@pytest.mark.parametrize("a_scale", [1e-38, 1e-30, 1.0, 1e30, 1e37])
@pytest.mark.parametrize("b_scale", [1e-38, 1.0, 1e37])
def test_norms_up_to_the_ends_of_float32(a_scale, b_scale):
    rng = np.random.default_rng(3)
    for degrees in (1.0, 60.0, 179.0):
        a, b = vectors_at(degrees, 50, normal, rng)
        a, b = a * a_scale, b * b_scale / 10
        # Stay among normal numbers: smaller ones may be flushed to zero.
        a, b = (np.copysign(np.maximum(abs(v), 1.2e-38), v) for v in (a, b))
        assert error(a.astype(np.float32), b.astype(np.float32)) < TOLERANCE


def test_norms_up_to_the_ends_of_float16():
    rng = np.random.default_rng(4)
    for degrees in (1.0, 60.0, 179.0):
        a, b = vectors_at(degrees, 300, normal, rng)
        a, b = a / np.abs(a).max(), b / np.abs(b).max()
        small, large = np.asarray(a * 0.01, np.float16), np.asarray(b * 6e4, np.float16)
        assert error(small, large) < TOLERANCE


def test_many_leaves_make_one_vector():
    rng = np.random.default_rng(5)
    sizes = rng.integers(0, 400, size=24) ** 2  # up to 160,000, some of them empty
    a, b = vectors_at(77.0, int(sizes.sum()), normal, rng)
    splits = np.cumsum(sizes)[:-1]
    tree_a, tree_b = (
        {
            f"leaf{i}": jnp.asarray(v, jnp.float32)
            for i, v in enumerate(np.split(x, splits))
        }
        for x in (a, b)
    )
    assert abs(float(angle_between(tree_a, tree_b)) - 77.0) < TOLERANCE


def test_complex_leaves_take_the_real_part_of_the_inner_product():
    rng = np.random.default_rng(6)
    a, b = (rng.normal(size=(2, 400)) for _ in range(2))
    expected = reference_angle(a.ravel(), b.ravel())
    measured = angle_between(
        *(jnp.asarray(v[0] + 1j * v[1], jnp.complex64) for v in (a, b))
    )
    assert abs(float(measured) - expected) < TOLERANCE


def test_leaves_without_direction_are_left_out():
    a = {"x": jnp.array([1.0, 0.0]), "i": jnp.arange(3), "k": jax.random.key(0)}
    b = {"x": jnp.array([1.0, 1.0]), "i": jnp.zeros(3, int), "k": jax.random.key(1)}
    assert float(angle_between(a, b)) == pytest.approx(45.0, abs=TOLERANCE)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(jnp.zeros(300), id="zero"),
        pytest.param(jnp.ones(300).at[7].set(jnp.nan), id="nan"),
        pytest.param(jnp.ones(300).at[7].set(jnp.inf), id="inf"),
    ],
)
def test_no_direction_no_angle(bad):
    assert np.isnan(angle_between(bad, jnp.ones(300)))
    assert np.isnan(angle_between(jnp.ones(300), bad))


def test_nothing_to_measure():
    assert np.isnan(angle_between({}, {}))
    assert np.isnan(angle_between(jnp.zeros((0, 3)), jnp.zeros((0, 3))))


def test_known_angles():
    x = jnp.array([1.0, 0.0, 0.0])
    for y, degrees in [
        ([1.0, 1.0, 0.0], 45.0),
        ([0.0, 5.0, 0.0], 90.0),
        ([-1.0, 3**0.5, 0.0], 120.0),
        ([-2.0, 0.0, 0.0], 180.0),
        ([0.5, 0.0, 0.0], 0.0),
    ]:
        assert float(angle_between(x, jnp.array(y))) == pytest.approx(degrees, abs=1e-4)


def test_trees_that_do_not_match():
    with pytest.raises(ValueError, match="structure"):
        angle_between({"a": jnp.ones(2)}, {"b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"\['a'\].*\(2,\).*\(3,\)"):
        angle_between({"a": jnp.ones(2)}, {"a": jnp.ones(3)})


def test_under_vmap():
    rng = np.random.default_rng(7)
    pairs = [vectors_at(d, 1000, normal, rng) for d in ANGLES]
    a, b = (jnp.asarray(np.stack(v), jnp.float32) for v in zip(*pairs, strict=True))
    np.testing.assert_allclose(jax.vmap(angle_between)(a, b), ANGLES, atol=TOLERANCE)
