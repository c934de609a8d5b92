#include "core/units.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// The number at the front of `text` with its multiplier; `rest` is what follows. NaN when there is none.
double leading_number(std::string_view text, std::string_view& rest) {
  double value = 0.0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc()) return NAN;
  rest = text.substr(static_cast<size_t>(result.ptr - text.data()));
  if (!rest.empty()) {
    const int exponent = rest[0] == 'k' ? 3 : rest[0] == 'M' ? 6 : rest[0] == 'B' ? 9 : rest[0] == 'T' ? 12 : 0;
    const bool stands_alone = rest.size() == 1 || rest[1] == ' ';
    if (exponent > 0 && stands_alone) {
      std::string digits(text.data(), result.ptr);
      if (digits.find('e') == digits.npos &&
          digits.find('E') == digits.npos) {  // 4.03k is read as 4.03e3: the product 4.03 * 1e3 is rounded
        digits += "e" + std::to_string(exponent);
        if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc()) return NAN;
      } else {
        value *= std::pow(10, exponent);
      }
      rest.remove_prefix(1);
    }
  }
  rest = trimmed(rest);
  return value;
}

}  // namespace

Duration parse_duration(std::string_view text, Unit bare_unit, std::string_view where) {
  std::string_view rest;
  const double value = leading_number(trimmed(text), rest);
  Duration out{value, bare_unit};
  bool known = true;
  if (rest == "step" || rest == "steps") {
    out.unit = Unit::steps;
  } else if (rest == "token" || rest == "tokens") {
    out.unit = Unit::tokens;
  } else if (rest == "epoch" || rest == "epochs") {
    out.unit = Unit::epochs;
  } else {
    known = rest.empty();
  }
  require<ConfigError>(
      known && std::isfinite(value) && value >= 0 && value < 1e18, where, ": got '", text,
      "'; need a number that is not negative, below 1e18, with a unit: steps, tokens or epochs, as in \"2M tokens\"");
  return out;
}

std::string to_string(const Duration& duration) {
  constexpr const char* kNames[] = {"", " steps", " tokens", " epochs"};
  return format_double(duration.value) + kNames[static_cast<int>(duration.unit)];
}

std::optional<double> count_of(std::string_view text) {
  std::string_view rest;
  const double value = leading_number(trimmed(text), rest);
  return std::isfinite(value) && rest.empty() ? std::optional(value) : std::nullopt;
}

double parse_count(std::string_view text, std::string_view where) {
  const auto value = count_of(text);
  require<ConfigError>(value.has_value(), where, ": got '", text,
                       "'; need a number, with k, M or B for 10^3, 10^6, 10^9");
  return *value;
}

namespace {
std::string format(const char* pattern, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, value);
  return buffer;
}
}  // namespace

std::string human_count(double value) {
  constexpr const char* kSuffixes[] = {"", "k", "M", "B", "T"};
  int power = 0;
  while (std::abs(value) >= 999.5 && power < 4) {
    value /= 1000;
    ++power;
  }
  const char* pattern = power == 0 && value == std::floor(value) ? "%.0f"
                        : std::abs(value) < 9.995                ? "%.2f"
                        : std::abs(value) < 99.95                ? "%.1f"
                                                                 : "%.0f";
  return format(pattern, value) + kSuffixes[power];
}

std::string human_seconds(double seconds) {
  char buffer[64];
  if (seconds < 59.95) return format("%.1fs", seconds);
  const auto total = static_cast<int64_t>(std::llround(seconds));
  if (total < 3600) {
    std::snprintf(buffer, sizeof buffer, "%dm %02ds", static_cast<int>(total / 60), static_cast<int>(total % 60));
  } else {
    std::snprintf(buffer, sizeof buffer, "%lldh %02dm", static_cast<long long>(total / 3600),
                  static_cast<int>(total / 60 % 60));
  }
  return buffer;
}

std::string human_bytes(double bytes) {
  constexpr const char* kSuffixes[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  int power = 0;
  while (bytes >= 1024 && power < 4) {
    bytes /= 1024;
    ++power;
  }
  return format(power == 0 ? "%.0f" : "%.1f", bytes) + kSuffixes[power];
}

namespace {
std::string byte_rate(double per_second) {
  constexpr const char* kUnits[] = {" B/s", " KB/s", " MB/s", " GB/s", " TB/s"};
  size_t power = 0;
  for (; per_second >= 999.5 && power + 1 < std::size(kUnits); ++power) per_second /= 1000;
  return human_count(per_second) + kUnits[power];
}
}  // namespace

std::string human_rate(double per_second, const std::string& things) {
  if (things == "MB") return byte_rate(1e6 * per_second);  // in the unit that fits
  if (things == "GB") return byte_rate(1e9 * per_second);
  if (per_second >= 1 || per_second <= 0) return human_count(per_second) + " " + things + "/s";
  return human_seconds(1 / per_second) + " a " + things.substr(0, things.size() - (things.ends_with('s') ? 1 : 0));
}

}  // namespace evenkeel
