"""Adafactor as T5X has it (t5x/adafactor.py; arXiv 1804.04235, algorithms 4 and 6), matrix by matrix in plain Python.

The matrices are those of a published model: queries, keys and values, gate and up of each expert, each by itself. How a
program stores them is not known here. Writes adafactor.json.
"""

import math

from record import Source, check_close, write

DEFAULTS = {"decay_rate": 0.8, "clipping_threshold": 1.0, "scale_parameter": True, "min_factored": 4, "eps": 1e-30,
            "eps_scale": 1e-3, "momentum": 0.0, "weight_decay": 0.0}
CASES = {
    "defaults": {},
    "nothing_factored": {"min_factored": 100},
    "absolute_rates": {"scale_parameter": False},
    "momentum": {"momentum": 0.9},
    "weight_decay": {"weight_decay": 0.01},
    "tight_clipping": {"clipping_threshold": 0.25, "decay_rate": 0.5},
    "no_clipping": {"clipping_threshold": 1e9},
    "large_floors": {"eps": 1e-4, "eps_scale": 0.75},
    "all_at_once": {"momentum": 0.5, "weight_decay": 0.001, "scale_parameter": False, "clipping_threshold": 0.5},
}
RATES = [0.1, 0.05, 0.1, 0.02, 0.1]
# With min_factored = 4: k and v are narrower than that, q is not.
SHAPES = {"q": (6, 5), "k": (3, 5), "v": (3, 5), "gate.0": (4, 5), "gate.1": (4, 5), "up.0": (4, 5), "up.1": (4, 5),
          "down.0": (5, 4), "down.1": (5, 4), "embedding": (7, 5), "norm": (5,), "q_bias": (6,), "k_bias": (3,), "v_bias": (3,)}


def mean(values):
    return math.fsum(values) / len(values)


def rms(matrix):
    return math.sqrt(mean([x * x for row in matrix for x in row]))


class Adafactor:
    """The state of one matrix, a list of rows; a vector is one row that is never factored."""

    def __init__(self, rows, columns, is_vector, options):
        self.o = options
        self.factored = not is_vector and min(rows, columns) >= options["min_factored"]
        self.row, self.column = [0.0] * rows, [0.0] * columns
        self.second = [[0.0] * columns for _ in range(rows)]
        self.first = [[0.0] * columns for _ in range(rows)]
        self.t = 0

    def _moved(self, old, new):
        decay = 1.0 - self.t ** -self.o["decay_rate"]
        return [decay * a + (1.0 - decay) * b for a, b in zip(old, new)]

    def step(self, value, gradient, rate):
        o = self.o
        self.t += 1
        squares = [[g * g + o["eps"] for g in row] for row in gradient]
        if self.factored:
            self.row = self._moved(self.row, [mean(row) for row in squares])
            self.column = self._moved(self.column, [mean(column) for column in zip(*squares)])
            total = mean(self.row)
            update = [[g / math.sqrt(r * c / total) for g, c in zip(row, self.column)] for row, r in zip(gradient, self.row)]
        else:
            self.second = [self._moved(old, new) for old, new in zip(self.second, squares)]
            update = [[g / math.sqrt(v) for g, v in zip(row, seconds)] for row, seconds in zip(gradient, self.second)]
        scale = rate / max(1.0, rms(update) / o["clipping_threshold"])
        if o["scale_parameter"]:
            scale *= max(rms(value), o["eps_scale"])
        change = [[scale * u for u in row] for row in update]
        if o["momentum"] > 0:
            change = [[o["momentum"] * m + (1.0 - o["momentum"]) * c for m, c in zip(old, new)] for old, new in zip(self.first, change)]
            self.first = change
        return [[(1.0 - o["weight_decay"]) * w - c for w, c in zip(row, changes)] for row, changes in zip(value, change)]


def as_rows(tensor, is_vector):
    return [tensor] if is_vector else tensor


def as_tensor(rows, is_vector):
    return rows[0] if is_vector else rows


def trained(matrices, options):
    """The matrices after the first and after the last step."""
    after_first, after_last = {}, {}
    for name, item in matrices.items():
        is_vector = len(SHAPES[name]) == 1
        value = as_rows(item["value"], is_vector)
        state = Adafactor(len(value), len(value[0]), is_vector, options)
        for n, (rate, gradient) in enumerate(zip(RATES, item["gradients"])):
            value = state.step(value, as_rows(gradient, is_vector), rate)
            if n == 0:
                after_first[name] = as_tensor(value, is_vector)
        after_last[name] = as_tensor(value, is_vector)
    return {"after_first": after_first, "after_last": after_last}


def some_matrices():
    """Gradients differ in size from step to step, so that updates are clipped in some; expert 0 gets none at first, and
    expert 1 none in the third step."""
    source = Source(41)

    def tensor(shape, std):
        return source.normals(shape[0], std) if len(shape) == 1 else source.matrix(shape[0], shape[1], std)

    out = {}
    for name, shape in SHAPES.items():
        value = [0.0] * shape[0] if name.endswith("_bias") else tensor(shape, 0.5)
        gradients = [tensor(shape, std) for std in (1.0, 8.0, 0.125, 2.0, 0.5)]
        for suffix, step in ((".0", 0), (".1", 2)):
            if name.endswith(suffix):
                gradients[step] = [[0.0] * shape[1] for _ in range(shape[0])]
        out[name] = {"value": value, "gradients": gradients}
    return out


def main():
    # By hand: the first update of a vector without momentum is its sign, times the rate and the vector's size.
    state = Adafactor(1, 2, True, DEFAULTS)
    moved = state.step([[3.0, 4.0]], [[0.25, -2.0]], 0.1)
    check_close("first update", moved[0][0], 3.0 - 0.1 * math.sqrt(12.5), 1e-15)
    check_close("first update", moved[0][1], 4.0 + 0.1 * math.sqrt(12.5), 1e-15)
    matrices = some_matrices()
    outputs = {name: trained(matrices, {**DEFAULTS, **keys}) for name, keys in CASES.items()}
    write("adafactor.json", "reference", "arXiv 1804.04235 and google-research/t5x t5x/adafactor.py, in scripts/golden/adafactor.py",
          {"rates": RATES, "min_factored": DEFAULTS["min_factored"], "matrices": matrices,
           "cases": [{"name": name, "keys": keys} for name, keys in CASES.items()]},
          outputs, 2e-6, 2e-6, "fp32: five updates, each of a dozen roundings, on values up to 2")


if __name__ == "__main__":
    main()
