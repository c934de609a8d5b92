#include "study/pair_headlines.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>

#include "study/comparison.h"
#include "study/estimates.h"
#include "study/pair_figures.h"
#include "train/forgetting.h"
#include "train/shift_sets.h"

namespace evenkeel::study {
namespace {

// The same in another unit.
Estimate scaled(Estimate figure, double factor) {
  figure.value *= factor;
  if (figure.error) *figure.error *= factor;
  return figure;
}
Difference scaled(Difference figure, double factor) {
  figure.value *= factor;
  if (figure.half) *figure.half *= factor;
  figure.limit *= factor;
  return figure;
}

struct Sides {
  const Pair& pair;
  const std::map<std::string, Outcome>& outcomes;
  std::vector<PairFigure> figures;
  // nullptr where no pair of runs has it.
  const PairFigure* find(const std::string& name, const std::string& data) const {
    const auto found = std::find_if(figures.begin(), figures.end(), [&](const PairFigure& figure) {
      return figure.name == name && figure.data == data;
    });
    return found == figures.end() ? nullptr : &*found;
  }
  PairFigure compare(double Outcome::*figure) const { return study::compare(pair, outcomes, plain_figure(figure)); }
  std::vector<const Outcome*> runs_of(bool of_other) const {
    std::vector<const Outcome*> out;
    for (const auto& runs : pair.runs) out.push_back(&outcomes.at((of_other ? runs.second : runs.first)->name));
    return out;
  }
};

std::string instead(const Estimate& other, const Estimate& base) { return other.text() + " instead of " + base.text(); }
std::string how_sure(const PairFigure& figure, double factor = 1) {
  return " (" + scaled(figure.difference(), factor).text() + ")";
}

void add(std::vector<std::string>& parts, std::string part) {
  if (!part.empty()) parts.push_back(std::move(part));
}

std::string forgetting_part(const Sides& sides, const std::string& data, const std::string& against) {
  const auto* found = sides.find("forgetting", data);
  return found == nullptr
             ? ""
             : "forgetting on " + data + " since " + train::baseline_words(against) + " is " +
                   found->other().text(true) + " nats instead of " + found->base().text(true) + how_sure(*found);
}

std::string loss_part(const Sides& sides, const std::string& data) {
  const auto* found = sides.find("loss", data);
  return found == nullptr ? ""
                          : "the loss on " + data + " is " + instead(found->other(), found->base()) + how_sure(*found);
}

// "million" and its number, of the larger of two counts.
std::pair<std::string, double> unit_of_counts(double a, double b) {
  for (const auto& [word, size] : {std::pair("billion", 1e9), std::pair("million", 1e6), std::pair("thousand", 1e3)})
    if (std::max(a, b) >= size) return {std::string(word) + " ", size};
  return {"", 1};
}

// "s does not reach it in 1 of 2 seeds"; empty where the side always does.
std::string misses(const Sides& sides, bool of_other) {
  const size_t n = sides.pair.runs.size();
  const auto n_missing = std::count_if(sides.pair.runs.begin(), sides.pair.runs.end(), [&](const auto& runs) {
    const Outcome& outcome = sides.outcomes.at((of_other ? runs.second : runs.first)->name);
    return !std::isnan(outcome.target_loss) && std::isnan(outcome.tokens_to_loss);
  });
  if (n_missing == 0) return "";
  return (of_other ? sides.pair.other : sides.pair.base) + " does not reach it" +
         (n > 1 ? format(" in %lld of %zu seeds", static_cast<long long>(n_missing), n) : "");
}

// Where the base ended its own first phase with the loss, it reaches it at that end whatever happens. Then the tokens
// tell nothing where the other side gets there in the same interval, nor where the loss is another group's with which
// the base shares the phase: that one's own pair tells it.
bool says_nothing(const Sides& sides, const PairFigure* tokens) {
  const auto base = sides.runs_of(false);
  const bool is_own =
      std::all_of(base.begin(), base.end(), [](const Outcome* outcome) { return outcome->is_own_target; });
  return is_own && ((tokens != nullptr && (tokens->is_within_resolution() || tokens->difference().value == 0)) ||
                    base[0]->target_group != sides.pair.base);
}

// Of the pairs in which both get there. Over seeds with ±; of one seed nothing says how far it varies. The loss is
// known at evaluations alone: a difference of no more than the tokens between two of them is none.
std::string tokens_part(const Sides& sides, const std::string& data) {
  const auto* found = sides.find("tokens_to_loss", data);
  const auto target = sides.compare(&Outcome::target_loss);
  if (target.n == 0 || says_nothing(sides, found)) return "";
  std::string missing;
  for (const bool of_other : {true, false})
    if (const auto side = misses(sides, of_other); !side.empty()) add_to_list(missing, side);
  const std::string& target_of = sides.outcomes.at(sides.pair.runs[0].second->name).target_of;
  const std::string loss = format("a loss of %.2f on %s", target.other().value, data.c_str()) +
                           (target_of.empty() ? "" : " (that of " + target_of + ")");
  if (found == nullptr) return missing.empty() ? "" : loss + ": " + missing;
  std::string rare;
  if (found->n < sides.pair.runs.size())
    rare = format(" (in %zu of %zu seeds", found->n, sides.pair.runs.size()) + (missing.empty() ? "" : "; " + missing) +
           ")";
  const auto [unit, size] = unit_of_counts(found->other().value, found->base().value);
  return loss + " takes " + instead(scaled(found->other(), 1 / size), scaled(found->base(), 1 / size)) + " " + unit +
         "tokens" + rare +
         (found->is_within_resolution() ? format(" (no difference: within one evaluation interval of %.3g %stokens)",
                                                 found->resolution / size, unit.c_str())
                                        : how_sure(*found, 1 / size));
}

std::vector<std::string> task_parts(const Sides& sides) {
  std::vector<std::string> out;
  for (const auto& figure : sides.figures)
    if (figure.name == "accuracy")
      out.push_back("accuracy on " + figure.data + " is " + instead(figure.other(), figure.base()) + how_sure(figure));
  return out;
}

std::string even_load_words(const PairFigure& even) {
  const auto now = format("%.1f %%", 100 * even.other().value), before = format("%.1f %%", 100 * even.base().value);
  return now == before ? "an even load is " + now : "even loads are " + now + " and " + before;
}

// The busiest expert's share on the new set and, where it is another, on the old one.
std::string balance_part(const Sides& sides, const train::ShiftSets& sets) {
  const auto even = sides.compare(&Outcome::even_load);
  const auto share = [&](const std::string& data) {
    const auto* mri = sides.find("eval_mri", data);
    return mri == nullptr ? ""
                          : scaled(mri->other(), 100).text() + " % of held-out " + data + " instead of " +
                                scaled(mri->base(), 100).text() + " %" + how_sure(*mri, 100);
  };
  const std::string of_new = share(sets.new_data), of_old = sets.old_data == sets.new_data ? "" : share(sets.old_data);
  if (of_new.empty() || even.n == 0) return "";
  std::string out =
      "the busiest expert gets " + of_new + (of_old.empty() ? "" : " and " + of_old) + "; " + even_load_words(even);
  const auto* used = sides.find("experts_in_use", sets.new_data);
  const auto all = sides.compare(&Outcome::experts);
  const auto of_all = [&](const Estimate& in_use, const Estimate& experts) {
    return format("%.4g of %.4g", in_use.value, experts.value);
  };
  if (used != nullptr)
    out += "; " + of_all(used->other(), all.other()) + " experts are in use instead of " +
           of_all(used->base(), all.base()) + how_sure(*used);
  return out;
}

std::string against_words(const Pair& pair) {
  return pair.other + " against " + pair.base + " (" + pair.difference + "): ";
}

// The sentence of the parts, and another for each side that has collapsed.
std::string sentence_of(const Sides& sides, const std::string& question, const std::vector<std::string>& parts) {
  std::string out = question;
  for (size_t i = 0; i < parts.size(); ++i) out += (i == 0 ? "" : "; ") + parts[i];
  out += ".";
  for (const bool of_other : {true, false})
    if (const auto words = collapse_words(sides.runs_of(of_other)); !words.empty())
      out += " The router of " + (of_other ? sides.pair.other : sides.pair.base) + " " + words + ".";
  return out;
}

}  // namespace

std::string format(const char* pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  std::string out(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), ' ');
  std::vsnprintf(out.data(), out.size() + 1, pattern, again);
  va_end(arguments);
  va_end(again);
  return out;
}

