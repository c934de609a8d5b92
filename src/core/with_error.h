// Figures as people read them, in the digits that their errors carry. A minus is U+2212 here, as on the page; files
// that programs read have JSON's or CSV's hyphen.
#pragma once

#include <cmath>
#include <optional>
#include <string>

namespace evenkeel {

// The digits after the point that an error above 0 carries; below 0 they stand before it (-1: tens). The rule of the
// Particle Data Group (Review of Particle Physics, introduction, section 5.3): of the error's first three digits 100 to
// 354 keep two, 355 to 949 keep one, and 950 to 999 become 1000 and keep two.
int decimals_of_error(double error);

// "−0.31" to so many digits after the point. `sign` puts a plus before what is above 0. What rounds to 0 has no sign.
std::string rounded(double value, int decimals, bool sign = false);

// "3.214 ± 0.013". Without an error, or with one of 0 or of rounding alone, which say nothing of digits: three
// significant ones, "3.21".
std::string with_error(double value, std::optional<double> error, bool sign = false);

// A figure without an error in at most three significant digits: "0.003", "0.00165", "1.23e+15".
std::string three_digits(double value);

// A difference and its 95 % interval, of which `half` is half the width: "−0.31; 95 %: −0.35 to −0.27". One whose
// interval holds 0 is called none: "no difference beyond noise: −0.01; 95 %: −0.05 to +0.03". Without a width: "−0.31;
// its error is not known". `limit`: no difference of the figure is farther from 0, and so no end of the interval.
std::string difference_text(double difference, std::optional<double> half, double limit = INFINITY);

}  // namespace evenkeel
