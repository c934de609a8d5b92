"""Experts out of dense networks. Writes upcycle.json.

Multipliers: Megatron-LM upcycling_utils.py (arXiv 2410.07524), with its two cases written out: s = (E/g) g^2 / k for a
  softmax over all experts, else g; each of gate, up and down times s^(1/3), of a network without a gate s^(1/2).
Shards: of a gate_up [b F, H] expert j has of each block the rows of part j mod g; of down [H, F] the columns.
Change of an expert (Drop-Upcycling, arXiv 2502.19261, conversions/drop_upcycling.py): a permutation of its inner
  features; of each matrix int(r I) features drawn anew by N(mean, std with n - 1) of the values that they replace
  (drop), or N(0, 0.02) added (noise).
Keys: of (seed, layer, expert) the streams (seed, "upcycle/permutation") and (seed, "upcycle/rows.MATRIX"), shuffled by
  Fisher and Yates's method from the end; normals by Box and Muller out of SplitMix64's upper 53 bits.
"""

import math

from record import Source, write
from rng import ONES, Stream, combine_bits, hash_text, mix_bits

STEP = 0x9E3779B97F4A7C15


def uniforms(n, seed):
    return [(mix_bits((seed + (i + 1) * STEP) & ONES) >> 11) / 2**53 for i in range(n)]


def normals(n, seed):
    first, second = uniforms(n, mix_bits(seed ^ 1)), uniforms(n, mix_bits(seed ^ 2))
    return [math.sqrt(-2 * math.log1p(-u)) * math.cos(2 * math.pi * v) for u, v in zip(first, second)]


def scale(n_experts, g, k, is_pre):
    return (n_experts // g) * g * g / k if is_pre else g


def shuffled(stream, n):
    out = list(range(n))
    for i in range(n, 1, -1):
        j = stream.below(i)
        out[i - 1], out[j] = out[j], out[i - 1]
    return out


def place_bits(case):
    return combine_bits(case["layer"], case["expert"])


def order_of(case, inner):
    return shuffled(Stream(case["seed"], "upcycle/permutation", place_bits(case)), inner)


def features_of(case, matrix, inner):
    of = matrix if case["rows"] == "each" else "all"
    return shuffled(Stream(case["seed"], "upcycle/rows." + of, place_bits(case)), inner)[: int(inner * case["ratio"])]


def changed(rows, case, matrix):
    """rows: an inner feature each."""
    out = [list(rows[i]) for i in order_of(case, len(rows))]
    features = features_of(case, matrix, len(rows))
    replaced = [value for feature in features for value in out[feature]]
    if not replaced:
        return out
    seed = combine_bits(combine_bits(case["seed"], hash_text("upcycle/values." + matrix)), place_bits(case))
    draws = normals(len(replaced), seed)
    if case["method"] == "noise":
        values = [old + 0.02 * draw for old, draw in zip(replaced, draws)]
    else:
        mean = math.fsum(replaced) / len(replaced)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in replaced) / max(1, len(replaced) - 1))
        values = [mean + std * draw for draw in draws]
    width = len(rows[0])
    for i, feature in enumerate(features):
        out[feature] = values[i * width : (i + 1) * width]
    return out


def transposed(matrix):
    return [list(column) for column in zip(*matrix)]


def shard(rows, part, g):
    size = len(rows) // g
    return rows[part * size : (part + 1) * size]


def expert_of(case, gate_up, down):
    blocks, F = case["blocks"], len(down[0])
    parts = [shard(gate_up[b * F : (b + 1) * F], case["expert"] % case["g"], case["g"]) for b in range(blocks)]
    columns = shard(transposed(down), case["expert"] % case["g"], case["g"])
    return ([row for b, rows in enumerate(parts) for row in changed(rows, case, str(b))],
            transposed(changed(columns, case, "down")))


def router(init, rows, width, seed):
    bits = combine_bits(seed, hash_text("upcycle/router"))
    if init.startswith("torch_normal"):
        values = [(0.02 if init.endswith("002") else 0.2887) * draw for draw in normals(rows * width, bits)]
    else:
        values = uniforms(rows * width, bits)
        mean = 0.0 if init == "torch_rand" else math.fsum(values) / len(values)
        factor = 0.02 * math.sqrt(12) if init == "torch_rand_002" else 1.0
        values = [(value - mean) * factor for value in values]
    return [values[i * width : (i + 1) * width] for i in range(rows)]


def main():
    multipliers = []
    for dense, g, k, is_pre in ((8, 1, 2, False), (8, 1, 2, True), (8, 8, 8, False), (8, 8, 8, True), (4, 2, 2, True)):
        s = scale(dense * g, g, k, is_pre)
        multipliers.append({"E": dense * g, "g": g, "k": k, "softmax": "pre" if is_pre else "post", "scale": s,
                            "gated": s ** (1 / 3), "plain": s ** 0.5})
    # routing.md, A.5
    assert [round(m["gated"], 6) for m in multipliers] == [1, 1.587401, 2, 4, 2]
    assert [round(m["plain"], 6) for m in multipliers] == [1, 2, 2.828427, 8, 2.828427]

    source = Source(20250226)
    H, F = 3, 12
    gate_up, down = source.matrix(3 * F, H), source.matrix(H, F)
    cases = []
    for method, g, blocks, rows, ratio, layer, expert, seed in (
            ("copy", 1, 2, "each", 0.5, 0, 0, 1), ("copy", 4, 2, "each", 0.5, 0, 6, 1), ("copy", 2, 3, "each", 0.5, 1, 1, 1),
            ("drop", 1, 2, "each", 0.5, 0, 0, 1), ("drop", 1, 2, "each", 0.5, 0, 1, 1), ("drop", 1, 2, "each", 0.5, 1, 0, 1),
            ("drop", 1, 2, "each", 0.5, 0, 0, 2), ("drop", 1, 2, "shared", 0.5, 0, 0, 1), ("drop", 1, 2, "each", 1.0, 2, 3, 7),
            ("drop", 1, 2, "each", 0.0, 0, 2, 1), ("drop", 2, 3, "each", 0.4, 0, 5, 9), ("noise", 1, 2, "each", 0.5, 0, 0, 1),
            ("noise", 3, 2, "shared", 0.75, 1, 4, 3)):
        case = {"method": method, "g": g, "blocks": blocks, "rows": rows, "ratio": ratio, "layer": layer, "expert": expert, "seed": seed}
        if method == "copy":
            parts = [shard(gate_up[b * F : (b + 1) * F], expert % g, g) for b in range(blocks)]
            case["gate_up"] = [row for part in parts for row in part]
            case["down"] = transposed(shard(transposed(down), expert % g, g))
        else:
            case["order"] = order_of(case, F // g)
            case["features"] = {matrix: features_of(case, matrix, F // g) for matrix in ("0", "down")}
            case["gate_up"], case["down"] = expert_of(case, gate_up[: blocks * F], down)
        cases.append(case)
    routers = [{"init": init, "seed": seed, "values": router(init, 2, 3, seed)}
               for init in ("torch_rand", "torch_rand_mean0", "torch_normal_002", "torch_normal_028", "torch_rand_002") for seed in (1, 2)]
    write("upcycle.json", "reference", "scripts/golden/upcycle.py; routing.md A.5; Drop-Upcycling conversions/drop_upcycling.py; "
          "matrices from random.Random(20250226)",
          {"gate_up": gate_up, "down": down}, {"multipliers": multipliers, "experts": cases, "routers": routers}, 1e-10, 1e-12,
          "fp64: the sums have another order, and log1p and cos their own last bits; the file has 12 digits.")


if __name__ == "__main__":
    main()
