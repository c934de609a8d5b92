"""Figures as text, in the digits that their errors carry: src/core/with_error.h for the scripts that print tables."""
import math


def decimals_of_error(error):
    """The rule of the Particle Data Group: an error's first two digits up to 35.4, one from 35.5 on, two again from 95 on."""
    exponent = math.floor(math.log10(error))
    return 1 - exponent if round(error / 10.0 ** (exponent - 2)) < 355 else -exponent


def rounded(value, decimals):
    text = f"{round(value, decimals):.{max(0, decimals)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def with_error(value, error):
    """"4.11 ± 0.11"; of an error of 0 or None the value with three significant digits."""
    if not error or error <= 1e-12 * max(1, abs(value)):
        return rounded(value, 2 - int(f"{value:.2e}".split("e")[1])) if value else "0"
    decimals = decimals_of_error(error)
    return f"{rounded(value, decimals)} ± {rounded(error, decimals)}"
