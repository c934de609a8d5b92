// The study's answers in words, from its tables. Each sentence compares figures that stand in a table.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/with_error.h"
#include "study/comparison.h"
#include "study/estimates.h"
#include "study/pair_headlines.h"
#include "study/tables.h"
#include "study/router_table.h"
#include "train/forgetting.h"
#include "train/mri_error.h"
#include "train/shift_sets.h"
#include "train/warnings.h"

namespace evenkeel::study {
namespace {

using train::Arm;

struct Group {
  std::string name;
  bool is_dense = false, has_replay = false;  // has_replay: in any phase
  double flops_per_token = 0;
  std::string old_data, new_data, budget;  // of budget_of
  bool shifts = false;
  std::vector<const Outcome*> outcomes;
  std::string collapse() const { return collapse_words(outcomes); }
};

std::vector<Group> groups_of(const std::vector<Arm>& arms, const std::map<std::string, Outcome>& outcomes) {
  std::vector<Group> out;
  for (const auto& arm : arms) {
    auto group = std::find_if(out.begin(), out.end(), [&](const Group& known) { return known.name == arm.group; });
    if (group == out.end()) {
      const auto sets = train::shift_sets(arm);
      const bool is_dense = arm.resolved.at("model").at("n_experts").as_int() == 0;
      group = out.insert(out.end(), Group{arm.group,
                                          is_dense,
                                          has_replay(arm),
                                          training_flops_per_token(arm),
                                          sets.old_data,
                                          sets.new_data,
                                          budget_of(arm),
                                          shifts_data(arm),
                                          {}});
    }
    group->outcomes.push_back(&outcomes.at(arm.name));
  }
  return out;
}

Estimates forgetting_of(const std::vector<Group>& groups) {
  Estimates out;
  for (const auto& group : groups)
    for (const Outcome* outcome : group.outcomes)
      if (outcome->forgetting) out.add(group.name, outcome->seed, *outcome->forgetting);
  return out;
}

// The group with the least and that with the most of a figure.
struct Range {
  std::string least, most;
  int64_t n = 0;  // groups
};
Range range_of(const Estimates& figures, const std::set<std::string>& names) {
  Range out;
  for (const auto& name : names) {
    if (!figures.has(name)) continue;
    const double value = figures.of(name).value;
    if (out.n == 0 || value < figures.of(out.least).value) out.least = name;
    if (out.n == 0 || value > figures.of(out.most).value) out.most = name;
    ++out.n;
  }
  return out;
}

// What arms whose routers compare have in common: data, budget and replay.
std::string training_of(const Arm& arm) {
  std::string out = budget_of(arm);
  for (const auto& phase : arm.resolved.at("phase").as_array())
    out += " " + Json(train::replay_fraction_of(phase)).dump();
  return out;
}

// A share of the tokens and its standard error, in percent.
train::LossFigure percent(double share, const std::optional<double>& se) {
  return {100 * share, se ? std::optional(100 * *se) : std::nullopt, std::nullopt};
}

// Of training batches, in percent: without seeds nothing says how sure it is, and a batch of some thousand tokens
// carries two digits.
std::string batch_share(const Estimate& share) {
  return share.error && *share.error > 0 ? share.text() : rounded(share.value, share.value < 9.95 ? 1 : 0);
}
const std::string kNoInterval = " (of one seed, without an interval)";

// The groups whose router has collapsed, with the words of Group::collapse.
using Collapsed = std::map<std::string, std::string>;

// What the rows of `routers` come to, by group.
struct RouterFigures {
  Estimates loss, before, peak, height, mri, mri_old, in_use;  // height: the peak over the even load; MRI in percent;
                                                               // before: of training batches alone
  std::set<std::string> causal, all,
      sound;                    // groups: those whose losses compare, all with a router, and those without a collapse
  std::set<std::string> rules;  // of the causal groups
  std::string budget, new_data, old_data;  // of the first arm with a router: others do not compare
  std::map<std::string, int64_t> n_experts;
  double least_bound = INFINITY, most_bound = 0;
  bool has_shift = false;
  // "12.5", or "6.2 to 12.5", percent.
  std::string even_load() const {
    const auto low = format("%.1f", 100 * least_bound), high = format("%.1f", 100 * most_bound);
    return low == high ? low : low + " to " + high;
  }
};

void add_router_row(RouterFigures& out, const RouterRow& row, const Arm& arm) {
  const std::string& group = arm.group;
  const int64_t seed = seed_of(arm);
  if (row.loss_new) {
    auto figure = train::loss_at_end(arm, out.new_data).value_or(train::LossFigure{});
    figure.value = *row.loss_new;
    out.loss.add(group, seed, figure);
  }
  if (row.eval_mri_new) out.mri.add(group, seed, percent(*row.eval_mri_new, train::mri_se_at_end(arm, out.new_data)));
  if (row.eval_mri_old)
    out.mri_old.add(group, seed, percent(*row.eval_mri_old, train::mri_se_at_end(arm, out.old_data)));
  if (row.experts && row.dead) out.in_use.add(group, seed, static_cast<double>(*row.experts - *row.dead));
  out.n_experts[group] = row.experts.value_or(0);
  if (!row.mri_before) return;
  if (!train::comes_from_elsewhere(arm) || arm.resolved.at("phase").size() > 1)
    out.before.add(group, seed, 100 * *row.mri_before);
  out.peak.add(group, seed, 100 * *row.mri_peak);
  out.height.add(group, seed, *row.mri_peak / *row.lower_bound);
}

RouterFigures router_figures(const std::vector<Arm>& arms, const std::vector<RouterRow>& rows,
                             const Collapsed& collapsed) {
  std::map<std::string, const Arm*> by_name;
  for (const auto& arm : arms) by_name[arm.name] = &arm;
  RouterFigures out;
  for (const auto& row : rows) {
    const Arm& arm = *by_name.at(row.arm);
    if (!row.router) continue;
    if (out.budget.empty())
      std::tie(out.budget, out.new_data, out.old_data) = std::tuple(training_of(arm), row.new_data, row.old_data);
    if (out.budget != training_of(arm)) continue;
    out.has_shift = shifts_data(arm);
    if (row.eval_causal == true) {
      out.causal.insert(arm.group);
      out.rules.insert(*row.router + " " + *row.capacity);
    }
    out.all.insert(arm.group);
    if (!collapsed.contains(arm.group)) out.sound.insert(arm.group);
    out.least_bound = std::min(out.least_bound, *row.lower_bound);
    out.most_bound = std::max(out.most_bound, *row.lower_bound);
    add_router_row(out, row, arm);
  }
  return out;
}

// A group's name; that its router has collapsed where it has.
std::string named(const std::string& name, const Collapsed& collapsed) {
  return name + (collapsed.contains(name) ? " (its router " + collapsed.at(name) + ")" : "");
}

// The lowest loss and the highest, and where the two differ in the routing alone also what they cost and can do.
std::vector<std::string> router_loss_headlines(const std::vector<Arm>& arms, const RouterFigures& figures,
                                               const std::map<std::string, Outcome>& outcomes,
                                               const Collapsed& collapsed) {
  const auto losses = range_of(figures.loss, figures.causal);
  if (losses.least == losses.most) return {};
  const auto gap = figures.loss.difference(losses.most, losses.least, losses.n * (losses.n - 1) / 2);
  const char* what = figures.rules.size() == figures.causal.size() ? "routing rules" : "arms with routers";
  std::vector<std::string> out = {
      format("Of %zu %s that do not look ahead at evaluation %s has the lowest loss on %s in the end, %s nats a "
             "token, and %s the highest, %s (%s).",
             figures.causal.size(), what, named(losses.least, collapsed).c_str(), figures.new_data.c_str(),
             figures.loss.of(losses.least).text().c_str(), named(losses.most, collapsed).c_str(),
             figures.loss.of(losses.most).text().c_str(), gap.text().c_str())};
  const auto pair = pair_of(arms, losses.most, losses.least);
  if (auto pace = pair && pair->aspect == "routing" ? pace_headline(*pair, outcomes) : ""; !pace.empty())
    out.push_back(std::move(pace));
  return out;
}

// Of the table `routers`; empty where there is none.
std::vector<std::string> router_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables,
                                          const std::vector<Group>& groups,
                                          const std::map<std::string, Outcome>& outcomes) {
  const auto found =
      std::find_if(tables.begin(), tables.end(), [](const auto& entry) { return entry.first == "routers"; });
  if (found == tables.end()) return {};
  Collapsed collapsed;
  for (const auto& group : groups)
    if (auto words = group.collapse(); !words.empty()) collapsed.emplace(group.name, std::move(words));
  const RouterFigures figures = router_figures(arms, rows_of<RouterRow>(found->second), collapsed);
  const std::string bound = "; an even load is " + figures.even_load() + " %.";
  auto out = router_loss_headlines(arms, figures, outcomes, collapsed);
  auto jumps = range_of(figures.height, figures.all);
  jumps.least = range_of(figures.height, figures.sound).least;  // a collapsed router has nowhere to rise to
  const auto rise = [&](const std::string& name) {
    return (figures.before.has(name) ? "from " + batch_share(figures.before.of(name)) + " " : "") + "to a peak of " +
           batch_share(figures.peak.of(name)) + " % under " + named(name, collapsed);
  };
  if (!jumps.least.empty() && jumps.least != jumps.most && figures.has_shift)
    out.push_back("At the shift the busiest expert's share of a training batch" +
                  (figures.peak.of(jumps.most).error ? " (peaks: means over seeds)" : kNoInterval) + " goes " +
                  rise(jumps.least) + ", and " + rise(jumps.most) + bound);
  const auto add_shares = [&](const Estimates& shares, const std::string& data) {
    const auto evens = range_of(shares, figures.all);
    const auto share = [&](const std::string& name) {
      const auto used = data == figures.new_data && figures.in_use.has(name)
                            ? format(", with %.4g of %lld experts in use", figures.in_use.of(name).value,
                                     static_cast<long long>(figures.n_experts.at(name)))
                            : "";
      return shares.of(name).text() + " % of the tokens under " + named(name, collapsed) + used;
    };
    if (evens.least != evens.most)
      out.push_back("On held-out " + data + " the busiest expert gets " + share(evens.least) + ", and " +
                    share(evens.most) + bound);
  };
  add_shares(figures.mri, figures.new_data);
  if (figures.old_data != figures.new_data) add_shares(figures.mri_old, figures.old_data);
  return out;
}

// How many of some differences are beyond noise on either side, or have no error at all.
struct Verdict {
  int64_t more = 0, less = 0, unknown = 0, n = 0;
  void add(const Difference& difference) {
    ++n;
    if (!difference.half) ++unknown;
    if (difference.is_beyond_noise()) ++(difference.value > 0 ? more : less);
  }
};

// "the MoE models forget more than the dense one" of as many models as there are; `cost` follows the dense one.
std::string forgetting_verdict(const Verdict& verdict, const std::string& cost) {
  const auto [more, less, unknown, n] = verdict;
  const std::string one = n == 1 ? "the MoE model" : "the MoE models", s = n == 1 ? "s" : "",
                    dense = " the dense one" + cost;
  if (more == n) return one + " forget" + s + " more than" + dense;
  if (less == n) return one + " forget" + s + " less than" + dense;
  if (unknown == n) return one + " forget" + s + ", with errors that are not known, beside" + dense;
  if (more + less == 0) return "there is no difference beyond noise in forgetting between " + one + " and" + dense;
  return format("%lld of %lld MoE models forget more and %lld less, beyond noise, than", static_cast<long long>(more),
                static_cast<long long>(n), static_cast<long long>(less)) +
         dense;
}

// Does the router make forgetting worse than in a dense model of the same data and budget? Empty where nothing
// compares.
std::string forgetting_headline(const std::vector<Group>& groups) {
  const auto forgetting = forgetting_of(groups);
  const auto dense = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
    return group.is_dense && !group.has_replay && group.shifts && forgetting.has(group.name);
  });
  if (dense == groups.end()) return "";
  std::set<std::string> models;
  std::string collapsed;
  FlopMatch moe_flops, all_flops;
  all_flops.add(dense->flops_per_token);
  for (const auto& group : groups) {
    if (group.is_dense || group.has_replay || group.budget != dense->budget || !forgetting.has(group.name)) continue;
    if (group.outcomes[0]->against != dense->outcomes[0]->against) continue;
    models.insert(group.name);
    if (const auto words = group.collapse(); !words.empty())
      collapsed += " The router of " + group.name + " " + words + ".";
    moe_flops.add(group.flops_per_token);
    all_flops.add(group.flops_per_token);
  }
  if (models.empty()) return "";
  Verdict verdict;
  for (const auto& model : models)
    verdict.add(forgetting.difference(model, dense->name, static_cast<int64_t>(models.size())));
  std::string cost = " of the same FLOPs";
  if (!all_flops.holds()) {
    const auto low = format("%.2f", moe_flops.least / dense->flops_per_token),
               high = format("%.2f", moe_flops.most / dense->flops_per_token);
    cost = ", at " + (low == high ? low : low + " to " + high) + " times its FLOPs a token";
  }
  const auto range = range_of(forgetting, models);
  const std::string least = forgetting.of(range.least).text(true), most = forgetting.of(range.most).text(true);
  return "Without replay " + forgetting_verdict(verdict, cost) + ": " +
         (models.size() == 1 ? least : least + " to " + most) + " nats a token on " + dense->old_data + " since " +
         train::baseline_words(dense->outcomes[0]->against) + " against " + forgetting.of(dense->name).text(true) +
         "." + collapsed;
}

