// Sources: NeoX AnnealingLR and its infinite branch, Megatron OptimizerParamScheduler, arXiv 2403.08763 §5
// (infinite schedules), 2404.06395 (WSD). Deviations, stated in docs/cpt.md: everything is clamped past the
// end; exponential anneals need lr_min > 0.
#include "optim/schedule.h"

#include <cmath>
#include <numbers>

namespace evenkeel::optim {

int64_t duration_in_steps(const Duration& duration, const PhaseLength& length, const std::string& where) {
  double steps = 0;
  switch (duration.unit) {
    case Unit::fraction: steps = std::round(duration.value * static_cast<double>(length.total_steps)); break;
    case Unit::steps: steps = std::round(duration.value); break;
    case Unit::tokens: steps = std::ceil(duration.value / static_cast<double>(length.tokens_per_step)); break;
    case Unit::epochs:
      fail<ConfigError>(where, ": got '", to_string(duration), "'; need a fraction of the phase, steps or tokens");
  }
  if (duration.value > 0 && steps < 1) steps = 1;
  require<ConfigError>(steps <= static_cast<double>(length.total_steps), where, ": got '", to_string(duration), "', ",
                       steps, " steps; need at most the phase's ", length.total_steps, " steps");
  return static_cast<int64_t>(steps);
}

double Schedule::rate(int64_t update) const {
  const int64_t n = std::clamp<int64_t>(update, 1, std::max<int64_t>(total_steps_, 1));
  if (n <= warmup_steps_)
    return lr_start_ + (lr_max_ - lr_start_) * static_cast<double>(n) / static_cast<double>(warmup_steps_);
  return rate_after_warmup(n);
}

namespace {

// Of the final decay of a wsd schedule.
enum class Shape { linear, cosine, exponential, minus_sqrt };
constexpr Named<Shape> kShapes[] = {{"linear", Shape::linear},
                                    {"cosine", Shape::cosine},
                                    {"exponential", Shape::exponential},
                                    {"minus_sqrt", Shape::minus_sqrt}};
std::span<const Named<Shape>> names_of(Shape) { return kShapes; }

struct Options {
  double lr_max = 0, lr_min = 0, lr_start = 0, lr_constant = 0, timescale = 1;
  Duration warmup, cooldown, constant, decay;
  Shape shape = Shape::linear;
};

constexpr const char* kLength = "fraction of the phase, steps or tokens";

// What a kind reads beyond lr_max, lr_start and warmup.
struct Use {
  bool lr_min = false, lr_constant = false, cooldown = false, constant = false, decay = false, shape = false,
       timescale = false;
};

template <Use kUse>
struct KindOptions : Options {
  static void visit_fields(auto& o, auto&& field) {
    field("lr_max", o.lr_max, {"peak learning rate", "", kRequired});
    field("lr_start", o.lr_start, "learning rate that the warm-up starts from");
    field("warmup", o.warmup, {"length of the linear warm-up", kLength});
    if constexpr (kUse.lr_min) field("lr_min", o.lr_min, "learning rate at the end");
    if constexpr (kUse.lr_constant)
      field("lr_constant", o.lr_constant, {"learning rate between cool-down and anneal", "", kRequired});
    if constexpr (kUse.cooldown)
      field("cooldown", o.cooldown, {"length of the way from lr_max to lr_constant", kLength});
    if constexpr (kUse.constant) field("constant", o.constant, {"length at lr_constant", kLength});
    if constexpr (kUse.decay) field("decay", o.decay, {"length of the final decay", kLength});
    if constexpr (kUse.shape) field("shape", o.shape, "linear, cosine, exponential or minus_sqrt");
    if constexpr (kUse.timescale) field("timescale", o.timescale, "steepness of the inverse-square-root cool-down");
  }
};

// For a message: where the key stands, and its name.
std::string place_and_key(const ConfigNode& config, const char* key) {
  return place_of(config, key) + ": schedule." + key;
}

template <class O>
O read_schedule(const ConfigNode& config) {
  WithKind<O> table;
  evenkeel::read_value(config, "schedule", table);
  const O& options = table.options;
  const auto check = [&](const char* key, double value) {
    require<ConfigError>(value >= 0 && value <= 1e3, place_and_key(config, key), ": got ", value, "; need 0..1000");
  };
  check("lr_max", options.lr_max);
  check("lr_min", options.lr_min);
  check("lr_start", options.lr_start);
  check("lr_constant", options.lr_constant);
  require<ConfigError>(config.find("lr_max") != nullptr, config.where, ": got a schedule without lr_max; need lr_max");
  require<ConfigError>(options.lr_min <= options.lr_max, place_and_key(config, "lr_min"), ": got ", options.lr_min,
                       "; need at most lr_max = ", options.lr_max);
  return options;
}

double cosine_between(double from, double to, double progress) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

// A schedule from a function of the steps after the warm-up.
class FunctionSchedule : public Schedule {
 public:
  using Rate = std::function<double(int64_t update)>;
  FunctionSchedule(const Options& o, int64_t warmup_steps, const PhaseLength& length, Rate rate, Json options)
      : Schedule(length.total_steps, warmup_steps, o.lr_start, o.lr_max),
        rate_(std::move(rate)),
        options_(std::move(options)) {}
  Json options() const override { return options_; }

