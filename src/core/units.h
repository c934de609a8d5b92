// Durations with units ("2M tokens", "400 steps", "1 epoch", or a bare fraction of a phase) and counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel {

enum class Unit { fraction, steps, tokens, epochs };

struct Duration {
  double value = 0.0;
  Unit unit = Unit::fraction;
  bool operator==(const Duration&) const = default;
};

// "NUMBER[k|M|B|T] UNIT"; a bare number has `bare_unit`. Throws ConfigError "WHERE: got ...; need ...".
// Negative or non-finite values are errors.
Duration parse_duration(std::string_view text, Unit bare_unit, std::string_view where);
std::string to_string(const Duration& duration);  // parse_duration reads it back to the same value

// "20B" -> 20e9. k, M, B, T are 10^3, 10^6, 10^9, 10^12. None: text that is no such number.
std::optional<double> count_of(std::string_view text);
double parse_count(std::string_view text, std::string_view where);

std::string human_count(double value);      // 1234567 -> "1.23M"
std::string human_seconds(double seconds);  // 3725 -> "1h 02m"
std::string human_bytes(double bytes);      // 1536 -> "1.5 KiB"
// Of things, named in the plural, that are done in a second: "3.2 MB/s", "12.3k tokens/s"; fewer than one: "36s a
// model".
std::string human_rate(double per_second, const std::string& things);

}  // namespace evenkeel
