"""Algorithm 1 of AutoDrop in NumPy float64, in the paper's names.

Slow and plain on purpose: the tests hold the library against it.
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
