"""Scalings of rotary frequencies as transformers' modeling_rope_utils.py computes them, and factors on cosine and sine."""

import math

from record import check_close, write


def plain(case, j, theta=None):
    return (theta or case["theta"]) ** (-2.0 * j / case["dims"])


def linear(case, j):
    return plain(case, j) / case["factor"]


def dynamic(case, j):
    longest = max(case["length"], case["original_length"])
    stretched = case["factor"] * longest / case["original_length"] - (case["factor"] - 1.0)
    return plain(case, j, case["theta"] * stretched ** (case["dims"] / (case["dims"] - 2.0)))


def llama3(case, j):
    frequency = plain(case, j)
    wavelength = 2.0 * math.pi / frequency
    low = case["original_length"] / case["low_freq_factor"]
    high = case["original_length"] / case["high_freq_factor"]
    if wavelength < high:
        return frequency
    if wavelength > low:
        return frequency / case["factor"]
    smooth = (case["original_length"] / wavelength - case["low_freq_factor"]) / (
        case["high_freq_factor"] - case["low_freq_factor"])
    return (1.0 - smooth) * frequency / case["factor"] + smooth * frequency


def yarn(case, j):
    def pair_of(turns):
        return case["dims"] * math.log(case["original_length"] / (turns * 2.0 * math.pi)) / (2.0 * math.log(case["theta"]))

    low, high = pair_of(case.get("beta_fast", 32.0)), pair_of(case.get("beta_slow", 1.0))
    if case.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, case["dims"] - 1)
    if low == high:
        high += 0.001
    ramp = min(1.0, max(0.0, (j - low) / (high - low)))
    frequency = plain(case, j)
    return frequency / case["factor"] * ramp + frequency * (1.0 - ramp)


def longrope(case, j):
    factors = case["long_factor"] if case["length"] > case["original_length"] else case["short_factor"]
    return plain(case, j) / factors[j]


def mscale(factor, scale):
    return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0


def attention_factor(case):
    if case.get("attention_factor"):
        return case["attention_factor"]
    if case["kind"] == "yarn":
        if case.get("mscale") and case.get("mscale_all_dim"):
            return mscale(case["factor"], case["mscale"]) / mscale(case["factor"], case["mscale_all_dim"])
        return mscale(case["factor"], 1.0)
    if case["kind"] == "longrope" and case["factor"] > 1.0:
        return math.sqrt(1.0 + math.log(case["factor"]) / math.log(case["original_length"]))
    return 1.0


def cases():
    def case(name, kind, dims=16, theta=10000.0, length=64, **keys):
        return {"name": name, "kind": kind, "dims": dims, "theta": theta, "length": length, **keys}

    yarn_40 = {"factor": 40.0, "original_length": 4096}
    return [
        case("none", "none"),
        case("none_large_theta", "none", theta=1e6, dims=6),
        case("linear", "linear", factor=4.0),
        case("dynamic_short", "dynamic", factor=2.0, original_length=64),
        case("dynamic_long", "dynamic", factor=2.0, original_length=64, length=200),
        case("llama3", "llama3", dims=64, theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_length=8192),
        case("llama3_other_bounds", "llama3", dims=32, factor=4.0, low_freq_factor=2.0, high_freq_factor=16.0,
             original_length=512),
        case("yarn", "yarn", dims=64, **yarn_40),
        case("yarn_mscale", "yarn", dims=64, mscale=0.707, mscale_all_dim=0.707, **yarn_40),
        case("yarn_two_mscales", "yarn", dims=64, mscale=1.0, mscale_all_dim=0.5, **yarn_40),
        case("yarn_one_mscale", "yarn", dims=64, mscale_all_dim=1.0, **yarn_40),
        case("yarn_not_truncated", "yarn", dims=64, theta=150000.0, factor=32.0, original_length=4096, truncate=False),
        case("yarn_given_factor", "yarn", dims=32, factor=4.0, original_length=128, attention_factor=1.25),
        case("yarn_equal_bounds", "yarn", dims=8, factor=4.0, original_length=32, beta_fast=1.0, beta_slow=1.0),
        case("yarn_shorter", "yarn", dims=16, factor=0.5, original_length=1024, beta_fast=16.0, beta_slow=2.0),
        case("longrope_short", "longrope", dims=8, factor=4.0, original_length=64, short_factor=[1.0, 1.25, 1.5, 2.0],
             long_factor=[1.0, 2.0, 3.0, 4.5]),
        case("longrope_long", "longrope", dims=8, factor=4.0, original_length=64, length=65,
             short_factor=[1.0, 1.25, 1.5, 2.0], long_factor=[1.0, 2.0, 3.0, 4.5]),
        case("longrope_given_factor", "longrope", dims=4, factor=1.0, original_length=64, attention_factor=1.125,
             short_factor=[1.0, 1.5], long_factor=[1.0, 2.0]),
    ]


RULES = {"none": plain, "linear": linear, "dynamic": dynamic, "llama3": llama3, "yarn": yarn, "longrope": longrope}


def main():
    # DeepSeek-V2-Lite, arXiv 2405.04434: m = 0.1 x 0.707 ln 40 + 1.
    check_close("m(0.707)", mscale(40.0, 0.707), 1.2608, rtol=5e-5)
    check_close("gpt-oss", mscale(32.0, 1.0), 1.3466, rtol=5e-5)
    all_cases = cases()
    write(
        "rotary.json", "reference",
        "scripts/golden/rotary.py: the rules of transformers 5.24, modeling_rope_utils.py",
        {"cases": all_cases},
        {"frequencies": {case["name"]: [RULES[case["kind"]](case, j) for j in range(case["dims"] // 2)]
                         for case in all_cases},
         "attention_factor": {case["name"]: attention_factor(case) for case in all_cases}},
        1e-11, 0.0,
        "fp64 on both sides; values are written with 12 digits, hence rtol.", decimals=None)


if __name__ == "__main__":
    main()
