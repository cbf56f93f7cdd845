"""The rule of ``autodrop`` in NumPy float64. Slow and plain on purpose."""

import numpy as np
from reference import angle


class AutoDrop:
    """Sees the parameters step by step; the letters are those of the rule."""

    def __init__(self, x, *, rho=0.5, scale_min=0.0, w_max=None, patience=2, p=8.0,
                 q=1.25, n_0=64):  # fmt: skip
        self.rho, self.scale_min, self.patience = rho, scale_min, patience
        self.w_max = random_walk_angle(p, q) if w_max is None else w_max
        self.p, self.q, self.n_0 = p, q, n_0
        self.m = self.y = np.where(np.isfinite(x), x, 0.0)
        self.s = np.zeros_like(self.m)
        self.n = self.N = self.k = self.a = self.h = self.streak = self.last_drop = 0
        self.scale = 1.0
        self.samples, self.drops = [], []  # each an N
        self.angles = []  # (N, w) from the third check of a phase on, NaN left out
        self.margin = np.inf  # smallest distance of an angle from w_max

    def see(self, x: np.ndarray) -> float:
        """Takes the parameters before a step; returns the scale of that step."""
        self.n, self.N, self.h = self.n + 1, self.N + 1, self.h + 1
        checks = self.n >= self.check_step()
        stride = 2 ** max(0, int(np.floor(np.log2(self.n / 1024))))
        if self.n % stride == 0 or checks:
            self.a += self.h
            with np.errstate(invalid="ignore"):
                later = self.m + (self.p + 1) / (self.a / self.h + self.p) * (
                    x - self.m
                )
            self.m = np.where(np.isfinite(later), later, self.m)
            self.h = 0
            self.samples.append(self.N)
        if checks:
            self.check()
        return self.scale

    def check_step(self) -> int:
        return int(np.ceil(self.n_0 * self.q**self.k))

    def check(self):
        self.k += 1
        s = self.m - self.y
        w = angle(s, self.s) if self.k >= 3 else np.nan
        self.s, self.y = s, self.m
        if np.isfinite(w):
            self.angles.append((self.N, w))
            self.margin = min(self.margin, abs(w - self.w_max))
        self.streak = self.streak + 1 if w >= self.w_max else 0
        if (
            self.streak >= self.patience
            and 2 * self.last_drop <= self.N
            and self.scale > self.scale_min
            and self.w_max < 180
        ):
            self.begin_phase(max(self.scale_min, self.rho * self.scale))
            self.drops.append(self.N)

    def begin_phase(self, scale: float):
        self.scale = scale
        self.a /= 8
        self.n = self.k = self.h = self.streak = 0
        self.last_drop = self.N


def random_walk_angle(p: float, q: float) -> float:
    """Degrees, from E m_S m_T of the average of a Brownian motion."""
    n = p + 1

    def product(s, t):
        s, t = min(s, t), max(s, t)
        r = s / t
        return s * (1 - 1 / (n + 1) - r**n / (n + 1) + r**n / (2 * n + 1))

    return angle_of_displacements(product, q)


def white_noise_angle(p: float, q: float) -> float:
    """Degrees, from E m_S m_T of the average of noise about a point."""
    n = p + 1

    def product(s, t):
        s, t = min(s, t), max(s, t)
        return n**2 * s ** (2 * n - 1) / ((2 * n - 1) * s**n * t**n)

    return angle_of_displacements(product, q)


def angle_of_displacements(product, q: float) -> float:
    """Between m_1 - m_{1/q} and m_{1/q} - m_{1/q^2}, given all E m_S m_T."""
    times = np.array([1 / q**2, 1 / q, 1.0])
    covariance = np.array([[product(s, t) for t in times] for s in times])
    differences = np.array([[0.0, -1.0, 1.0], [-1.0, 1.0, 0.0]])
    (aa, ab), (_, bb) = differences @ covariance @ differences.T
    return float(np.degrees(np.arccos(ab / np.sqrt(aa * bb))))
