#include "study/outcomes.h"

#include <algorithm>
#include <set>

#include "core/errors.h"
#include "model/layout.h"
#include "study/comparison.h"
#include "train/forgetting.h"
#include "train/mri_error.h"
#include "train/shift_sets.h"
#include "train/warnings.h"

namespace evenkeel::study {
namespace {

using train::Arm;

double number(const Json& value) { return value.is_number() ? value.as_double() : NAN; }

// A cell of `forgetting` and its error, with the blocks of text that the evaluations have of it.
std::optional<train::LossFigure> figure_of(const Json& value, const Json& se,
                                           const std::optional<train::LossFigure>& evaluated) {
  if (!value.is_number()) return std::nullopt;
  return train::LossFigure{value.as_double(), se.is_number() ? std::optional(se.as_double()) : std::nullopt,
                           evaluated ? evaluated->blocks : std::nullopt};
}

// Calls visit(arm's outcome, its arm, cell) for each row of a table, if it is there and, where the table has phases,
// the row is of the arm's last; cell(column) is a value of the row.
class Rows {
 public:
  Rows(const std::vector<Arm>& arms, const train::NamedTables& tables, std::map<std::string, Outcome>& out)
      : tables_(tables), out_(out) {
    for (const auto& arm : arms) by_name_[arm.name] = &arm;
  }
  template <class Visit>
  void visit(const std::string& name, const Visit& visit_row) {
    const auto found =
        std::find_if(tables_.begin(), tables_.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == tables_.end()) return;
    const Table& table = found->second;
    const bool has_phase = std::any_of(table.columns.begin(), table.columns.end(),
                                       [](const Column& column) { return column.name == "phase"; });
    for (const auto& row : table.rows) {
      const auto cell = [&](const char* column) -> const Json& { return row[table.column(column)]; };
      const Arm& arm = *by_name_.at(cell("arm").as_string());
      if (!has_phase || cell("phase") == arm.resolved.at("phase").as_array().back().at("name"))
        visit_row(out_[arm.name], arm, cell);
    }
  }

 private:
  const train::NamedTables& tables_;
  std::map<std::string, Outcome>& out_;
  std::map<std::string, const Arm*> by_name_;
};

// Tokens between the evaluation on a set at so many tokens and the one before it, or the run's start: a loss that is
// first met there was reached somewhere between. NaN where no evaluation is there.
double interval_before(const Arm& arm, const std::string& data, const Json& tokens) {
  int64_t before = 0;
  for (const auto& evaluation : arm.evaluations) {
    if (evaluation.find(data) == nullptr) continue;
    if (tokens.is_number() && static_cast<double>(evaluation.tokens) == tokens.as_double())
      return static_cast<double>(evaluation.tokens - before);
    before = evaluation.tokens;
  }
  return NAN;
}

// "dense at the end of phase one"; the group alone where it is none of these arms'.
std::string first_end_of(const std::string& group, const std::vector<Arm>& arms) {
  const auto arm = std::find_if(arms.begin(), arms.end(), [&](const Arm& known) { return known.group == group; });
  return arm == arms.end() ? group : group + " at the end of phase " + train::phase_name(*arm, 0);
}

}  // namespace

std::string collapse_words(const std::vector<const Outcome*>& outcomes) {
  std::string places;
  std::set<std::string> known;
  int64_t n = 0;
  for (const Outcome* outcome : outcomes) {
    n += outcome->has_collapsed() ? 1 : 0;
    for (const auto& place : outcome->collapsed_on)
      if (known.insert(place).second) add_to_list(places, place);
  }
  if (n == 0) return "";
  const auto n_all = static_cast<int64_t>(outcomes.size());
  return "has collapsed on " + places +
         (n_all == 1 ? "" : ", in " + std::to_string(n) + " of " + std::to_string(n_all) + " seeds");
}

std::map<std::string, Outcome> outcomes_of(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  std::map<std::string, Outcome> out;
  for (const auto& arm : arms) {
    Outcome& outcome = out[arm.name];
    outcome.seed = seed_of(arm);
    outcome.peak_steps = std::min<int64_t>(static_cast<int64_t>(train::kShiftWindow),
                                           arm.resolved.at("phase").as_array().back().at("steps").as_int());
    const auto config = train::arm_model(arm);
    if (!config.is_moe()) continue;
    const std::string new_data = train::shift_sets(arm).new_data;
    outcome.even_load = model::experts_per_token(config) / static_cast<double>(config.n_experts);
    outcome.collapsed_on = train::collapsed_on(arm, new_data);
    outcome.has_own_before = arm.resolved.at("phase").size() > 1 || !train::comes_from_elsewhere(arm);
    if (const auto use = train::expert_use(arm, new_data)) {
      outcome.experts_in_use = static_cast<double>(use->in_use);
      outcome.experts = static_cast<double>(use->all);
    }
  }
  Rows rows(arms, tables, out);
  rows.visit("forgetting", [](Outcome& outcome, const Arm& arm, const auto& cell) {
    const auto sets = train::shift_sets(arm);
    const std::string& data = cell("data").as_string();
    if (data == sets.old_data) {
      outcome.forgetting = figure_of(cell("forgetting"), cell("forgetting_se"), train::forgetting_at_end(arm, data));
      if (outcome.forgetting) outcome.against = cell("against").as_string();
    }
    if (data == sets.new_data)
      outcome.loss_new = figure_of(cell("loss"), cell("loss_se"), train::loss_at_end(arm, data));
  });
  rows.visit("shift_mri", [](Outcome& outcome, const Arm&, const auto& cell) {
    if (!cell("layer").is_null()) return;
    outcome.mri_before = number(cell("before"));
    outcome.mri_first = number(cell("first"));
    outcome.mri_peak = number(cell("peak"));
    outcome.mri_end = number(cell("after"));
  });
  std::map<const std::optional<train::LossFigure>*, double> n_layers;  // that each figure is the mean of
  rows.visit("eval_mri", [&](Outcome& outcome, const Arm& arm, const auto& cell) {
    const auto sets = train::shift_sets(arm);
    const std::string& data = cell("data").as_string();
    for (auto [figure, of] :
         {std::pair(&outcome.eval_mri, &sets.new_data), std::pair(&outcome.eval_mri_old, &sets.old_data)}) {
      if (data != *of) continue;
      if (!*figure) *figure = train::LossFigure{0, train::mri_se_at_end(arm, data), std::nullopt};
      double& n = ++n_layers[figure];
      (*figure)->value += (cell("mri").as_double() - (*figure)->value) / n;
    }
  });
  rows.visit("tokens_to_loss", [&](Outcome& outcome, const Arm& arm, const auto& cell) {
    outcome.tokens_to_loss = number(cell("tokens"));
    outcome.target_loss = number(cell("loss"));
    outcome.target_data = cell("data").as_string();
    outcome.target_group = cell("reference").as_string();
    outcome.target_of = first_end_of(outcome.target_group, arms);
    const auto* own = train::final_result(arm, train::phase_name(arm, 0), outcome.target_data);
    outcome.is_own_target = own != nullptr && train::loss_figure(*own).value == outcome.target_loss;
    outcome.tokens_interval = interval_before(arm, outcome.target_data, cell("tokens"));
  });
  rows.visit("tasks", [](Outcome& outcome, const Arm&, const auto& cell) {
    if (cell("accuracy").is_number()) outcome.accuracy[cell("task").as_string()] = cell("accuracy").as_double();
  });
  return out;
}

}  // namespace evenkeel::study
