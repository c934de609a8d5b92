#include "analysis/results.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "record/alarm.h"

namespace evenkeel::analysis {
namespace {

const Table* find_table(const std::vector<NamedTable>& tables, const std::string& name) {
  for (const auto& table : tables)
    if (table.name == name && !table.csv_only) return &table.table;
  return nullptr;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}
std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

// The row with the largest value of `score`, which may be NaN for rows that have none; nullptr without one.
template <class F>
const std::vector<Json>* best_row(const Table& table, F&& score) {
  const std::vector<Json>* best = nullptr;
  double most = 0;
  for (const auto& row : table.rows) {
    const double value = score(row);
    if (std::isnan(value) || (best != nullptr && value <= most)) continue;
    best = &row;
    most = value;
  }
  return best;
}

class Row {
 public:
  Row(const Table& table, const std::vector<Json>& row) : table_(table), row_(row) {}
  const Json& at(const char* column) const { return row_[table_.column(column)]; }
  double number(const char* column) const { return at(column).is_number() ? at(column).as_double() : std::nan(""); }
  // " (95 %: 61.0 % to 72.3 %)" of a share that has an interval here, else "".
  std::string interval(const std::string& column) const {
    const auto end = [&](const std::string& name) {
      const bool is_there = std::any_of(table_.columns.begin(), table_.columns.end(),
                                        [&](const Column& other) { return other.name == name; });
      return is_there ? number(name.c_str()) : std::nan("");
    };
    const double low = end(column + "_low"), high = end(column + "_high");
    return std::isnan(low) ? "" : " (95 %: " + percent(low) + " to " + percent(high) + ")";
  }
  std::string text(const char* column) const {
    return at(column).is_string() ? at(column).as_string() : at(column).dump();
  }

