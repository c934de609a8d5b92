#include "study/pair_figures.h"

#include "study/comparison.h"
#include "train/shift_sets.h"

namespace evenkeel::study {
namespace {

Figure accuracy_on(const std::string& task) {
  return [task](const Outcome& outcome) {
    const auto entry = outcome.accuracy.find(task);
    return entry == outcome.accuracy.end()
               ? std::nullopt
               : std::optional(train::LossFigure{entry->second, std::nullopt, std::nullopt});
  };
}

// The longest interval between the evaluations that say when the runs of a pair get to the loss; 0: none is known.
double longest_interval(const Pair& pair, const std::map<std::string, Outcome>& outcomes) {
  double out = 0;
  for (const auto& [base, other] : pair.runs)
    for (const auto* run : {base, other}) out = std::fmax(out, outcomes.at(run->name).tokens_interval);  // not of NaN
  return out;
}

Json known(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

void add_row(const Pair& pair, const PairFigure& figure, Table& table) {
  const auto base = figure.base(), other = figure.other();
  const auto change = figure.difference();
  const bool has_interval = change.half.has_value();
  table.add_row({pair.other, pair.base, pair.aspect, pair.difference, figure.name,
                 figure.data.empty() ? Json() : Json(figure.data), figure.unit, other.value, known(other.error),
                 base.value, known(base.error), change.value, has_interval ? Json(change.low()) : Json(),
                 has_interval ? Json(change.high()) : Json(),
                 figure.is_within_resolution() ? Json(false)
                 : has_interval                ? Json(change.is_beyond_noise())
                                               : Json(),
                 static_cast<int64_t>(figure.n), change.n_equal > 0});
}

}  // namespace

Figure plain_figure(double Outcome::*figure) {
  return [=](const Outcome& outcome) {
    return std::isnan(outcome.*figure) ? std::nullopt
                                       : std::optional(train::LossFigure{outcome.*figure, std::nullopt, std::nullopt});
  };
}

PairFigure compare(const Pair& pair, const std::map<std::string, Outcome>& outcomes, const Figure& figure) {
  PairFigure out;
  for (const auto& [base_run, other_run] : pair.runs) {
    const Outcome &base_outcome = outcomes.at(base_run->name), &other_outcome = outcomes.at(other_run->name);
    const auto base = figure(base_outcome), other = figure(other_outcome);
    if (!base || !other) continue;
    out.values.add("base", base_outcome.seed, *base);
    out.values.add("other", base_outcome.seed, *other);
    ++out.n;
  }
  return out;
}

std::vector<PairFigure> pair_figures(const Pair& pair, const std::map<std::string, Outcome>& outcomes) {
  const train::Arm &base = *pair.runs[0].first, &other = *pair.runs[0].second;
  const auto sets = train::shift_sets(other), base_sets = train::shift_sets(base);
  std::vector<PairFigure> out;
  if (base_sets.old_data != sets.old_data || base_sets.new_data != sets.new_data) return out;
  const auto add = [&](const std::string& name, const std::string& data, const std::string& unit,
                       const Figure& figure) {
    auto found = compare(pair, outcomes, figure);
    if (found.n == 0) return;
    found.name = name;
    found.data = data;
    found.unit = unit;
    if (unit == "share of tokens" || name == "accuracy") found.limit = 1;
    if (name == "experts_in_use") found.limit = compare(pair, outcomes, plain_figure(&Outcome::experts)).other().value;
    if (name == "tokens_to_loss") found.resolution = longest_interval(pair, outcomes);
    out.push_back(std::move(found));
  };
  if (shifts_data(other) && outcomes.at(base.name).against == outcomes.at(other.name).against)
    add("forgetting", sets.old_data, "nats/token", [](const Outcome& outcome) { return outcome.forgetting; });
  add("loss", sets.new_data, "nats/token", [](const Outcome& outcome) { return outcome.loss_new; });
  for (const auto& [task, accuracy] : outcomes.at(other.name).accuracy) add("accuracy", task, "", accuracy_on(task));
  add("tokens_to_loss", outcomes.at(other.name).target_data, "tokens", plain_figure(&Outcome::tokens_to_loss));
  add("eval_mri", sets.new_data, "share of tokens", [](const Outcome& outcome) { return outcome.eval_mri; });
  if (sets.old_data != sets.new_data)
    add("eval_mri", sets.old_data, "share of tokens", [](const Outcome& outcome) { return outcome.eval_mri_old; });
  add("experts_in_use", sets.new_data, "experts", plain_figure(&Outcome::experts_in_use));
  return out;
}

void add_pairs(const std::vector<train::Arm>& arms, train::NamedTables& tables) {
  Table table;
  table.columns = {{"group", ""},
                   {"reference", ""},
                   {"aspect", ""},
                   {"difference", ""},
                   {"figure", ""},
                   {"data", ""},
                   {"unit", ""},
                   {"value", ""},
                   {"value_error", ""},
                   {"reference_value", ""},
                   {"reference_error", ""},
                   {"change", ""},
                   {"low", ""},
                   {"high", ""},
                   {"beyond_noise", ""},
                   {"n", "pairs of runs"},
                   {"all_equal", ""}};
  table.source =
      "groups of arms that differ in one thing alone, over their runs of the same seeds: each figure's mean with the "
      "larger of the standard deviation over seeds and the error by the text, and the change from `reference` to "
      "`group` with its 95 % interval by the rule of headlines, cut off where no two shares or counts of experts can "
      "differ so much. all_equal: the change is the same in each of two pairs "
      "or more, which gives no interval. A difference of tokens_to_loss of no more than one interval between "
      "evaluations is "
      "never beyond noise";
  const auto outcomes = outcomes_of(arms, tables);
  for (const auto& pair : pairs_of(arms))
    for (const auto& figure : pair_figures(pair, outcomes)) add_row(pair, figure, table);
  tables.emplace_back("pairs", std::move(table));
}

}  // namespace evenkeel::study
