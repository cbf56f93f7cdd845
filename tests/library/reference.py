"""Both methods called AutoDrop in NumPy float64, in the papers' names.

Slow and plain on purpose: the tests hold the library against them.
"""

import numpy as np


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two vectors, by Kahan's formula; NaN if one is zero."""
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if not all(np.isfinite(norms)) or min(norms) == 0:
        return np.nan
    u, v = a / norms[0], b / norms[1]
    half = np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    return float(np.degrees(2 * half))


def logged(value: float) -> float:
    """As the metrics of the library have it: what is not there is infinite."""
    return np.inf if np.isnan(value) else value


class Algorithm1:
    """The loop of Algorithm 1, cut open where an epoch of training stands."""

    def __init__(self, x, alpha_0, *, rho=0.2, alpha_min=1e-4, theta_0=0.01,
                 theta_max=1.0, n_d=20, averaging=True, window=1, retrigger="ignore",
                 anchor="after_averaging"):  # fmt: skip
        self.alpha, self.theta = alpha_0, theta_0
        self.rho, self.alpha_min, self.theta_max = rho, alpha_min, theta_max
        self.n_d, self.averaging, self.window = n_d, averaging, window
        self.retrigger, self.anchor = retrigger, anchor
        self.y, self.s, self.z = x.copy(), np.zeros_like(x), np.zeros_like(x)
        self.w = []  # w_1, w_2, ...
        self.t, self.k, self.drops, self.dropping = 0, 0, 0, False
        self.margin = np.inf  # smallest distance of a change from theta so far

    def end_epoch(self, x: np.ndarray) -> np.ndarray:
        """From the parameters that epoch t ends with to those the next starts with."""
        self.t += 1
        if not np.all(np.isfinite(x)):
            self.w.append(np.nan)
            return x
        s = x - self.y
        self.w.append(angle(s, self.s))
        self.s = s

        n = self.window
        if self.t >= n + 2:
            change = np.mean(self.w[-n:]) - np.mean(self.w[-n - 1 : -1])
            if np.isfinite(change):
                self.margin = min(self.margin, abs(abs(change) - self.theta))
            if abs(change) < self.theta:
                if not self.dropping or self.retrigger == "restart":
                    self.z, self.k = np.zeros_like(x), 0
                self.dropping = True

        before = x
        if self.dropping:
            self.k += 1
            self.z = self.z + self.k * x
            if self.k >= self.n_d:
                if self.averaging:
                    x = 2 * self.z / (self.n_d * (self.n_d + 1))
                lower = max(self.alpha_min, self.rho * self.alpha)
                self.alpha = min(self.alpha, lower)
                self.theta = min(self.theta_max, self.theta / self.rho)
                self.dropping, self.k, self.drops = False, 0, self.drops + 1
        self.y = before if self.anchor == "before_averaging" else x
        return x


class Windowed:
    """The method of windows of iterations, cut open where a step of training stands.

    ``between`` and ``across_phases`` are the readings that the library did not take.
    """

    def __init__(self, alpha_0, *, k=64, rho=0.95, m=10, theta=0.1, alpha_min=1e-4,
                 smoothing="time", two_sided=False, sample_every=1,
                 between="differences", across_phases=False):  # fmt: skip
        self.alpha, self.rho, self.alpha_min = alpha_0, rho, alpha_min
        self.k, self.m, self.theta = k, m, theta
        self.smoothing, self.two_sided = smoothing, two_sided
        self.sample_every = sample_every
        self.between, self.across_phases = between, across_phases
        self.t, self.samples, self.buffer = 0, [], []
        self.means = []  # the last three that were finite
        self.c, self.w, self.change = np.nan, np.nan, np.nan
        self.windows, self.drop_windows, self.margin = 0, [], np.inf

    def see(self, x: np.ndarray) -> float:
        """Takes the parameters before a step; returns the rate of that step."""
        self.t += 1
        if self.t % self.sample_every == 0:
            self.samples.append(x)
        if self.t == self.k:
            self.end_window(np.mean(self.samples, axis=0))
            self.t, self.samples = 0, []
        return self.alpha

    def end_window(self, y: np.ndarray):
        self.windows += 1
        self.w = self.change = np.nan
        if not np.all(np.isfinite(y)):
            return
        self.means = [*self.means, y][-3:]
        if self.between == "means" and len(self.means) >= 2:
            self.w = angle(self.means[-1], self.means[-2])
        if self.between == "differences" and len(self.means) == 3:
            a, b, c = self.means
            self.w = angle(c - b, b - a)
        if np.isnan(self.w):
            return
        self.buffer.append(self.w)
        if len(self.buffer) >= self.m:
            c = smooth(np.array(self.buffer), self.smoothing)
            self.change, self.c = c - self.c, c
            self.buffer.pop(0)
            size = abs(self.change) if self.two_sided else self.change
            if np.isfinite(size):
                self.margin = min(self.margin, abs(size - self.theta))
            if size < self.theta:
                lower = max(self.alpha_min, self.rho * self.alpha)
                self.alpha = min(self.alpha, lower)
                self.drop_windows.append(self.windows)
                self.buffer = []
                if not self.across_phases:
                    self.c = np.nan


def smooth(b: np.ndarray, smoothing: str) -> float:
    """The newest of the angles, under a Gaussian in time or on values."""
    m, newest = len(b), b[-1]
    sigma = min(np.sqrt(np.mean((b - b.mean()) ** 2)), m / 2)
    weights = []
    for j in range(m):
        d = m - 1 - j if smoothing == "time" else b[j] - newest
        # The newest weighs 1 at any width; at width 0 all others nothing.
        at_zero = 1.0 if d == 0 else 0.0
        weights.append(np.exp(-((d / sigma) ** 2) / 2) if sigma else at_zero)
    return float(np.dot(weights, b) / np.sum(weights))
