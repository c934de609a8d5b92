#include "study/pair_headlines.h"

#include <algorithm>
#include <cstdarg>
#include <functional>

#include "core/units.h"
#include "study/comparison.h"
#include "study/estimates.h"

namespace evenkeel::study {
namespace {

using Figure = std::function<std::optional<train::LossFigure>(const Outcome&)>;

Figure plain(double Outcome::*figure, double unit = 1) {
  return [=](const Outcome& outcome) { return std::isnan(outcome.*figure) ? std::nullopt : std::optional(train::LossFigure{unit * (outcome.*figure), std::nullopt, std::nullopt}); };
}

// A figure of both sides, over the pairs of runs that have it.
struct Compared {
  Estimates values;
  size_t n = 0;
  Estimate base() const { return values.of("base"); }
  Estimate other() const { return values.of("other"); }
  Difference difference() const { return values.difference("other", "base"); }
  std::string instead(bool sign = false) const { return other().text(sign) + " instead of " + base().text(sign); }
  std::string how_sure() const { return " (" + difference().text() + ")"; }
  // For a figure that has no error of its own: where seeds tell it.
  std::string noise() const { return n < 2 || difference().is_beyond_noise() ? "" : " (no difference beyond noise)"; }
};

struct Sides {
  const Pair& pair;
  const std::map<std::string, Outcome>& outcomes;
  Compared compare(const Figure& figure) const {
    Compared out;
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
  bool has_collapsed(bool of_other) const {
    return std::any_of(pair.runs.begin(), pair.runs.end(), [&](const auto& runs) { return outcomes.at((of_other ? runs.second : runs.first)->name).has_collapsed; });
  }
};

void add(std::vector<std::string>& parts, std::string part) {
  if (!part.empty()) parts.push_back(std::move(part));
}

std::string forgetting_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare([](const Outcome& outcome) { return outcome.forgetting; });
  return found.n == 0 ? "" : "forgetting on " + data + " is " + found.other().text(true) + " nats instead of " + found.base().text(true) + found.how_sure();
}

std::string loss_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare([](const Outcome& outcome) { return outcome.loss_new; });
  return found.n == 0 ? "" : "the loss on " + data + " is " + found.instead() + found.how_sure();
}

// Of the pairs in which both get there.
std::string tokens_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare(plain(&Outcome::tokens_to_loss)), target = sides.compare(plain(&Outcome::target_loss));
  if (target.n == 0 || found.n == 0) return "";
  const std::string rare = found.n < sides.pair.runs.size() ? format(" (in %zu of %zu seeds)", found.n, sides.pair.runs.size()) : "";
  return format("a loss of %.2f on %s takes ", target.other().value, data.c_str()) + human_count(found.other().value) + " tokens instead of " + human_count(found.base().value) + rare + found.noise();
}

std::vector<std::string> task_parts(const Sides& sides) {
  std::vector<std::string> out;
  for (const auto& [task, accuracy] : sides.outcomes.at(sides.pair.runs[0].second->name).accuracy) {
    const auto found = sides.compare([name = task](const Outcome& outcome) {
      const auto entry = outcome.accuracy.find(name);
      return entry == outcome.accuracy.end() ? std::nullopt : std::optional(train::LossFigure{entry->second, std::nullopt, std::nullopt});
    });
    if (found.n > 0) out.push_back("accuracy on " + task + " is " + found.instead() + found.how_sure());
  }
  return out;
}

std::string even_load_words(const Compared& even) {
  const auto now = format("%.1f %%", 100 * even.other().value), before = format("%.1f %%", 100 * even.base().value);
  return now == before ? "an even load is " + now : "even loads are " + now + " and " + before;
}

std::string balance_part(const Sides& sides, const std::string& data) {
  const auto mri = sides.compare(plain(&Outcome::eval_mri, 100)), even = sides.compare(plain(&Outcome::even_load));
  if (mri.n == 0 || even.n == 0) return "";
  std::string out = "the busiest expert gets " + mri.other().text() + " % of held-out " + data + " instead of " + mri.base().text() + " %" + mri.noise() + "; " + even_load_words(even);
  const auto used = sides.compare(plain(&Outcome::experts_in_use)), all = sides.compare(plain(&Outcome::experts));
  const auto of_all = [&](const Estimate& in_use, const Estimate& experts) { return format("%.4g of %.4g", in_use.value, experts.value); };
  if (used.n > 0) out += "; " + of_all(used.other(), all.other()) + " experts are in use instead of " + of_all(used.base(), all.base());
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
  const Sides sides{pair, outcomes};
  const train::Arm& other = *pair.runs[0].second;
  const auto sets = shift_sets(other);
  const bool is_replay = pair.aspect == "replay", shifts = shifts_data(other);
  const auto base_sets = shift_sets(*pair.runs[0].first);
  if (base_sets.old_data != sets.old_data || base_sets.new_data != sets.new_data) return "";  // losses on other data do not compare
  if (is_replay && !shifts) return "";
  std::vector<std::string> parts;
  if (shifts) add(parts, forgetting_part(sides, sets.old_data));
  add(parts, loss_part(sides, sets.new_data));
  if (parts.empty()) return "";
  for (auto& part : task_parts(sides)) add(parts, std::move(part));
  if (!is_replay) {
    add(parts, tokens_part(sides, sets.old_data));
    add(parts, balance_part(sides, sets.new_data));
  }
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : "; ") + part;
  const double replay = replay_fraction(other);
  const bool is_against_none = is_replay && replay_fraction(*pair.runs[0].first) == 0;
  const std::string question = is_against_none ? format("%s: with %.0f %% of each batch replayed, ", pair.other.c_str(), 100 * replay) : pair.other + " against " + pair.base + " (" + pair.difference + "): ";
  out = question + out + ".";
  for (const bool of_other : {true, false})
    if (sides.has_collapsed(of_other)) out += " The router of " + (of_other ? pair.other : pair.base) + " has collapsed.";
  return out;
}

}  // namespace evenkeel::study