 private:
  double rate_after_warmup(int64_t update) const override { return rate_(update); }
  Rate rate_;
  Json options_;
};

template <class O>
std::unique_ptr<Schedule> make(const char* kind, const O& o, const ConfigNode& config, const PhaseLength& length,
                               const std::function<FunctionSchedule::Rate(int64_t warmup_steps)>& after_warmup) {
  const int64_t warmup_steps = duration_in_steps(o.warmup, length, place_and_key(config, "warmup"));
  Json options = to_json(o);
  options["kind"] = kind;
  return std::make_unique<FunctionSchedule>(o, warmup_steps, length, after_warmup(warmup_steps), options);
}

double progress_of(int64_t update, int64_t begin, int64_t end) {
  return std::clamp(static_cast<double>(update - begin) / static_cast<double>(std::max<int64_t>(end - begin, 1)), 0.0,
                    1.0);
}

template <class O>
std::unique_ptr<Schedule> make_constant(const O& o, const ConfigNode& config, const PhaseLength& length) {
  return make("constant", o, config, length, [=](int64_t) { return [=](int64_t) { return o.lr_max; }; });
}

template <class O>
std::unique_ptr<Schedule> make_linear(const O& o, const ConfigNode& config, const PhaseLength& length) {
  return make("linear", o, config, length, [=](int64_t W) {
    return [=](int64_t n) { return o.lr_max + (o.lr_min - o.lr_max) * progress_of(n, W, length.total_steps); };
  });
}

template <class O>
std::unique_ptr<Schedule> make_cosine(const O& o, const ConfigNode& config, const PhaseLength& length) {
  return make("cosine", o, config, length, [=](int64_t W) {
    return [=](int64_t n) { return cosine_between(o.lr_max, o.lr_min, progress_of(n, W, length.total_steps)); };
  });
}

template <class O>
std::unique_ptr<Schedule> make_inverse_sqrt(const O& o, const ConfigNode& config, const PhaseLength& length) {
  return make("inverse_sqrt", o, config, length, [=](int64_t W) {
    return [=](int64_t n) {
      const double scale = std::sqrt(static_cast<double>(std::max<int64_t>(W, 1)) / static_cast<double>(n));
      return std::max(o.lr_max * scale, o.lr_min);
    };
  });
}

double wsd_coefficient(Shape shape, double q) {
  switch (shape) {
    case Shape::linear: return 1 - q;
    case Shape::cosine: return 0.5 * (1 + std::cos(std::numbers::pi * q));
    case Shape::exponential: return 2 * std::pow(0.5, q) - 1;
    case Shape::minus_sqrt: return 1 - std::sqrt(q);
  }
  throw std::logic_error("a shape without a formula");
}

template <class O>
std::unique_ptr<Schedule> make_wsd(const O& o, const ConfigNode& config, const PhaseLength& length) {
  const int64_t D = duration_in_steps(o.decay, length, place_and_key(config, "decay"));
  const O defaults;  // which resolved.json writes out
  const auto require_default = [&](const char* key, bool is_default) {
    require<ConfigError>(
        D > 0 || is_default, place_and_key(config, key),
        ": got it in a wsd schedule without decay, where it changes nothing; need decay too, as in decay = 0.1");
  };
  require_default("lr_min", o.lr_min == defaults.lr_min);
  require_default("shape", o.shape == defaults.shape);
  return make("wsd", o, config, length, [=](int64_t W) {
    require<ConfigError>(W + D <= length.total_steps, place_and_key(config, "decay"), ": got warm-up and decay of ",
                         W + D, " steps; need at most the phase's ", length.total_steps);
    return [=](int64_t n) {
      const int64_t begin = length.total_steps - D;
      if (n <= begin) return o.lr_max;
      return o.lr_min + wsd_coefficient(o.shape, progress_of(n, begin, length.total_steps)) * (o.lr_max - o.lr_min);
    };
  });
}

// Warm-up, cool-down to lr_constant, constant, exponential anneal to lr_min (arXiv 2403.08763, eq. 2-3).
template <class O>
std::unique_ptr<Schedule> make_infinite(const char* kind, const O& o, const ConfigNode& config,
                                        const PhaseLength& length,
                                        const std::function<double(double progress)>& cooldown_rate) {
  const int64_t C = duration_in_steps(o.cooldown, length, place_and_key(config, "cooldown"));
  const int64_t K = duration_in_steps(o.constant, length, place_and_key(config, "constant"));
  require<ConfigError>(o.lr_constant > 0 && o.lr_constant <= o.lr_max, place_and_key(config, "lr_constant"), ": got ",
                       o.lr_constant, "; need more than 0 and at most lr_max = ", o.lr_max);
  return make(kind, o, config, length, [=](int64_t W) -> FunctionSchedule::Rate {
    const int64_t D = length.total_steps - W;
    require<ConfigError>(C + K <= D, place_and_key(config, "constant"), ": got warm-up, cool-down and constant of ",
                         W + C + K, " steps; need at most the phase's ", length.total_steps);
    require<ConfigError>(C + K == D || (o.lr_min > 0 && o.lr_min <= o.lr_constant), place_and_key(config, "lr_min"),
                         ": got ", o.lr_min, "; need more than 0 and at most lr_constant for the exponential anneal");
    return [=](int64_t n) {
      const int64_t u = n - W;
      if (u <= C) return cooldown_rate(progress_of(u, 0, C));
      if (u <= C + K) return o.lr_constant;
      return std::max(o.lr_min, o.lr_constant * std::pow(o.lr_min / o.lr_constant, progress_of(u, C + K, D)));
    };
  });
}

template <class O>
std::unique_ptr<Schedule> make_infinite_cosine(const O& o, const ConfigNode& config, const PhaseLength& length) {
  return make_infinite("infinite_cosine", o, config, length,
                       [=](double x) { return cosine_between(o.lr_max, o.lr_constant, x); });
}

template <class O>
std::unique_ptr<Schedule> make_infinite_inverse_sqrt(const O& o, const ConfigNode& config, const PhaseLength& length) {
  require<ConfigError>(o.timescale > 0, place_and_key(config, "timescale"), ": got ", o.timescale,
                       "; need more than 0");
  const auto h = [=](double x) { return 1 / std::sqrt(1 + o.timescale * x) - 1; };
  return make_infinite("infinite_inverse_sqrt", o, config, length,
                       [=](double x) { return o.lr_max + (o.lr_constant - o.lr_max) * h(x) / h(1); });
}

}  // namespace

// Each kind with the keys that it reads beyond lr_max, lr_start and warmup.
#define EVENKEEL_SCHEDULES(X)                                                                                      \
  X(constant, "lr_max after the warm-up")                                                                          \
  X(linear, "from lr_max to lr_min", .lr_min = true)                                                               \
  X(cosine, "half a cosine from lr_max to lr_min", .lr_min = true)                                                 \
  X(inverse_sqrt, "lr_max * sqrt(max(W, 1) / n), at least lr_min", .lr_min = true)                                 \
  X(wsd, "lr_max, then a decay to lr_min of the given shape", .lr_min = true, .decay = true, .shape = true)        \
  X(infinite_cosine, "cosine cool-down to lr_constant, constant, exponential anneal to lr_min", .lr_min = true,    \
    .lr_constant = true, .cooldown = true, .constant = true)                                                       \
  X(infinite_inverse_sqrt, "inverse-square-root cool-down to lr_constant, constant, exponential anneal to lr_min", \
    .lr_min = true, .lr_constant = true, .cooldown = true, .constant = true, .timescale = true)

namespace {
constexpr const char* kDefaultKind = "constant";

// What reads a kind and what lists its keys, from one type.
#define X(name, help, ...)                                                                              \
  using name##_options = KindOptions<Use{__VA_ARGS__}>;                                                 \
  std::unique_ptr<Schedule> read_and_make_##name(const ConfigNode& config, const PhaseLength& length) { \
    return make_##name(read_schedule<name##_options>(config), config, length);                          \
  }
EVENKEEL_SCHEDULES(X)
#undef X

template <class O>
std::vector<ConfigKey> keys_of(const std::string& path) {
  WithKind<O> table;
  table.kind = kDefaultKind;
  std::vector<ConfigKey> out;
  list_keys(table, path, out);
  return out;
}
}  // namespace

