"""Standard errors of means over clusters of tokens. Writes cluster_mean.json.

By definition, for clusters of n_c tokens with means m_c: M = sum n_c m_c / sum n_c, and
  se = sqrt(C / (C - 1) sum (n_c (m_c - M))^2) / sum n_c
The same by the linearised ratio estimator (Cochran, Sampling Techniques, chapter 6): y_c = n_c m_c, x_c = n_c, R = sum y / sum x,
  se = sqrt(s^2 / C) / mean(x), s^2 = sum (y_c - R x_c)^2 / (C - 1)
and, with equal n_c, statistics.stdev(m) / sqrt(C).
"""

import math
import statistics

from record import Source, check_close, write


def standard_error(tokens, means):
    total, C = sum(tokens), len(tokens)
    M = math.fsum(n * m for n, m in zip(tokens, means)) / total
    se = math.sqrt(C / (C - 1) * math.fsum((n * (m - M)) ** 2 for n, m in zip(tokens, means))) / total
    residuals = [n * m - M * n for n, m in zip(tokens, means)]
    check_close("ratio estimator", se, math.sqrt(math.fsum(r * r for r in residuals) / (C - 1) / C) / statistics.fmean(tokens), 1e-12)
    return M, se


def main():
    source = Source(47)
    cases = {}
    for name, tokens in {"equal": [8] * 9, "last_shorter": [128] * 20 + [17], "documents": [3, 250, 41, 7, 1, 90, 12]}.items():
        means, others = source.normals(len(tokens), 0.5, 4.0), source.normals(len(tokens), 0.5, 3.0)
        M, se = standard_error(tokens, means)
        cases[name] = {"tokens": tokens, "means": means, "others": others, "mean": M, "se": se,
                       "paired_se": standard_error(tokens, [a - b for a, b in zip(means, others)])[1]}
    equal = cases["equal"]
    check_close("equal clusters", equal["se"], statistics.stdev(equal["means"]) / math.sqrt(9), 1e-12)
    inputs = {name: {key: case[key] for key in ("tokens", "means", "others")} for name, case in cases.items()}
    outputs = {name: {key: case[key] for key in ("mean", "se", "paired_se")} for name, case in cases.items()}
    write("cluster_mean.json", "reference", "scripts/golden/cluster_mean.py; Cochran, Sampling Techniques, 3rd edition, chapter 6", inputs, outputs, 1e-11, 0,
          "fp64 on both sides, written with 12 digits.")


if __name__ == "__main__":
    main()
