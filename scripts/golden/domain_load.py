"""Loads of two made data sets, window by window. Writes domain_load.json.

Per layer and domain, from the list of each token's experts (best first), by definition:
  load, mri, entropy, cv, dead      as in routing_stats.py; share of tokens = tokens that reach the expert / tokens
  top-1                             the same of the first choices
  above, below                      experts with more than twice, less than half of the uniform share
  similarity                        Pearson's correlation of the loads; overlap = 1 - sum |p - q| / 2
  interval of the MRI               Wilson's score interval at 1 - 0.05 / E, with Student's t of W - 1 in place of the normal
                                    quantile, of each expert's share p of the tokens, with n = T / d tokens: d = its variance between windows (ratio estimator
                                    W / (W - 1) sum_w (n_we - p T_w)^2 / T^2) / (p (1 - p) / T), at least the sum of the former
                                    over experts / the sum of the latter, at least 1; the largest low and the largest high end
  intervals of entropy, cv, correlation and overlap
                                    bootstrap: in each of 200 draws every window counts Poisson(1) times, u < P(0), P(0) + P(1), ... of
                                    the stream of (seed 1 and data set, "window bootstrap", window); 2 x figure - mean of the draws, to each
                                    side Student's t of W - 1 x their standard deviation x sqrt(W / (W - 1)); W the fewer windows of two
"""

import math
import statistics

from record import Source, check_close, write
from rng import Stream, combine_bits

E, K = 6, 2
# Lengths of each domain's windows, and how much its first experts are preferred, by window.
DOMAINS = {"plain": ([5, 5, 5, 2], [0.0, 0.0, 0.0, 0.0]), "topical": ([8, 8, 8, 8, 8, 8, 3], [0.9, 0.1, 0.9, 0.1, 0.8, 0.2, 0.9])}


def draw_tokens(source, n, preferred):
    tokens = []
    for _ in range(n):
        experts = list(range(E))
        for i in range(K):
            j = i + int(source.uniform() * (E - i))
            experts[i], experts[j] = experts[j], experts[i]
        if source.uniform() < preferred:
            experts.remove(3)
            experts.insert(0, 3)
        tokens.append(experts[:K])
    return tokens


def load_figures(lists):
    counts = [sum(e in chosen for chosen in lists) for e in range(E)]
    shares = [n / sum(counts) for n in counts]
    spread = math.sqrt(math.fsum((s - 1 / E) ** 2 for s in shares) / E)
    return {"counts": counts, "mri": max(counts) / len(lists), "max_share": max(shares), "cv": spread * E,
            "entropy": -math.fsum(s * math.log(s) for s in shares if s) / math.log(E), "dead": counts.count(0),
            "above": sum(s > 2 / E for s in shares), "below": sum(s < 0.5 / E for s in shares)}


def interval(windows):
    T, W = sum(map(len, windows)), len(windows)
    z = T_QUANTILE_OF_ALL[W - 1]
    p = [sum(e in chosen for window in windows for chosen in window) / T for e in range(E)]
    between = [W / (W - 1) * math.fsum((sum(e in chosen for chosen in window) - p[e] * len(window)) ** 2 for window in windows) / T ** 2 for e in range(E)]
    independent = [x * (1 - x) / T for x in p]
    least = max(1.0, math.fsum(between) / math.fsum(independent))
    ends = []
    for x, b, i in zip(p, between, independent):
        n = T / max(least, b / i if i > 0 else least)
        center, half = x + z * z / (2 * n), z * math.sqrt(x * (1 - x) / n + z * z / (4 * n * n))
        ends.append(((center - half) / (1 + z * z / n), (center + half) / (1 + z * z / n)))
    return {"low": max(K / E, max(low for low, _ in ends)), "high": max(high for _, high in ends), "effective_tokens": T / least}


REPLICATES = 200
# Of Student's t, by degrees of freedom, from mpmath.betainc at 30 digits: 97.5 %, and 1 - 0.05 / (2 E).
T_QUANTILE = {3: 3.1824463052842624, 6: 2.4469118511449692}
T_QUANTILE_OF_ALL = {3: 6.2315434733642493, 6: 3.8629906148398642}


