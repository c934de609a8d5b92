#include "report/columns.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace evenkeel::report {
namespace {

constexpr size_t kLeastSharedBytes = 200;  // shorter ones stand where they are used

using Values = std::vector<Json>;

bool all(const Values& values, bool (*holds)(const Json&)) { return std::all_of(values.begin(), values.end(), holds); }

std::optional<Json> as_same(const Values& values) {
  for (const auto& value : values)
    if (!(value == values.front())) return std::nullopt;
  return Json(Json::Object{{"same", values.front()}, {"n", static_cast<int64_t>(values.size())}});
}

std::optional<Json> as_progression(const Values& values) {
  if (!all(values, [](const Json& value) { return value.is_integer(); })) return std::nullopt;
  const int64_t first = values[0].as_int(), step = values[1].as_int() - first;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].as_int() != first + step * static_cast<int64_t>(i)) return std::nullopt;
  return Json(Json::Object{{"from", first}, {"by", step}, {"n", static_cast<int64_t>(values.size())}});
}

std::optional<Json> as_shares(const Values& values, int64_t divisor) {
  constexpr double kLargest = 9007199254740992.0;  // 2^53
  Json counts = Json::array();
  for (const auto& value : values) {
    const double count = std::round(value.as_double() * static_cast<double>(divisor));
    if (!(std::abs(count) < kLargest) || count / static_cast<double>(divisor) != value.as_double()) return std::nullopt;
    counts.push_back(static_cast<int64_t>(count));
  }
  return Json(Json::Object{{"per", divisor}, {"counts", std::move(counts)}});
}

// The fewest digits that read back to the same single-precision number, as a double.
std::optional<Json> as_single(const Values& values) {
  Json digits = Json::array();
  for (const auto& value : values) {
    const auto narrow = static_cast<float>(value.as_double());
    if (!std::isfinite(narrow) || static_cast<double>(narrow) != value.as_double()) return std::nullopt;
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, narrow).ptr;
    double shortest = 0;
    std::from_chars(text, end, shortest);
    if (static_cast<float>(shortest) != narrow) return std::nullopt;
    digits.push_back(shortest);
  }
  return Json(Json::Object{{"single", std::move(digits)}});
}

Json packed(const Values& values, const std::vector<int64_t>& divisors) {
  if (values.size() < 2) return Json(values);
  if (auto out = as_same(values)) return *out;
  if (auto out = as_progression(values)) return *out;
  if (!all(values, [](const Json& value) { return value.is_number(); }) ||
      all(values, [](const Json& value) { return value.is_integer(); }))
    return Json(values);
  for (const int64_t divisor : divisors)
    if (auto out = as_shares(values, divisor)) return *out;
  if (auto out = as_single(values)) return *out;
  return Json(values);
}

}  // namespace

Json ColumnPool::put(const Values& values, const std::vector<int64_t>& divisors) {
  return share(packed(values, divisors));
}

Json ColumnPool::share(Json value) {
  std::string key = value.dump();
  if (key.size() < kLeastSharedBytes) return value;
  const auto [entry, is_new] = index_of_.emplace(std::move(key), static_cast<int64_t>(pool_.size()));
  if (is_new) pool_.push_back(std::move(value));
  return Json::Object{{"at", entry->second}};
}

}  // namespace evenkeel::report
