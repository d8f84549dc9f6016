"""Intervals for few observations, at 95 %. Pure: no Django, and no scipy, which the web process does without.

Counts of events and shares are exact; means of times, some of which still run, go by their likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Callable

TAIL = 0.025
CHI_SQUARE = 3.841458820694124
"""The 95 % point of chi-square with one degree of freedom."""
STEPS, SMALLEST = 10_000, 1e-300


def events(count: int, time: float) -> tuple[float, float | None]:
    """Of the mean time between events, where ``count`` of them came in a fixed ``time``: exact (Garwood 1936).

    >>> [round(v, 2) for v in events(5, 1000.0)]
    [85.7, 615.96]
    >>> round(events(0, 1000.0)[0], 1), events(0, 1000.0)[1]
    (271.1, None)
    """
    most = _root(lambda mean: gamma_below(count + 1, mean) - (1 - TAIL), 0.0, _wide(count + 1))
    least = _root(lambda mean: gamma_below(count, mean) - TAIL, 0.0, _wide(count)) if count else 0.0
    return time / most, time / least if least > 0 else None


def share(hits: int, of: int) -> tuple[float, float]:
    """Of a share, ``hits`` of ``of``: exact (Clopper and Pearson 1934).

    >>> [round(v, 4) for v in share(8, 10)]
    [0.4439, 0.9748]
    """
    low = _root(lambda p: beta_below(hits, of - hits + 1, p) - TAIL, 0.0, 1.0) if hits else 0.0
    high = _root(lambda p: beta_below(hits + 1, of - hits, p) - (1 - TAIL), 0.0, 1.0) if hits < of else 1.0
    return low, high


def mean_time(ended: int, time: float) -> tuple[float, float | None]:
    """Of a mean time: ``time`` passed in all, in which ``ended`` times came to their end and the others still run.

    By the likelihood ratio of the exponential distribution (Cox and Oakes 1984, 3.3): the means whose log-likelihood
    falls short of the largest by less than half the 95 % point of chi-square. Open above where nothing has ended.

    >>> [round(v, 2) for v in mean_time(5, 1000.0)]
    [93.05, 557.72]
    """
    if not ended:
        return 2 * time / CHI_SQUARE, None
    drop = CHI_SQUARE / (2 * ended)
    below = _root(lambda r: drop - (r - 1 - math.log(r)), math.exp(-1 - drop), 1.0)
    above = _root(lambda r: (r - 1 - math.log(r)) - drop, 1.0, 2 * (1 + drop + math.sqrt(2 * drop)))
    mean = time / ended
    return mean / above, mean / below


def gamma_below(shape: float, x: float) -> float:
    """P(shape, x), the regularised incomplete gamma function (DLMF 8.11.4 below the shape, 8.9.2 above)."""
    if x <= 0:
        return 0.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for n in range(1, STEPS):
            term *= x / (shape + n)
            total += term
            if term < total * 1e-16:
                break
        return scale * total
    return 1 - scale * _fraction(lambda n: (-n * (n - shape), x + 1 - shape + 2 * n))


def beta_below(a: float, b: float, x: float) -> float:
    """I_x(a, b), the regularised incomplete beta function (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(b, a, 1 - x)
    scale = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def term(n: int) -> tuple[float, float]:
        half = n // 2
        if n == 0:
            return 0.0, 1.0
        if n % 2:
            return -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1)), 1.0
        return half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half)), 1.0

    return math.exp(scale) / a * _fraction(term)


def _fraction(term: Callable[[int], tuple[float, float]]) -> float:
    """1 / (b0 + a1 / (b1 + a2 / (b2 + ...))), where ``term(n)`` is (an, bn); by Lentz's method."""
    value = top = term(0)[1] or SMALLEST
    below = 0.0
    for n in range(1, STEPS):
        a, b = term(n)
        below = 1 / (b + a * below or SMALLEST)
        top = b + a / top or SMALLEST
        value *= top * below
        if abs(top * below - 1) < 1e-15:
            break
    return 1 / value


def _wide(shape: float) -> float:
    return shape + 12 * math.sqrt(shape) + 40


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0 between two bounds, by halving."""
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
