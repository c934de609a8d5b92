"""Analyses of routing on a made stream of tokens, two layers, six experts, three a token. Writes analyses.json.

Each figure is computed from its definition, token by token, with sets, lists and dictionaries of Python:
  saturation            mean over tokens of |from and to| / k; k = 1: the first choice is the same
  vocabulary            mean over ids of max_e (occurrences of the id that reach e) / occurrences   (k = 1 and k = 3)
  co-activation         tokens with a and b / tokens with a: of all pairs, and of neighbouring ranks only
  temporal locality     share of neighbours (same sequence and document, no padding) that repeat the first, or any, expert
  token std             mean over ids of sqrt(mean_e (r_e - 1/E)^2), and of sqrt((1 - k/E) / (n k E))
  position std          the same for the position in the sequence
  co-routing            assignments of equal rank in neighbouring layers
  continual vocabulary  share of occurrences at the favourite that the reference gives the id
  drops                 by position: at least one, and all, of a token's assignments dropped
  at the load           the same figures where tokens and experts are paired at random: over all pairs of tokens, or from the chances of counts
  uniform overlap       mean of 1 - L1 / 2 of two ids under uniform routing: E / k times the mean of the smaller share of one expert, whose
                        count is binomial, over all pairs of counts
"""

import fractions
import itertools
import math

from record import Source, check_close, write

E, K, LENGTH, SEQUENCES, LAYERS, VOCABULARY = 6, 3, 16, 4, 2, 7


def make_experts(source, ids, faithful):
    """Per token K different experts, best first; with chance `faithful` the first is one that belongs to the id."""
    out = []
    for token_id in ids:
        experts = list(range(E))
        for i in range(K):
            j = i + int(source.uniform() * (E - i))
            experts[i], experts[j] = experts[j], experts[i]
        if source.uniform() < faithful:
            own = token_id * 5 % E
            if own in experts[:K]:
                experts.remove(own)
            experts.insert(0, own)
        out.append(experts[:K])
    return out


def counts_by(ids, experts, keep, k):
    """{id: ([E] counts, occurrences)}"""
    out = {}
    for token_id, chosen, kept in zip(ids, experts, keep):
        if not kept or token_id < 0:
            continue
        counts, n = out.get(token_id, ([0] * E, 0))
        for e in chosen[:k]:
            counts[e] += 1
        out[token_id] = (counts, n + 1)
    return out


def load_of(experts, keep, k):
    """[E] shares of the tokens that have the expert among their first k."""
    kept = [chosen[:k] for chosen, is_kept in zip(experts, keep) if is_kept]
    return [fractions.Fraction(sum(e in chosen for chosen in kept), len(kept)) for e in range(E)]


def drawn_favourite(n, shares):
    """Mean of the largest share of n draws from `shares`: P(no count above m) = n! [x^n] prod_e sum_{j <= m} (p_e x)^j / j!."""
    mean = fractions.Fraction(0)
    for m in range(n):
        power = [fractions.Fraction(1)] + [fractions.Fraction(0)] * n
        for p in shares:
            power = [sum(power[i - j] * p**j / math.factorial(j) for j in range(min(i, m) + 1)) for i in range(n + 1)]
        mean += 1 - math.factorial(n) * power[n]
    return float(mean / n)


def vocabulary(ids, experts, keep, k, minimum):
    by_id = [(c, n) for c, n in counts_by(ids, experts, keep, k).values() if n >= minimum]
    rows = [(max(c) / n, max(c), n) for c, n in by_id]
    out = {"mean": math.fsum(r[0] for r in rows) / len(rows), "ids": len(rows),
           "by_occurrence": sum(r[1] for r in rows) / sum(r[2] for r in rows)}
    if k == 1:
        is_counted = [kept and token_id >= 0 for kept, token_id in zip(keep, ids)]
        shares = load_of(experts, is_counted, 1)
        out["load_chance"] = math.fsum(drawn_favourite(n, shares) for _, n in by_id) / len(by_id)
    return out