// "7", "7 to 8" of figures over seeds.
std::string least_to_most(const std::vector<const Outcome*>& outcomes, double Outcome::*figure, const char* pattern) {
  double least = INFINITY, most = -INFINITY;
  for (const Outcome* outcome : outcomes) {
    if (std::isnan(outcome->*figure)) continue;
    least = std::min(least, outcome->*figure);
    most = std::max(most, outcome->*figure);
  }
  if (!std::isfinite(least)) return "";
  const auto low = format(pattern, least), high = format(pattern, most);
  return low == high ? low : low + " to " + high;
}

// The busiest expert's share in the end: of held-out text, and how many experts are in use.
std::string evaluated_balance(const Group& group) {
  Estimates shares;
  for (const Outcome* outcome : group.outcomes) {
    if (outcome->eval_mri) shares.add("new", outcome->seed, percent(outcome->eval_mri->value, outcome->eval_mri->se));
    if (outcome->eval_mri_old && group.old_data != group.new_data)
      shares.add("old", outcome->seed, percent(outcome->eval_mri_old->value, outcome->eval_mri_old->se));
  }
  std::string out;
  if (shares.has("new"))
    out += " Of held-out text it is " + shares.of("new").text() + " % on " + group.new_data +
           (shares.has("old") ? " and " + shares.of("old").text() + " % on " + group.old_data : "") + ".";
  const auto in_use = least_to_most(group.outcomes, &Outcome::experts_in_use, "%.0f");
  if (!in_use.empty())
    out += " In the end " + in_use + " of " + least_to_most(group.outcomes, &Outcome::experts, "%.0f") +
           " experts get a token of held-out " + group.new_data + ".";
  return out;
}