 private:
  const Table& table_;
  const std::vector<Json>& row_;
};

void say_imbalance(const Table& table, std::vector<std::string>& out) {
  const auto* worst = best_row(table, [&](const auto& values) {
    const Row row(table, values);
    return row.number("mri") / row.number("mri_chance");
  });
  if (worst != nullptr) {
    const Row row(table, *worst);
    std::string sentence = "Layer " + row.text("layer") + " is the least balanced, on " + row.text("domain") + ": " +
                           percent(row.number("mri")) + " of the tokens reach its busiest expert" + row.interval("mri");
    out.push_back(sentence + ", " + fixed(row.number("mri") / row.number("mri_chance")) +
                  " times what uniform random routing gives.");
  }
  int64_t n_dead = 0, n_rows = 0;
  for (const auto& values : table.rows) {
    const Row row(table, values);
    n_dead += row.at("dead").as_int();
    n_rows += row.at("dead").as_int() > 0 ? 1 : 0;
  }
  if (n_dead > 0)
    out.push_back("Experts without a token: " + std::to_string(n_dead) + ", in " + std::to_string(n_rows) + " of " +
                  std::to_string(table.rows.size()) + " pairs of layer and data set.");
}

void say_similarity(const Table& table, std::vector<std::string>& out) {
  const auto* farthest = best_row(table, [&](const auto& row) { return -Row(table, row).number("overlap"); });
  if (farthest == nullptr) return;
  const Row row(table, *farthest);
  std::string sentence = "The loads of " + row.text("domain_a") + " and " + row.text("domain_b") +
                         " are farthest apart in layer " + row.text("layer") + ": they overlap by " +
                         percent(row.number("overlap")) + row.interval("overlap");
  if (row.at("overlap_chance").is_number())
    sentence += " (two sets routed at random: " + percent(row.number("overlap_chance")) + ")";
  out.push_back(sentence + ".");
}

// Of the most experts a token, mean over layers and data sets; against the first reference where there are several (of
// a run). The layer is the one that keeps least beyond what the two loads give.
void say_saturation(const Table& table, std::vector<std::string>& out) {
  int64_t k = 0;
  for (const auto& values : table.rows) k = std::max(k, Row(table, values).at("k").as_int());
  double sum = 0, by_load = 0, n = 0;
  const auto* least = best_row(table, [&](const auto& values) {
    const Row row(table, values);
    if (row.at("k").as_int() != k || row.at("from") != Row(table, table.rows[0]).at("from")) return std::nan("");
    const double excess = row.number("saturation") - row.number("load_chance");
    if (std::isnan(excess)) return excess;
    sum += row.number("saturation");
    by_load += row.number("load_chance");
    n += 1;
    return -excess;
  });
  if (least == nullptr) return;
  const Row row(table, *least);
  out.push_back(
      "The model makes " + percent(sum / n) +
      " of the reference's choices again (choices by themselves, at the loads of the two: " + percent(by_load / n) +
      "); least beyond that in layer " + row.text("layer") + ", " + percent(row.number("saturation")) +
      row.interval("saturation") + " against " + percent(row.number("load_chance")) + ".");
}

// The layer whose favourites stand highest above those of ids that have no part in the choice. Their interval says
// whether they stand above at all.
void say_vocabulary(const Table& table, std::vector<std::string>& out) {
  const auto* most = best_row(table, [&](const auto& values) {
    const Row row(table, values);
    const bool counts =
        row.text("id_kind") == "input" && row.at("k").as_int() == 1 && row.at("minimum_count").as_int() > 1;
    return counts ? row.number("mean") - row.number("load_chance") : std::nan("");
  });
  if (most == nullptr) return;
  const Row row(table, *most);
  const double low = row.at("mean_low").is_number() ? row.number("mean_low") : row.number("mean");
  const std::string layer = "layer " + row.text("layer");
  const std::string begin =
      low > row.number("load_chance")
          ? "Token ids are tied to experts most in " + layer + ": "
          : "In no layer are token ids tied to experts beyond its load; nearest to it is " + layer + ": ";
  out.push_back(begin + percent(row.number("mean")) + row.interval("mean") +
                " of an id's occurrences go to its favourite first, and " + percent(row.number("load_chance")) +
                " if the choice did not depend on the id (ids seen at least " + row.text("minimum_count") + " times).");
}

// A sentence for each data set on which busiest experts get so many tokens that training would call the router
// collapsed.
void say_collapse(const Table& table, std::vector<std::string>& out) {
  struct Collapsed {
    std::string layers;
    int64_t n_layers = 0;
    double least = 1, most = 0;  // MRI
  };
  std::map<std::string, Collapsed> by_domain;
  for (const auto& values : table.rows) {
    const Row row(table, values);
    const double mri = row.number("mri");
    const bool is_choice = row.number("lower_bound") <= 0.5;  // k of at least 2 k experts
    if (!is_choice || row.number("tokens") < record::Alarm::kFewestTokens || !(mri >= record::Alarm::kNearlyAll))
      continue;
    auto& found = by_domain[row.text("domain")];
    found.layers += (found.n_layers++ == 0 ? "" : ", ") + row.text("layer");
    found.least = std::min(found.least, mri);
    found.most = std::max(found.most, mri);
  }
  for (const auto& [domain, found] : by_domain) {
    const std::string shares = percent(found.least) == percent(found.most)
                                   ? percent(found.most)
                                   : percent(found.least) + " to " + percent(found.most);
    out.push_back("The router has collapsed on " + domain + " in layer" + (found.n_layers > 1 ? "s " : " ") +
                  found.layers + ": " + shares + " of the tokens have one and the same expert.");
  }
}

Json definitions() {
  Json out = Json::object();
  const auto add = [&](const char* term, const char* text, const char* source) {
    out[term] = Json::Object{{"text", text}, {"source", source}};
  };
  add("load", "Share of the assignments that an expert receives, before drops; the shares of a layer sum to 1.",
      "arXiv 2409.02060");
  add("MRI",
      "Maximum routing imbalance: the largest share of tokens that one expert of a layer receives, before drops. Never "
      "below k / E (lower_bound), which is perfect balance.",
      "arXiv 2503.05029");
  add("mri_chance",
      "The mean MRI when as many tokens choose k of E experts uniformly at random. It is above k / E, and falls "
      "towards it as tokens grow.",
      "docs/analyses.md");
  add("mri_low, mri_high",
      "95 % interval of the MRI of the text that the data set is a sample of: Wilson's intervals of all experts at "
      "once (Bonferroni), with Student's quantile of blocks - 1 and effective_tokens in place of tokens.",
      "docs/analyses.md");
  add("NAME_low, NAME_high",
      "95 % interval of the column NAME, from the spread between blocks of neighbouring windows (of entropy, cv, "
      "correlation and overlap by a "
      "bootstrap over them) or, where the figure is a mean over ids, over ids. Published counts have none: they do not "
      "say which tokens stood together.",
      "docs/analyses.md");
  add("effective_tokens",
      "Tokens divided by the design effect: how much more the shares of experts vary between blocks of windows than "
      "independent "
      "tokens would.",
      "docs/analyses.md");
  add("entropy", "Entropy of the load divided by ln E: 1 is uniform.", "");
  add("cv", "Coefficient of variation: population standard deviation of the load divided by its mean.", "");
  add("entropy_chance, cv_chance",
      "The mean entropy and cv when as many tokens choose k of E experts uniformly at random.", "docs/analyses.md");
  add("dead", "Experts that receive no token of the data set.", "");
  add("dropped", "Share of the assignments over an expert's capacity; they contribute nothing.", "");
  add("top1", "The same figures of first choices: the expert that the router prefers for a token.", "");
  add("share_of_tokens",
      "Domain specialization: tokens of the data set that reach the expert / its tokens; k / E when uniform.",
      "arXiv 2409.02060, eq. 7");
  add("correlation, overlap", "Of the loads of two data sets: Pearson's correlation over experts, and 1 - L1 / 2.",
      "arXiv 2402.01739, section 4");
  add("favourite",
      "The expert that most of an id's occurrences go to first. expert_tokens lists for each expert the ids with the "
      "largest shares, its own favourites or not; semantic_clusters takes only those whose favourite it is.",
      "arXiv 2409.02060, table 8");
  add("from, to",
      "The two models whose choices on the same tokens are compared; from_step is the optimizer step that `from` was "
      "saved after.",
      "");
  add("load_chance, load_first, load_overlap, load_std",
      "What the figure would be if experts were chosen without a look at the token, each as often as the layer chooses "
      "it here. Where one expert has most tokens this is far above `chance`, and only what exceeds it says something "
      "of "
      "tokens.",
      "docs/analyses.md");
  add("chance",
      "What uniform random routing gives for the figure of a table; null where rows differ and a column has it.", "");
  return out;
}

}  // namespace

std::vector<std::string> analysis_headlines(const std::vector<NamedTable>& tables) {
  std::vector<std::string> out;
  if (const auto* load = find_table(tables, "load")) {
    say_collapse(*load, out);
    say_imbalance(*load, out);
  }
  if (const auto* similarity = find_table(tables, "domain_similarity")) say_similarity(*similarity, out);
  if (const auto* saturation = find_table(tables, "saturation")) say_saturation(*saturation, out);
  if (const auto* vocabulary = find_table(tables, "vocabulary_specialization")) say_vocabulary(*vocabulary, out);
  return out;
}

Json analysis_results(const AnalysisRun& run, const AnalysisTables& result) {
  Json out = Json::object(), tables = Json::object();
  for (const auto& table : result.tables)
    if (!table.csv_only) tables[table.name] = to_json(table.table);
  out["schema"] = "evenkeel.results.v1";
  out["kind"] = "analysis";
  out["title"] = "Routing of " + run.model;
  out["headlines"] = analysis_headlines(result.tables);
  out["definitions"] = definitions();
  out["model"] = run.model_json;
  out["data"] = run.data;
  out["options"] = run.options;
  out["arms"] = Json::array();
  out["tables"] = std::move(tables);
  out["notes"] = result.notes;
  return out;
}

}  // namespace evenkeel::analysis
