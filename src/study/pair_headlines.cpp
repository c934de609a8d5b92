#include "study/pair_headlines.h"

#include <algorithm>
#include <cstdarg>
#include <functional>

#include "core/units.h"
#include "study/comparison.h"

namespace evenkeel::study {
namespace {

using Figure = std::function<double(const Outcome&)>;

// A figure of both sides, over the pairs of runs that have it.
struct Compared {
  double base = 0, other = 0;                 // means
  double least = INFINITY, most = -INFINITY;  // of the differences, other - base
  size_t n = 0;
};

struct Sides {
  const Pair& pair;
  const std::map<std::string, Outcome>& outcomes;
  Compared compare(const Figure& figure) const {
    Compared out;
    for (const auto& [base_run, other_run] : pair.runs) {
      const double base = figure(outcomes.at(base_run->name)), other = figure(outcomes.at(other_run->name));
      if (std::isnan(base) || std::isnan(other)) continue;
      out.base += base;
      out.other += other;
      out.least = std::min(out.least, other - base);
      out.most = std::max(out.most, other - base);
      ++out.n;
    }
    if (out.n > 0) out.base /= static_cast<double>(out.n), out.other /= static_cast<double>(out.n);
    return out;
  }
  bool has_collapsed(bool of_other) const {
    return std::any_of(pair.runs.begin(), pair.runs.end(), [&](const auto& runs) { return outcomes.at((of_other ? runs.second : runs.first)->name).has_collapsed; });
  }
};

// " (-0.05 to -0.01 by seed)", empty for a single one.
std::string by_seed(const Compared& found, const char* pattern = " (%+.2f to %+.2f by seed)") { return found.n > 1 ? format(pattern, found.least, found.most) : ""; }

void add(std::vector<std::string>& parts, std::string part) {
  if (!part.empty()) parts.push_back(std::move(part));
}

std::string forgetting_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare([](const Outcome& outcome) { return outcome.forgetting; });
  return found.n == 0 ? "" : format("forgetting on %s is %+.2f nats instead of %+.2f", data.c_str(), found.other, found.base) + by_seed(found);
}

std::string loss_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare([](const Outcome& outcome) { return outcome.loss_new; });
  return found.n == 0 ? "" : format("the loss on %s is %.2f instead of %.2f", data.c_str(), found.other, found.base) + by_seed(found);
}

// Of the pairs in which both get there.
std::string tokens_part(const Sides& sides, const std::string& data) {
  const auto found = sides.compare([](const Outcome& outcome) { return outcome.tokens_to_loss; });
  const auto target = sides.compare([](const Outcome& outcome) { return outcome.target_loss; });
  if (target.n == 0) return "";
  const auto loss = format("a loss of %.2f on %s", target.other, data.c_str());
  if (found.n == 0) return "";
  const std::string rare = found.n < sides.pair.runs.size() ? format(" (in %zu of %zu seeds)", found.n, sides.pair.runs.size()) : "";
  return loss + " takes " + human_count(found.other) + " tokens instead of " + human_count(found.base) + rare;
}

std::vector<std::string> task_parts(const Sides& sides) {
  std::vector<std::string> out;
  for (const auto& [task, accuracy] : sides.outcomes.at(sides.pair.runs[0].second->name).accuracy) {
    const auto found = sides.compare([name = task](const Outcome& outcome) {
      const auto entry = outcome.accuracy.find(name);
      return entry == outcome.accuracy.end() ? NAN : entry->second;
    });
    if (found.n > 0) out.push_back(format("accuracy on %s is %.3f instead of %.3f", task.c_str(), found.other, found.base) + by_seed(found, " (%+.3f to %+.3f by seed)"));
  }
  return out;
}

std::string even_load_words(const Compared& even) {
  const auto now = format("%.1f %%", 100 * even.other), before = format("%.1f %%", 100 * even.base);
  return now == before ? "an even load is " + now : "even loads are " + now + " and " + before;
}

std::string balance_part(const Sides& sides, const std::string& data) {
  const auto mri = sides.compare([](const Outcome& outcome) { return outcome.eval_mri; });
  const auto even = sides.compare([](const Outcome& outcome) { return outcome.even_load; });
  if (mri.n == 0 || even.n == 0) return "";
  std::string out = format("the busiest expert gets %.1f %% of held-out %s instead of %.1f %% (", 100 * mri.other, data.c_str(), 100 * mri.base) + even_load_words(even) + ")";
  const auto used = sides.compare([](const Outcome& outcome) { return outcome.experts_in_use; });
  const auto all = sides.compare([](const Outcome& outcome) { return outcome.experts; });
  if (used.n > 0) out += format(", and %.4g of %.4g experts are in use instead of %.4g of %.4g", used.other, all.other, used.base, all.base);
  return out;
}

}  // namespace

std::string format(const char* pattern, ...) {
  char buffer[1024];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(buffer, sizeof buffer, pattern, arguments);
  va_end(arguments);
  return buffer;
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