std::string pair_headline(const Pair& pair, const std::map<std::string, Outcome>& outcomes) {
  const Sides sides{pair, outcomes, pair_figures(pair, outcomes)};
  const train::Arm& other = *pair.runs[0].second;
  const auto sets = train::shift_sets(other);
  const bool is_replay = pair.aspect == "replay";
  if (is_replay && !shifts_data(other)) return "";
  std::vector<std::string> parts;
  add(parts, forgetting_part(sides, sets.old_data, outcomes.at(other.name).against));
  add(parts, loss_part(sides, sets.new_data));
  if (parts.empty()) return "";
  for (auto& part : task_parts(sides)) add(parts, std::move(part));
  if (!is_replay) {
    add(parts, tokens_part(sides, outcomes.at(other.name).target_data));
    add(parts, balance_part(sides, sets));
  }
  const double replay = replay_fraction(other);
  const bool is_against_none = is_replay && replay_fraction(*pair.runs[0].first) == 0;
  const std::string question =
      is_against_none ? format("%s: with %.3g %% of the sequences replayed, ", pair.other.c_str(), 100 * replay)
                      : against_words(pair);
  return sentence_of(sides, question, parts);
}

std::string pace_headline(const Pair& pair, const std::map<std::string, Outcome>& outcomes) {
  const Sides sides{pair, outcomes, pair_figures(pair, outcomes)};
  std::vector<std::string> parts;
  add(parts, tokens_part(sides, outcomes.at(pair.runs[0].second->name).target_data));
  for (auto& part : task_parts(sides)) add(parts, std::move(part));
  return parts.empty() ? "" : sentence_of(sides, against_words(pair), parts);
}

}  // namespace evenkeel::study
