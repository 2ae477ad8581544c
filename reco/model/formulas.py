"""The formulas of the scores in plain arithmetic, for whole arrays in numpy and, compiled, for single numbers.

Belongs here: formulas, and the logarithm and power they need. Does not belong here: what they mean and who chooses one
(`scores`), or a function of numpy beyond those that are exact by that standard.

Both engines run this very code, of which each operation is exact to the last bit by IEEE 754: their scores are equal,
and so are their ties. That is why `log2` and `power` are written out: those of numpy, of a C library and of a compiler
differ in the last bit. Every argument is an array or a scalar of float64; results are accurate to some 1e-15.
"""

from typing import Any

import numpy as np

Real = Any
"""float64: an array, or in the kernel one number."""

_FRACTION = 2**52 - 1
_EXPONENT_OF_ONE = 1023
_ONE = _EXPONENT_OF_ONE << 52
_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
_SQRT_2 = 1.4142135623730951
_TO_INTEGER = 1.5 * 2.0**52
"""Added to a number below 2^51, it leaves the nearest integer in the last bits."""
_TO_INTEGER_BITS = 0x4338000000000000
_LEAST = 1e-300


def log2(x: Real) -> Real:
    """The logarithm of positive numbers, by the series of the inverse hyperbolic tangent."""
    bits = np.float64(x).view(np.int64)  # of an array, an array
    fraction = np.int64((bits & _FRACTION) | _ONE).view(np.float64)
    upper = fraction > _SQRT_2
    fraction = fraction * (1.0 - 0.5 * upper)
    s = (fraction - 1.0) / (fraction + 1.0)
    z = s * s
    series = 1 / 17 + z * (1 / 19 + z * (1 / 21))
    series = 1 / 9 + z * (1 / 11 + z * (1 / 13 + z * (1 / 15 + z * series)))
    series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * series)))
    return ((bits >> 52) - _EXPONENT_OF_ONE + upper) + 2.0 * _LOG2_E * s * series


def power(x: Real, exponent: float) -> Real:
    """Positive numbers to a power, where the result is neither below 2^-1022 nor above 2^1023."""
    y = exponent * log2(x)
    shifted = y + _TO_INTEGER
    t = (y - (shifted - _TO_INTEGER)) * _LN_2
    series = 1 / 40320 + t * (1 / 362880 + t * (1 / 3628800 + t * (1 / 39916800 + t * (1 / 479001600))))
    series = 1 / 24 + t * (1 / 120 + t * (1 / 720 + t * (1 / 5040 + t * series)))
    series = 1.0 + t * (1.0 + t * (0.5 + t * (1 / 6 + t * series)))
    exponent_bits = np.float64(shifted).view(np.int64) - _TO_INTEGER_BITS + _EXPONENT_OF_ONE
    scale = np.int64(exponent_bits << 52).view(np.float64)
    return series * scale


def cosine(both: Real, one: Real, other: Real) -> Real:
    """w_ij / sqrt(w_i w_j)."""
    return both / np.sqrt(one * other)


def jaccard(both: Real, one: Real, other: Real) -> Real:
    """w_ij / (w_i + w_j - w_ij)."""
    return both / (one + other - both)


def powers(both: Real, one: Real, other: Real, sharpness: float) -> Real:
    """(s_ij / (w_i^a w_j^b))^p; `one` and `other` come with their powers. Rounding does not lift it above 1."""
    return np.minimum(power(both / (one * other), sharpness), 1.0)


def mutual_information(both: Real, one: Real, other: Real, total: float) -> Real:
    """The mutual information, in bits, of two items' presence in an order; 0 where they repel or ignore each other.

    2 W ln 2 times it is Dunning's log-likelihood ratio G^2, so both rank alike; it lies in 0..1.
    """
    found = _cell(both, one, other, total)
    found = found + _cell(one - both, one, total - other, total)
    found = found + _cell(other - both, total - one, other, total)
    found = found + _cell(total - one - other + both, total - one, total - other, total)
    return (both * total > one * other) * np.minimum(np.maximum(found / total, 0.0), 1.0)


def _cell(seen: Real, row: Real, column: Real, total: float) -> Real:
    """What one of the four cells adds; nothing where it is empty."""
    seen = np.maximum(seen, 0.0)
    return seen * log2(np.maximum(seen * total / np.maximum(row * column, _LEAST), _LEAST))


def shrunk(score: Real, pair_orders: Real, shrinkage: float) -> Real:
    """The score times n_ij / (n_ij + shrinkage)."""
    return score * (pair_orders / (pair_orders + shrinkage))
