#include "model/rope_scaling.h"

#include <cmath>
#include <functional>

#include "core/got_at.h"
#include "core/kinds.h"

namespace evenkeel::model {
namespace {

constexpr KindTable kTable{"model.rope_scaling", "none"};

struct NoPlace {};
using Scaling = ops::RotaryScaling;

// Checks of a key of any kind that has it.
class Check {
 public:
  explicit Check(const ConfigNode& table) : table_(table) {}
  void more_than_0(const char* key, double value) const {
    check(value > 0 && std::isfinite(value), key, value, "more than 0");
  }
  void not_negative(const char* key, double value) const {
    check(value >= 0 && std::isfinite(value), key, value, "0 (not given) or more");
  }
  void length(int64_t value) const {
    check(value >= 1 && value < (int64_t{1} << 31), "original_length", value, "1..2^31 (it has no default)");
  }
  template <class T>
  void operator()(bool holds, const char* key, const T& value, const std::string& need) const {
    check(holds, key, value, need);
  }

 private:
  template <class T>
  void check(bool holds, const char* key, const T& value, const std::string& need) const {
    require<ConfigError>(holds, got_at(place_of(table_, key), join_path(kTable.path, key)), value, "; need ", need);
  }
  const ConfigNode& table_;
};

void check_values(const ops::NoScaling&, const Check&) {}
void check_values(const ops::LinearScaling& s, const Check& check) { check.more_than_0("factor", s.factor); }
void check_values(const ops::DynamicScaling& s, const Check& check) {
  check(s.factor >= 1, "factor", s.factor, "1 or more");
  check.length(s.original_length);
}
void check_values(const ops::Llama3Scaling& s, const Check& check) {
  check.more_than_0("factor", s.factor);
  check.more_than_0("low_freq_factor", s.low_freq_factor);
  check(s.high_freq_factor > s.low_freq_factor, "high_freq_factor", s.high_freq_factor,
        "more than low_freq_factor = " + format_double(s.low_freq_factor));
  check.length(s.original_length);
}
void check_values(const ops::YarnScaling& s, const Check& check) {
  check.more_than_0("factor", s.factor);
  check.length(s.original_length);
  check.more_than_0("beta_slow", s.beta_slow);
  check(s.beta_fast >= s.beta_slow, "beta_fast", s.beta_fast, "at least beta_slow = " + format_double(s.beta_slow));
  check.not_negative("attention_factor", s.attention_factor);
  check.not_negative("mscale", s.mscale);
  check.not_negative("mscale_all_dim", s.mscale_all_dim);
}
void check_values(const ops::LongropeScaling& s, const Check& check) {
  for (const auto& [key, factors] : {std::pair("short_factor", &s.short_factor), {"long_factor", &s.long_factor}})
    for (const double factor : *factors) check.more_than_0(key, factor);
  check.more_than_0("factor", s.factor);
  check(s.original_length >= 2, "original_length", s.original_length, "2 or more (it has no default)");
  check.not_negative("attention_factor", s.attention_factor);
}

template <class Options>
std::unique_ptr<Scaling> make(const NoPlace&, Options options, const ConfigNode& config) {
  check_values(options, Check(config));
  return std::make_unique<Scaling>(std::move(options));
}

template <class... Options>
std::vector<Kind<Scaling, NoPlace>> kinds_of(std::type_identity<std::variant<Options...>>) {
  return {{Options::kName, Options::kHelp, kind_factory(kTable, make<Options>)}...};
}

const std::vector<Kind<Scaling, NoPlace>>& scaling_kinds() {
  static const auto kinds = kinds_of(std::type_identity<Scaling>{});
  return kinds;
}

}  // namespace

void read_value(const ConfigNode& node, const std::string& path, RopeScaling& out) {
  if (!node.is_table()) fail_kind(node, path, "a table such as {kind = \"linear\", factor = 4.0}");
  out.value = *chosen_kind(scaling_kinds(), kTable, node).factory.make({}, node);
}

Json to_json(const RopeScaling& scaling) {
  return std::visit(
      [](const auto& options) {
        return evenkeel::to_json(WithKind{options.kName, options});
      },
      scaling.value);
}

void list_keys(const RopeScaling&, const std::string& path, std::vector<ConfigKey>& out) {
  const auto keys = keys_of_kinds(scaling_kinds(), path);
  out.insert(out.end(), keys.begin(), keys.end());
}

void check_rope_scaling(const RopeScaling& scaling, int64_t n_pairs, const std::string& where) {
  const auto* longrope = std::get_if<ops::LongropeScaling>(&scaling.value);
  if (longrope == nullptr) return;
  for (const auto& [key, factors] :
       {std::pair("short_factor", &longrope->short_factor), {"long_factor", &longrope->long_factor}})
    require<ConfigError>(static_cast<int64_t>(factors->size()) == n_pairs, got_at(where, join_path(kTable.path, key)),
                         "a list of ", factors->size(), "; need ", n_pairs,
                         " numbers, one for each pair of rotated features");
}

}  // namespace evenkeel::model