// Does the load stay balanced through the shift? As shares of tokens beside the even load, and experts in use: a ratio
// alone would praise a router that was collapsed before.
std::string balance_headline(const Group& group) {
  Estimates shares;  // of the group
  for (const Outcome* outcome : group.outcomes) {
    if (std::isnan(outcome->mri_before)) continue;
    shares.add("before", outcome->seed, 100 * outcome->mri_before);
    shares.add("first", outcome->seed, 100 * outcome->mri_first);
    shares.add("peak", outcome->seed, 100 * outcome->mri_peak);
    shares.add("end", outcome->seed, 100 * outcome->mri_end);
  }
  if (!shares.has("before") || group.has_replay || !group.shifts) return "";
  const auto share = [&](const char* when) { return batch_share(shares.of(when)) + " %"; };
  const bool has_own_before = group.outcomes[0]->has_own_before, has_seeds = shares.of("first").error.has_value();
  std::string out = group.name + ": at the shift MRI, the busiest expert's share of a training batch" +
                    (has_seeds ? ", " : kNoInterval + ", ") +
                    (has_own_before ? "goes from " + share("before") + " to " : "begins at ") + share("first") +
                    ", peaks at " + share("peak") + (has_seeds ? " (the mean of the seeds' peaks)" : "");
  out += format(" in the first %lld steps, and ends at ", static_cast<long long>(group.outcomes[0]->peak_steps));
  out += share("end") + format("; an even load is %.1f %%.", 100 * group.outcomes[0]->even_load);
  // Another text is no point that training batches rise from.
  if (!has_own_before)
    out += " Of other text, held-out " + group.old_data + ", it is " + share("before") + " at step 0.";
  out += evaluated_balance(group);
  if (const auto words = group.collapse(); !words.empty()) out += " Its router " + words + ".";
  return out;
}