const std::vector<ScheduleKind>& schedule_kinds() {
#define X(name, help, ...) {#name, help, read_and_make_##name, keys_of<name##_options>},
  static const std::vector<ScheduleKind> kinds = {EVENKEEL_SCHEDULES(X)};
#undef X
  return kinds;
}

std::vector<ConfigKey> schedule_keys(const std::string& path) {
  std::vector<ConfigKey> out;
  for (const auto& kind : schedule_kinds()) add_keys_of_kind(out, kind.keys(path), kind.name);
  name_kinds(out, join_path(path, "kind"));
  return out;
}

std::unique_ptr<Schedule> make_schedule(const ConfigNode& config, const PhaseLength& length) {
  if (!config.is_table()) fail_kind(config, "schedule", "a table such as {kind = \"cosine\", lr_max = 3e-3}");
  std::string kind = kDefaultKind;
  const ConfigNode* node = config.find("kind");
  if (node != nullptr) evenkeel::read_value(*node, "schedule.kind", kind);
  std::string known;
  for (const auto& candidate : schedule_kinds()) {
    if (kind == candidate.name) return candidate.make(config, length);
    add_to_list(known, candidate.name);
  }
  fail<ConfigError>(node->where, ": got schedule.kind = '", kind, "'; need one of: ", known);
}

std::string sparkline(const Schedule& schedule, int64_t n_steps) {
  constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr int64_t kWidth = 32;
  double largest = 0;
  std::vector<double> rates;
  for (int64_t i = 0; i < kWidth; ++i) rates.push_back(schedule.rate(1 + (n_steps - 1) * i / (kWidth - 1)));
  for (const double rate : rates) largest = std::max(largest, rate);
  std::string out;
  for (const double rate : rates) out += kBars[largest > 0 ? std::min(7, static_cast<int>(rate / largest * 7.999)) : 0];
  return out;
}

}  // namespace evenkeel::optim
