"""How many of those that are called a discovery are none. Pure."""

from __future__ import annotations

import numpy as np

from sensors.columns import Float64


def q_values(p: Float64, *, any_dependence: bool = False) -> Float64:
    """Of each p the least share of false discoveries at which it is one; NaN stays, and counts for nothing.

    Benjamini and Hochberg 1995, which holds for independent and positively dependent tests; with ``any_dependence``
    Benjamini and Yekutieli 2001, which holds for all and finds less: q is larger by 1 + 1/2 + ... + 1/m.
    """
    p = np.asarray(p, np.float64)
    q = np.full(len(p), np.nan)
    judged = np.flatnonzero(~np.isnan(p))
    order = judged[np.argsort(p[judged], kind="stable")]
    ranks = np.arange(1, len(order) + 1)
    price = np.sum(1.0 / ranks) if any_dependence else 1.0
    raised = p[order] * len(order) * price / ranks
    q[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return q
