"""src/core/rng.h in Python's integers: FNV-1a, SplitMix64, numbers below a bound, the Feistel permutation."""

ONES = 2**64 - 1


def hash_text(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & ONES
    return value


def mix_bits(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & ONES
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & ONES
    return value ^ (value >> 31)


def combine_bits(left, right):
    return mix_bits(mix_bits((left + 0x9E3779B97F4A7C15) & ONES) ^ right)


class Stream:
    def __init__(self, seed, purpose, index=0):
        self._state = combine_bits(combine_bits(seed, hash_text(purpose)), index)

    def next(self):
        self._state = (self._state + 0x9E3779B97F4A7C15) & ONES
        return mix_bits(self._state)

    def below(self, bound):
        limit = ONES - ONES % bound
        while True:
            value = self.next()
            if value < limit:
                return value % bound


def permuted_index(index, size, key):
    if size <= 2:
        return index ^ (mix_bits(key) & 1) if size == 2 else 0
    half = ((size - 1).bit_length() + 1) // 2
    value = index
    while True:
        left, right = value >> half, value & (2**half - 1)
        for turn in range(4):
            left, right = right, left ^ (combine_bits((key + turn) & ONES, right) & (2**half - 1))
        value = left << half | right
        if value < size:
            return value
