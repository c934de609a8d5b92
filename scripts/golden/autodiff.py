"""Reverse-mode differentiation of scalars, on a tape. Every function also takes plain floats.

The same forward code therefore runs with Scalars (for gradients) and with floats (for central
differences that check them).
"""

import math


class Scalar:
    __slots__ = ("value", "parents", "grad")
    tape = []  # in order of creation; parents come before children

    def __init__(self, value, parents=()):
        self.value = value
        self.parents = parents  # (Scalar, derivative of self by it)
        self.grad = 0.0
        Scalar.tape.append(self)

    def __add__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value + other.value, ((self, 1.0), (other, 1.0)))
        return Scalar(self.value + other, ((self, 1.0),))

    __radd__ = __add__

    def __mul__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value * other.value, ((self, other.value), (other, self.value)))
        return Scalar(self.value * other, ((self, other),))

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + other * -1.0

    def __rsub__(self, other):
        return self * -1.0 + other

    def __truediv__(self, other):
        if isinstance(other, Scalar):
            q = self.value / other.value
            return Scalar(q, ((self, 1.0 / other.value), (other, -q / other.value)))
        return self * (1.0 / other)

    def __rtruediv__(self, other):
        q = other / self.value
        return Scalar(q, ((self, -q / self.value),))


def value_of(x):
    return x.value if isinstance(x, Scalar) else x


def backward(result):
    """Fills grad of everything on the tape with the derivative of result."""
    for node in Scalar.tape:
        node.grad = 0.0
    result.grad = 1.0
    for node in reversed(Scalar.tape):
        if node.grad != 0.0:
            for parent, derivative in node.parents:
                parent.grad += node.grad * derivative


def _unary(x, value, derivative):
    return Scalar(value, ((x, derivative),)) if isinstance(x, Scalar) else value


def exp(x):
    e = math.exp(value_of(x))
    return _unary(x, e, e)


def log(x):
    v = value_of(x)
    return _unary(x, math.log(v), 1.0 / v)


def sqrt(x):
    root = math.sqrt(value_of(x))
    return _unary(x, root, 0.5 / root)


def erf(x):
    v = value_of(x)
    return _unary(x, math.erf(v), 2.0 / math.sqrt(math.pi) * math.exp(-v * v))


def sigmoid(x):
    s = 1.0 / (1.0 + math.exp(-value_of(x)))
    return _unary(x, s, s * (1.0 - s))


def softplus(x):
    v = value_of(x)
    return _unary(x, max(v, 0.0) + math.log1p(math.exp(-abs(v))), 1.0 / (1.0 + math.exp(-v)))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    """Exact: x * Phi(x)."""
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)


def total(xs):
    xs = list(xs)
    value = math.fsum(value_of(x) for x in xs)
    parents = tuple((x, 1.0) for x in xs if isinstance(x, Scalar))
    return Scalar(value, parents) if parents else value


def dot(xs, ys):
    value = math.fsum(value_of(x) * value_of(y) for x, y in zip(xs, ys, strict=True))
    parents = []
    for x, y in zip(xs, ys):
        if isinstance(x, Scalar):
            parents.append((x, value_of(y)))
        if isinstance(y, Scalar):
            parents.append((y, value_of(x)))
    return Scalar(value, tuple(parents)) if parents else value


def logsumexp(xs):
    """Shifted by the largest value, as a constant."""
    largest = max(value_of(x) for x in xs)
    return log(total(exp(x - largest) for x in xs)) + largest


def softmax(xs):
    largest = max(value_of(x) for x in xs)
    exps = [exp(x - largest) for x in xs]
    norm = total(exps)
    return [e / norm for e in exps]
