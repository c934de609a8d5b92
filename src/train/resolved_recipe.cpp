#include "train/resolved_recipe.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/columns.h"

namespace evenkeel::train {
namespace {

constexpr Range kCount{.least = 1, .most = 9e15};

struct ResolvedSet {
  std::string name, path;
  static void visit_columns(auto& row, auto&& visit) {
    visit("name", row.name);
    visit("path", row.path);
  }
};

struct ResolvedEval {
  std::vector<ResolvedSet> data;
  static void visit_columns(auto& row, auto&& visit) { visit("data", row.data); }
};

struct ResolvedReplay {
  double fraction = 0;
  static void visit_columns(auto& row, auto&& visit) { visit("fraction", row.fraction, kFraction); }
};

struct ResolvedStart {
  std::string from, step;
  static void visit_columns(auto& row, auto&& visit) {
    visit("from", row.from);
    visit("step", row.step);
  }
};

struct ResolvedPhase {
  std::string name;
  int64_t steps = 0, tokens = 0;
  std::vector<ResolvedSet> data;
  std::optional<ResolvedReplay> replay;
  std::optional<ResolvedEval> eval;
  std::optional<ResolvedStart> start;
  static void visit_columns(auto& row, auto&& visit) {
    visit("name", row.name);
    visit("steps", row.steps, kCount);
    visit("tokens", row.tokens, kCount);
    visit("data", row.data);
    visit("replay", row.replay);
    visit("eval", row.eval);
    visit("start", row.start);
  }
};

struct ResolvedTrain {
  int64_t seed = 0, batch_size = 0, sequence_length = 0;
  static void visit_columns(auto& row, auto&& visit) {
    visit("seed", row.seed);
    visit("batch_size", row.batch_size, kCount);
    visit("sequence_length", row.sequence_length, kCount);
  }
};

struct ResolvedRecipe {
  ResolvedTrain train;
  std::vector<ResolvedPhase> phase;
  static void visit_columns(auto& row, auto&& visit) {
    visit("train", row.train);
    visit("phase", row.phase);
  }
};

bool is_step(const std::string& text) {
  constexpr size_t kMostDigits = 15;
  return text == "last" || (!text.empty() && text.size() <= kMostDigits &&
                            std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }));
}

}  // namespace

void require_resolved_recipe(const Json& resolved, const std::string& path) {
  const auto recipe = row_from_json<ResolvedRecipe>(resolved, path);
  require<DataError>(!recipe.phase.empty(), path, ": got no phase; need those of the run");
  for (const auto& phase : recipe.phase) {
    require<DataError>(!phase.data.empty(), path, ": got no data in phase '", phase.name, "'; need what it trains on");
    require<DataError>(!phase.start || is_step(phase.start->step), path, ": got '",
                       phase.start ? phase.start->step : "",
                       "' as the 'step' of a start; need \"last\" or a whole number");
  }
  const Json* model = resolved.find("model");
  require<DataError>(model != nullptr && model->is_object(), path, ": got no table 'model'; need it");
}

}  // namespace evenkeel::train