def poisson(u):
    k, term, total = 0, math.exp(-1), math.exp(-1)
    while u >= total:
        k += 1
        term /= k
        total += term
    return k


def drawn_counts(windows, data):
    """Tokens by expert in each draw."""
    draws = [[0] * E for _ in range(REPLICATES)]
    for place, window in enumerate(windows):
        stream = Stream(combine_bits(1, data), "window bootstrap", place)
        counts = [sum(e in chosen for chosen in window) for e in range(E)]
        for draw in draws:
            weight = poisson((stream.next() >> 11) * 2.0**-53)
            for e in range(E):
                draw[e] += weight * counts[e]
    return draws


def bootstrap_interval(figure, values, n_windows, low, high):
    centre = 2 * figure - statistics.fmean(values)
    half = T_QUANTILE[n_windows - 1] * statistics.stdev(values) * math.sqrt(n_windows / (n_windows - 1))
    return [max(low, min(figure, centre - half)), min(high, max(figure, centre + half))]


def shape_of(counts):
    """Entropy and cv of a load."""
    shares = [n / sum(counts) for n in counts]
    return -math.fsum(s * math.log(s) for s in shares if s) / math.log(E), statistics.pstdev(shares) * E


def pearson(a, b):
    return statistics.correlation(a, b)


def overlap(a, b):
    return 1 - math.fsum(abs(x / sum(a) - y / sum(b)) for x, y in zip(a, b)) / 2


def main():
    source = Source(31)
    windows = {name: [draw_tokens(source, n, p) for n, p in zip(*shape)] for name, shape in DOMAINS.items()}
    figures = {}
    for name, parts in windows.items():
        tokens = [chosen for window in parts for chosen in window]
        figures[name] = {"all": load_figures(tokens), "first": load_figures([chosen[:1] for chosen in tokens]), "interval": interval(parts)}
    (a, b) = (figures[name] for name in DOMAINS)
    similarity = {"correlation": pearson(a["all"]["counts"], b["all"]["counts"]), "overlap": overlap(a["all"]["counts"], b["all"]["counts"]),
                  "top1_correlation": pearson(a["first"]["counts"], b["first"]["counts"]), "top1_overlap": overlap(a["first"]["counts"], b["first"]["counts"])}
    draws = [drawn_counts(parts, data) for data, parts in enumerate(windows.values())]
    for (name, parts), drawn in zip(windows.items(), draws):
        shapes = [shape_of(counts) for counts in drawn if sum(counts)]
        for i, (figure, most) in enumerate((("entropy", 1.0), ("cv", math.inf))):
            figures[name][f"{figure}_interval"] = bootstrap_interval(shape_of(figures[name]["all"]["counts"])[i], [shape[i] for shape in shapes], len(parts), 0.0, most)
    pairs = [(x, y) for x, y in zip(*draws) if sum(x) and sum(y)]
    fewest = min(len(parts) for parts in windows.values())
    for figure, of, least in (("correlation", pearson, -1.0), ("overlap", overlap, 0.0)):
        similarity[f"{figure}_interval"] = bootstrap_interval(similarity[figure], [of(x, y) for x, y in pairs], fewest, least, 1.0)
    # By hand: overlap of [1, 1, 2] and [2, 1, 1] of 4 is 1 - (1 + 0 + 1) / 8.
    check_close("overlap", overlap([1, 1, 2], [2, 1, 1]), 0.75, 1e-15)
    check_close("correlation", pearson([1, 1, 2], [2, 1, 1]), -0.5, 1e-12)
    assert figures["topical"]["interval"]["effective_tokens"] < 0.8 * sum(DOMAINS["topical"][0])
    write("domain_load.json", "reference", "scripts/golden/domain_load.py; MRI: arXiv 2503.05029; domain specialization: arXiv 2409.02060 eq. 7",
          {"n_experts": E, "top_k": K, "windows": windows}, {"figures": figures, "similarity": similarity}, 1e-11, 1e-12,
          "Counts of some dozen tokens; fp64 on both sides, written with 12 digits.")


if __name__ == "__main__":
    main()