// Whether every arm with a router has one whose collapse lasts: then nothing that a study answers is of sound routers.
bool all_have_collapsed(const std::vector<Group>& groups) {
  int64_t n_routers = 0;
  for (const auto& group : groups) {
    if (group.is_dense) continue;
    ++n_routers;
    if (!std::all_of(group.outcomes.begin(), group.outcomes.end(),
                     [](const Outcome* one) { return one->has_collapsed(); }))
      return false;
  }
  return n_routers > 0;
}

// What bounds the answers: one seed, a common start, sets that nothing was evaluated on.
std::vector<std::string> notes_on(const std::vector<Arm>& arms, const std::vector<Group>& groups, bool has_answers) {
  std::vector<std::string> out;
  const bool is_one_seed =
      std::all_of(groups.begin(), groups.end(), [](const Group& group) { return group.outcomes.size() == 1; });
  if (has_answers && is_one_seed)
    out.emplace_back(
        "Every arm has one seed: errors and intervals are those of the held-out text, and another seed may differ by "
        "more.");
  if (has_answers && seeds_share_start(arms))
    out.emplace_back(
        "The seeds of a group continue the same weights: their spread is that of the continued training, and after "
        "another pre-training figures may differ by more.");
  std::set<std::string> unseen;
  for (const auto& arm : arms) unseen.insert(train::sets_without_evaluation(arm));
  for (const auto& sets : unseen)
    if (!sets.empty())
      out.push_back("Nothing is said of the loss on " + sets +
                    ": phase.eval.data has no held-out set of it. A set counts as one where it has the name of the "
                    "source, its file, or the file's -heldout part.");
  return out;
}

}  // namespace

