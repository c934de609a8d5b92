"""Routers that learn nothing: hash tables, random draws, uniform turns. Writes fixed_routers.json.

hash, by ids: expert of id = permutation(id) mod E. By frequency (balanced hash of arXiv 2106.04426): ids by falling
  weight = occurrences + 1, equal weights by permutation(id); each to the expert of least weight so far, lower first.
random: token t draws its k experts one after the other, each uniform over those not drawn yet.
uniform: assignment j of token t to expert (t k + j) mod E.
Keys: the table of a layer is permuted by combine(combine(seed, "hash router"), layer); a draw in training is the
stream (seed, "random router", t), at evaluation (seed, "random router", combine(position, token id)).
"""

from record import Source, write
from rng import Stream, combine_bits, hash_text, permuted_index


def hash_key(seed, layer):
    return combine_bits(combine_bits(seed, hash_text("hash router")), layer)


def table_by_ids(V, E, seed, layer):
    return [permuted_index(i, V, hash_key(seed, layer)) % E for i in range(V)]


def table_by_frequency(counts, E, seed, layer):
    V, key = len(counts), hash_key(seed, layer)
    table, loads = [None] * V, [0] * E
    for i in sorted(range(V), key=lambda i: (-counts[i], permuted_index(i, V, key))):
        expert = min(range(E), key=lambda e: (loads[e], e))
        table[i] = expert
        loads[expert] += counts[i] + 1
    return table


def draw(seed, place, E, k):
    stream, left = Stream(seed, "random router", place), list(range(E))
    return [left.pop(stream.below(len(left))) for _ in range(k)]


def main():
    source = Source(20210608)
    tables = []
    for V, E, seed, layer in ((16, 4, 1, 0), (16, 4, 1, 1), (16, 4, 2, 0), (13, 5, 3, 2), (2, 2, 4, 0), (3, 8, 5, 1)):
        tables.append({"by": "ids", "V": V, "E": E, "seed": seed, "layer": layer, "table": table_by_ids(V, E, seed, layer)})
    zipf = [int(3000 / (i + 1)) for i in range(40)]
    shuffled = [zipf[permuted_index(i, 40, 7)] for i in range(40)]
    for counts, E, seed, layer in ((shuffled, 4, 1, 0), (shuffled, 4, 1, 3), (source.integers(20, 4), 3, 2, 1), ([0] * 10, 4, 3, 0), ([5, 0, 0, 0, 0, 0, 0], 2, 4, 0)):
        table = table_by_frequency(counts, E, seed, layer)
        loads = [sum(count + 1 for count, expert in zip(counts, table) if expert == e) for e in range(E)]
        # Greedy by falling weight: loads differ by at most the smallest weight that the fullest expert took last,
        # hence by at most the largest weight.
        assert max(loads) - min(loads) <= max(counts) + 1
        tables.append({"by": "frequency", "counts": counts, "V": len(counts), "E": E, "seed": seed, "layer": layer, "table": table, "loads": loads})
    for table in tables:
        if table["by"] == "ids":
            sizes = [table["table"].count(e) for e in range(table["E"])]
            assert max(sizes) - min(sizes) <= 1

    draws = []
    for seed, E, k, T in ((1, 4, 1, 6), (2, 4, 2, 6), (2**63 + 5, 7, 7, 3), (3, 64, 8, 3), (4, 1, 1, 2)):
        ids = source.integers(2 * T, 50)
        draws.append({"seed": str(seed), "E": E, "k": k, "T": T,
                      "train": [draw(seed, t, E, k) for t in range(2 * T)],
                      "token_ids": ids,  # two sequences of T
                      "eval": [draw(seed, combine_bits(t % T, ids[t]), E, k) for t in range(2 * T)]})
    turns = [{"E": E, "k": k, "T": T, "ids": [[(t * k + j) % E for j in range(k)] for t in range(T)]} for E, k, T in ((4, 1, 6), (4, 2, 5), (5, 3, 7), (3, 3, 2))]
    write("fixed_routers.json", "reference", "scripts/golden/fixed_routers.py; balanced hash: arXiv 2106.04426 section 3; "
          "uniform: MegaBlocks layers/router.py _uniform_expert_assignment",
          {}, {"tables": tables, "draws": draws, "turns": turns}, 0.0, 0.0,
          "Integers: exact. Seeds as text, since they have 64 bits.")


if __name__ == "__main__":
    main()
