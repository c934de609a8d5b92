"""BASE layers' balanced assignment (fairseq clib/libbase/balanced_assignment.cpp). Writes base_assignment.json.

auction(values [W][J], q, max_rounds): price 0; eps = max((max - min) / 50, 1e-4). Round r = 0, 1, ...:
  each worker bids for its q most valuable jobs (ties: what it holds, then the lower job): value - (q+1)-th value + eps,
  but eps for what it holds, in rounds 0 < r < max_rounds; the highest bid wins (ties: the lower worker);
  done when no two workers bid for the same job;
  price += highest bid; value = score - price, and what was just won is worth the largest score (from round
  max_rounds on: its own score).
After 2 max_rounds rounds the free jobs go by falling score to workers that have too few.
Tokens: auction among experts for T div E tokens each, then the T mod E left-over tokens bid for one expert each.
"""

import itertools

from record import Source, write


def auction(scores, q, max_rounds):
    W, J = len(scores), len(scores[0])
    largest = max(max(row) for row in scores)
    eps = max((largest - min(min(row) for row in scores)) / 50, 1e-4)
    value, price, holder = [list(row) for row in scores], [0.0] * J, [None] * J
    for r in range(2 * max_rounds):
        bids = [{} for _ in range(J)]
        for w in range(W):
            ranked = sorted(range(J), key=lambda j: (-value[w][j], 0 if holder[j] == w else 1, j))
            following = value[w][ranked[min(q, J - 1)]]
            for j in ranked[:q]:
                bids[j][w] = eps if holder[j] == w else value[w][j] - following + eps
        winner = [min(b, key=lambda w: (-b[w], w)) if b else None for b in bids]
        if all(len(b) <= 1 for b in bids):
            return winner, r + 1
        price = [p + (b[w] if b else 0.0) for p, b, w in zip(price, bids, winner)]
        value = [[s - p for s, p in zip(row, price)] for row in scores]
        for j, w in enumerate(winner):
            if w is not None:
                value[w][j] = largest if r < max_rounds else scores[w][j]
        holder = winner if r + 1 < max_rounds else [None] * J
    missing = [q - winner.count(w) for w in range(W)]
    for score, w, j in sorted(((-scores[w][j], w, j) for w in range(W) for j in range(J))):
        if winner[j] is None and missing[w] > 0:
            winner[j] = w
            missing[w] -= 1
    return winner, 2 * max_rounds


def assign(affinities, max_rounds):
    T, E = len(affinities), len(affinities[0])
    experts, rounds = [None] * T, 0
    if T >= E:
        experts, rounds = auction([[row[e] for row in affinities] for e in range(E)], T // E, max_rounds)
    left = [t for t in range(T) if experts[t] is None]
    if left:
        for e, i in enumerate(auction([affinities[t] for t in left], 1, max_rounds)[0]):
            if i is not None:
                experts[left[i]] = e
    return experts, rounds


def best_sum(affinities):
    """The largest sum over all assignments whose loads differ by at most 1, by trying all."""
    T, E = len(affinities), len(affinities[0])
    best = None
    for experts in itertools.product(range(E), repeat=T):
        loads = [experts.count(e) for e in range(E)]
        if max(loads) - min(loads) <= 1:
            total = sum(affinities[t][e] for t, e in enumerate(experts))
            best = total if best is None or total > best else best
    return best


def main():
    source = Source(20210330)
    cases = []

    def add(name, affinities, max_rounds=100):
        cases.append({"name": name, "max_rounds": max_rounds, "affinities": affinities})

    add("two_by_two", [[3, 2.5], [2, 0]])  # greedy per token gives both to expert 0; best 2.5 + 2 = 4.5 over 3 + 0
    add("small_8_2", source.matrix(8, 2))
    add("small_6_3", source.matrix(6, 3))
    add("small_9_3", source.matrix(9, 3))
    add("left_over_7_3", source.matrix(7, 3))
    add("left_over_5_4", source.matrix(5, 4))
    add("fewer_tokens_3_5", source.matrix(3, 5))
    add("one_token", [[0.5, 2.0, 1.0]])
    add("one_expert", [[0.5], [-1.0], [2.0]])
    add("all_equal", [[0.25] * 4 for _ in range(8)])
    add("all_want_one", [[5.0 + t / 8, t / 16, 0.0, -1.0] for t in range(16)])
    column = source.normals(8, 2.0)
    skewed = [[c + source.normal() for c in column] for _ in range(67)]
    add("skewed_64_8", skewed[:64])
    add("skewed_67_8", skewed)
    add("one_round_then_faster", skewed[:64], max_rounds=1)
    add("three_rounds_then_faster", skewed[:64], max_rounds=3)
    outputs = {}
    for case in cases:
        affinities = case["affinities"]
        experts, rounds = assign(affinities, case["max_rounds"])
        T, E = len(affinities), len(affinities[0])
        loads = [experts.count(e) for e in range(E)]
        assert sum(loads) == T and max(loads) - min(loads) <= 1, case["name"]
        result = {"expert_ids": experts, "rounds": rounds, "tokens_per_expert": loads,
                  "sum": sum(affinities[t][e] for t, e in enumerate(experts))}
        if E**T <= 20000:
            result["best_sum"] = best_sum(affinities)
            spread = max(map(max, affinities)) - min(map(min, affinities))
            # An auction ends within n eps of the best, n the tokens (eps = spread / 50).
            assert result["sum"] >= result["best_sum"] - T * max(spread / 50, 1e-4), case["name"]
        outputs[case["name"]] = result
    assert outputs["two_by_two"]["expert_ids"] == [1, 0]
    write("base_assignment.json", "reference", "scripts/golden/base_assignment.py; arXiv 2103.16716; fairseq clib/libbase/balanced_assignment.cpp",
          {"cases": cases}, outputs, 1e-12, 1e-12,
          "Assignments and rounds exact: sums, differences and one division by 50 in fp64 on both sides. `sum` is that of the "
          "affinities; `best_sum`, where all assignments can be tried, the largest with loads that differ by at most 1.")


if __name__ == "__main__":
    main()
