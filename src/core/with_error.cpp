#include "core/with_error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace evenkeel {
namespace {

// For `digits` significant digits of a value other than 0.
int decimals_of(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*e", digits - 1, value);  // the exponent after rounding
  return digits - 1 - std::atoi(std::string(text).substr(std::string(text).find('e') + 1).c_str());
}

// A number below 0 with the sign that type has for it, U+2212, as on the page; exponents keep theirs, "1e-05".
std::string with_minus(std::string number) {
  if (number.starts_with('-')) number.replace(0, 1, "−");
  return number;
}

// An error of this size or less is one of rounding, as where values over seeds are all the same.
double rounding_of(double value) { return 1e-12 * std::max(1.0, std::abs(value)); }

}  // namespace

int decimals_of_error(double error) {
  const int exponent = static_cast<int>(std::floor(std::log10(error)));
  const double leading = std::round(error / std::pow(10.0, exponent - 2));  // 100 .. 1000
  return leading < 355 ? 1 - exponent : -exponent;                          // from 950 on this is two digits of 1000
}

std::string rounded(double value, int decimals, bool sign) {
  if (decimals < 0) value = std::round(value / std::pow(10.0, -decimals)) * std::pow(10.0, -decimals);
  char text[64];
  std::snprintf(text, sizeof text, sign ? "%+.*f" : "%.*f", std::max(0, decimals), value);
  std::string out = text;
  if (out.find_first_of("123456789") == std::string::npos) out.erase(0, out.find('0'));
  return with_minus(std::move(out));
}

std::string with_error(double value, std::optional<double> error, bool sign) {
  if (!error || *error <= rounding_of(value)) return value == 0 ? "0" : rounded(value, decimals_of(value, 3), sign);
  const int decimals = decimals_of_error(*error);
  return rounded(value, decimals, sign) + " ± " + rounded(*error, decimals);
}

std::string three_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return with_minus(text);
}

std::string difference_text(double difference, std::optional<double> half, double limit) {
  if (!half) return with_error(difference, std::nullopt, true) + "; its error is not known";
  const int decimals =
      *half > rounding_of(difference) ? decimals_of_error(*half) : decimals_of(difference == 0 ? 1 : difference, 3);
  const auto text = [&](double value) { return rounded(value, decimals, true); };
  const auto end = [&](double value) {  // the limit itself is not rounded beyond it
    return std::abs(value) < limit ? text(value) : rounded(std::copysign(limit, value), std::max(decimals, 0), true);
  };
  const std::string figures =
      text(difference) + "; 95 %: " + end(difference - *half) + " to " + end(difference + *half);
  return std::abs(difference) > *half ? figures : "no difference beyond noise: " + figures;
}

}  // namespace evenkeel