std::vector<std::string> study_headlines(const std::vector<Arm>& arms, const train::NamedTables& tables) {
  using train::Collapses;
  const auto outcomes = outcomes_of(arms, tables);
  const auto groups = groups_of(arms, outcomes);
  std::vector<std::string> out;
  const auto add = [&](std::string sentence) {
    if (!sentence.empty()) out.push_back(std::move(sentence));
  };
  const auto add_all = [&](std::vector<std::string> sentences) {
    for (auto& sentence : sentences) add(std::move(sentence));
  };
  // The answers come first, and each says where it is of a collapsed router; unless there is no other router.
  const bool is_lost = all_have_collapsed(groups);
  if (is_lost) add_all(train::collapse_headlines(arms, Collapses::lasting));
  add(forgetting_headline(groups));
  // Of many routers the best and the worst, else each pair of arms that differ in one thing.
  auto many = router_headlines(arms, tables, groups, outcomes);
  const bool has_many = !many.empty();
  const auto pairs = pairs_of(arms);
  for (const auto& pair : pairs)
    if (!has_many || pair.aspect != "routing") add(pair_headline(pair, outcomes));
  add_all(std::move(many));
  if (!has_many)
    for (const auto& group : groups) add(balance_headline(group));
  add_all(train::collapse_headlines(arms, is_lost ? Collapses::recovered : Collapses::all));
  if (!out.empty()) add_all(unpaired_notes(arms, pairs));
  add_all(notes_on(arms, groups, !out.empty()));
  return out;
}

std::vector<std::string> headlines_and_notes(const std::vector<Arm>& arms, const train::NamedTables& tables,
                                             const Speeds& speeds) {
  auto out = study_headlines(arms, tables);
  for (const auto& note : train::router_notes(arms)) out.push_back(note);
  if (auto note = busy_note(arms, speeds); !note.empty()) out.push_back(std::move(note));
  return out;
}

}  // namespace evenkeel::study
