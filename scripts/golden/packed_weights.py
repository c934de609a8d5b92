"""Weights stored in 4 and 8 bits, decoded: MXFP4 blocks, and fp8 on a grid of 128 by 128 blocks. Writes packed_weights.json.

Sources: OCP Microscaling Formats 1.0 (E2M1 elements, E8M0 scales); OCP 8-bit Floating Point 1.0 (E4M3); the layouts are those of
openai/gpt-oss (weights.py: the low half of a byte is the earlier element) and deepseek-ai/DeepSeek-V3 (fp8_cast_bf16.py: W =
fp8 * scale, blocks of 128 rows and columns, fewer at the edges).

Every number is made bit by bit from its definition, as a Python fraction; the only rounding is the one to bf16, to the nearest
with ties to the even one.
"""

import math
from fractions import Fraction

from record import Source, write


def power_of_2(exponent):
    return Fraction(2) ** exponent


def e2m1(code):
    """Sign, two bits of exponent (bias 1), one bit of mantissa."""
    sign, exponent, mantissa = code >> 3, code >> 1 & 3, code & 1
    value = Fraction(mantissa, 2) if exponent == 0 else (1 + Fraction(mantissa, 2)) * power_of_2(exponent - 1)
    return -value if sign else value


def e4m3(code):
    """Sign, four bits of exponent (bias 7), three of mantissa; no infinities."""
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    if exponent == 15 and mantissa == 7:
        raise ValueError("no number")
    value = Fraction(mantissa, 8) * power_of_2(-6) if exponent == 0 else (1 + Fraction(mantissa, 8)) * power_of_2(exponent - 7)
    return -value if sign else value


def bf16(value):
    """The nearest bf16 number: 8 significant bits, exponents down to -126, then subnormals."""
    if value == 0:
        return 0.0
    exponent = max(math.frexp(float(abs(value)))[1] - 8, -133)
    steps = abs(value) / power_of_2(exponent)
    whole, rest = divmod(steps, 1)
    whole = int(whole)
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1):
        whole += 1
    return math.copysign(float(whole * power_of_2(exponent)), value)


def mxfp4_case(source):
    """Every element under scales from the least to the greatest that bf16 holds all of; then random blocks. Shape [2, 3, 64]."""
    shape = [2, 3, 2]  # of the scales
    every = [low | (low + 1) % 16 << 4 for low in range(16)]
    blocks = [every] * 6 + [source.integers(16, 256) for _ in range(6)]
    scales = [0, 1, 7, 126, 127, 252] + [120 + s for s in source.integers(6, 12)]
    values = []
    for codes, scale in zip(blocks, scales, strict=True):
        for byte in codes:
            for code in (byte & 15, byte >> 4):
                exact = e2m1(code) * power_of_2(scale - 127)
                if Fraction(bf16(exact)) != exact:
                    raise SystemExit("MXFP4 is not exact in bf16")
                values.append(bf16(exact))
    flat = [byte for codes in blocks for byte in codes]
    return {"blocks": {"shape": [*shape, 16], "values": flat}, "scales": {"shape": shape, "values": scales}}, [*shape[:2], 64], values


def fp8_case(source, rows, columns, scales_of):
    """A matrix whose last blocks are smaller; every byte but the two that are no number is among them."""
    codes = [code for code in range(256) if code & 0x7F != 0x7F]
    data = [codes[i % len(codes)] if i < len(codes) else codes[source.integers(1, len(codes))[0]] for i in range(rows * columns)]
    block_rows, block_columns = -(-rows // 128), -(-columns // 128)
    stored, factors = scales_of(source, block_rows * block_columns)
    values = [bf16(e4m3(data[row * columns + column]) * factors[row // 128 * block_columns + column // 128]) for row in range(rows) for column in range(columns)]
    return {"weight": {"shape": [rows, columns], "values": data}, "scales": {"shape": [block_rows, block_columns], "values": stored}}, [rows, columns], values


def fp32_scales(source, n):
    """Multiples of 1/1024 below 4: of at most 12 bits, so that a product with an element of 4 is exact in fp32."""
    stored = [abs(value) + 1 / 1024 for value in source.normals(n, 0.7)]
    return stored, [Fraction(value) for value in stored]


def e8m0_scales(source, n):
    stored = [118 + value for value in source.integers(n, 14)]
    return stored, [power_of_2(value - 127) for value in stored]


def main():
    source = Source(31)
    inputs, outputs = {}, {}
    cases = {
        "mxfp4": lambda: mxfp4_case(source),
        "fp8_rows": lambda: fp8_case(source, 130, 3, fp32_scales),  # two rows beyond the first block
        "fp8_columns": lambda: fp8_case(source, 2, 259, fp32_scales),  # three columns beyond the second
        "fp8_e8m0": lambda: fp8_case(source, 129, 5, e8m0_scales),
    }
    for name, make in cases.items():
        inputs[name], shape, values = make()
        outputs[name] = {"shape": shape, "values": values}
    write("packed_weights.json", "reference", "OCP Microscaling Formats 1.0, OCP 8-bit Floating Point 1.0; openai/gpt-oss weights.py, deepseek-ai/DeepSeek-V3 fp8_cast_bf16.py",
          inputs, outputs, 0.0, 0.0, "compared bit by bit: every value is a bf16 number, of at most 12 digits or told apart by them", decimals=None)


if __name__ == "__main__":
    main()