def std_rows(ids, experts, keep, minimum):
    stds, baselines, at_load = [], [], []
    load = load_of(experts, keep, K)
    for counts, n in counts_by(ids, experts, keep, K).values():
        if n < minimum:
            continue
        shares = [c / sum(counts) for c in counts]
        stds.append(math.sqrt(math.fsum((r - 1 / E) ** 2 for r in shares) / E))
        baselines.append(math.sqrt((1 - K / E) / (n * K * E)))
        squares = [sum(p * (fractions.Fraction(x, n * K) - fractions.Fraction(1, E)) ** 2 for x, p in enumerate(binomial(n, share))) for share in load]
        at_load.append(math.sqrt(sum(squares) / E))
    return {"ids": len(stds), "std": math.fsum(stds) / len(stds), "baseline_std": math.fsum(baselines) / len(baselines),
            "load_std": math.fsum(at_load) / len(at_load)}


def binomial(n, p):
    return [math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


def coactivation(experts, keep):
    single = [0] * E
    together = [[0] * E for _ in range(E)]
    adjacent = [[0] * E for _ in range(E)]
    for chosen, kept in zip(experts, keep):
        if not kept:
            continue
        for e in chosen:
            single[e] += 1
        for a, b in itertools.combinations(chosen, 2):
            together[a][b] += 1
            together[b][a] += 1
        for a, b in itertools.pairwise(chosen):
            adjacent[a][b] += 1
            adjacent[b][a] += 1
    share = lambda pairs: [[pairs[a][b] / single[a] if single[a] else None for b in range(E)] for a in range(E)]
    return {"all_pairs": share(together), "adjacent_rank": share(adjacent)}


def locality(experts, keep, documents):
    first = anyone = pairs = 0
    firsts = []
    for t in range(len(experts) - 1):
        if (t + 1) % LENGTH == 0 or not keep[t] or not keep[t + 1] or documents[t] != documents[t + 1]:
            continue
        pairs += 1
        first += experts[t][0] == experts[t + 1][0]
        firsts += [experts[t][0], experts[t + 1][0]]
        anyone += bool(set(experts[t]) & set(experts[t + 1]))
    return {"pairs": pairs, "first_choice": first / pairs, "any_choice": anyone / pairs,
            "load_first": sum(a == b for a in firsts for b in firsts) / len(firsts) ** 2}


def drops(experts, dropped, keep, low, high):
    rows = [d for t, (d, kept) in enumerate(zip(dropped, keep)) if kept and low <= t % LENGTH < high]
    return {"any": sum(any(r) for r in rows) / len(rows), "all": sum(all(r) for r in rows) / len(rows), "tokens": len(rows)}


def continual(ids, before, after, keep, k):
    maps = counts_by(ids, before, keep, k)
    favourite = {i: c.index(max(c)) for i, (c, _) in maps.items()}
    seen = [(favourite[i], b[:k], a[:k]) for i, b, a, kept in zip(ids, before, after, keep) if kept]
    return {"hit_rate": sum(f in a for f, _, a in seen) / len(seen), "hit_rate_from": sum(f in b for f, b, _ in seen) / len(seen),
            "load_chance": sum(f in a for f, _, _ in seen for _, _, a in seen) / len(seen) ** 2}


def load_overlap(n, before, after):
    """Mean of 1 - L1 / 2 of an id of n occurrences under two routers at these loads: the sum of the smaller shares, over K."""
    mean = sum(a * b * min(x, y) for p, q in zip(before, after) for x, a in enumerate(binomial(n, p)) for y, b in enumerate(binomial(n, q)))
    return float(mean / (n * K))


def uniform_overlap(experts, k, n_a, n_b):
    p = fractions.Fraction(k, experts)
    mean = sum(a * b * min(fractions.Fraction(x, n_a), fractions.Fraction(y, n_b))
               for x, a in enumerate(binomial(n_a, p)) for y, b in enumerate(binomial(n_b, p)))
    return {"n_experts": experts, "top_k": k, "n_a": n_a, "n_b": n_b, "overlap": float(mean / p)}


def main():
    source = Source(17)
    T = LENGTH * SEQUENCES
    skewed = [0] * 8 + [1] * 5 + [2] * 3 + [3, 4, 5, 6]
    ids = [skewed[int(source.uniform() * len(skewed))] for _ in range(T)]
    predicted = source.integers(T, VOCABULARY)
    targets = [ids[t + 1] if t + 1 < T else -1 for t in range(T)]
    documents = [t * 5 // T + (t // LENGTH) * 10 for t in range(T)]
    padding = [t % LENGTH >= 13 and t // LENGTH in (1, 3) for t in range(T)]
    keep = [not p for p in padding]
    model = [make_experts(source, ids, faithful) for faithful in (0.4, 0.8)]
    reference = [make_experts(source, ids, faithful) for faithful in (0.2, 0.7)]
    dropped = [[[source.uniform() < 0.2 + 0.5 * (t % LENGTH) / LENGTH for _ in range(K)] for t in range(T)] for _ in range(LAYERS)]
    kinds = {"input": ids, "predicted": predicted, "target": targets}
    positions = [t % LENGTH for t in range(T)]
    outputs = {"layers": []}
    for layer in range(LAYERS):
        m, r = model[layer], reference[layer]
        kept = [t for t in range(T) if keep[t]]
        outputs["layers"].append({
            "saturation": {"1": sum(r[t][0] == m[t][0] for t in kept) / len(kept),
                           "3": sum(len(set(r[t]) & set(m[t])) for t in kept) / (K * len(kept))},
            "saturation_at_load": {str(k): sum(len(set(r[t][:k]) & set(m[u][:k])) for t in kept for u in kept) / (k * len(kept) ** 2) for k in (1, K)},
            "overlap_at_load": {str(i): load_overlap(n, load_of(r, keep, K), load_of(m, keep, K)) for i, (_, n) in sorted(counts_by(ids, m, keep, K).items())},
            "vocabulary": {kind: {f"{k}/{least}": vocabulary(kinds[kind], m, keep, k, least) for k in (1, K) for least in (1, 5)}
                           for kind in kinds},
            "coactivation": coactivation(m, keep),
            "locality": locality(m, keep, documents),
            "token_std": std_rows(ids, m, keep, 5),
            "position_std": std_rows(positions, m, keep, 1),
            "continual": {str(k): continual(ids, r, m, keep, k) for k in (1, K)},
            "drops": [drops(m, dropped[layer], keep, p, p + 1) for p in range(LENGTH)],
        })
    co = [[0] * E for _ in range(E)]
    for t in range(T):
        if keep[t]:
            for a, b in zip(model[0][t], model[1][t]):
                co[a][b] += 1
    outputs["co_routing"] = co
    outputs["uniform_overlap"] = [uniform_overlap(*case) for case in ((64, 1, 10, 10), (64, 1, 30, 30), (31, 3, 4, 4), (8, 1, 3, 3), (8, 6, 5, 2), (32, 2, 60, 9))]
    # By hand: two ids that occur once share k / E of their experts; two coins each, 5 / 8.
    check_close("overlap of single tokens", uniform_overlap(64, 8, 1, 1)["overlap"], 0.125, 1e-15)
    check_close("overlap of two coins", uniform_overlap(2, 1, 2, 2)["overlap"], 0.625, 1e-15)
    # By hand: adjacent ranks are two of the three pairs, so the sums over b are 2 for every token with a in the middle,
    # 1 at either end; all pairs give 2 always.
    for row in outputs["layers"][0]["coactivation"]["all_pairs"]:
        check_close("row sum of all pairs", math.fsum(x for x in row), 2.0, 1e-12)
    assert outputs["layers"][0]["vocabulary"]["input"]["1/1"]["ids"] == VOCABULARY
    write("analyses.json", "reference", "scripts/golden/analyses.py; OLMoE arXiv 2409.02060 eq. 5, 6, 8 and its released scripts; OpenMoE arXiv 2402.01739; Mixtral arXiv 2401.04088 table 5",
          {"n_experts": E, "top_k": K, "length": LENGTH, "vocab_size": VOCABULARY, "input_ids": ids, "predicted_ids": predicted, "target_ids": targets,
           "document_ids": documents, "padding": [int(p) for p in padding], "model": model, "reference": reference,
           "dropped": [[[int(d) for d in row] for row in layer] for layer in dropped]},
          outputs, 1e-12, 1e-12, "Counts of 64 tokens and ratios of them: fp64 on both sides, written with 12 digits.")


if __name__ == "__main__":
    main()
