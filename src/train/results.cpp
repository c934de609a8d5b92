#include "train/results.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/run_lines.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "optim/schedule.h"
#include "train/config.h"
#include "train/metrics.h"
#include "train/table_levels.h"
#include "train/warnings.h"

namespace evenkeel::train {
namespace {

constexpr const char* kSchema = "evenkeel.results.v1";
// The number of a phase's last steps that stand for its end: an eighth, rounded, at least one where there is one.
size_t last_eighth(size_t n_steps) { return std::min(n_steps, std::max<size_t>(1, (n_steps + 4) / 8)); }

constexpr double kNormal95 = 1.959963984540054;  // half of a 95 % interval in standard errors
constexpr size_t kShiftWindow = 50;              // experiments.md: steps before and after a shift

Json known(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

const std::string& text_at(const Json& json, const char* key) { return json.at(key).as_string(); }

std::vector<const Json*> steps_of(const Arm& arm, const std::string& phase) {
  std::vector<const Json*> out;
  for (const auto& step : arm.steps)
    if (text_at(step, "phase") == phase) out.push_back(&step);
  return out;
}

// MRI of a step: of a layer (index into routing), or the mean over layers for index < 0.
double mri_at(const Json& step, int index) {
  const auto& routing = step.at("routing").as_array();
  if (index >= 0) return routing.at(static_cast<size_t>(index)).at("mri").as_double();
  double sum = 0;
  for (const auto& layer : routing) sum += layer.at("mri").as_double();
  return sum / static_cast<double>(routing.size());
}

double mean(const std::vector<double>& values, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += values[i];
  return sum / static_cast<double>(end - begin);
}

// The last step of this run that phase `index` continues from; -1 when it is another run's.
int64_t step_before_phase(const Arm& arm, size_t index) {
  const auto& phases = arm.resolved.at("phase").as_array();
  int64_t last = 0;
  std::vector<std::pair<std::string, int64_t>> ends;
  for (size_t i = 0; i < index; ++i) {
    last += phases[i].at("steps").as_int();
    ends.emplace_back(text_at(phases[i], "name"), last);
  }
  const Json& start = phases[index].at("start");
  if (start.is_null()) return last;
  const std::string& from = text_at(start, "from");
  for (const auto& [name, end] : ends) {
    if (name != from && !(from.empty() && end == last)) continue;
    return text_at(start, "step") == "last" ? end : std::stoll(text_at(start, "step"));
  }
  return -1;
}

const std::string kStepZero = "step 0";  // in the place of a phase

// The evaluation of step 0; nullptr where there is none.
const Json* first_evaluation(const Arm& arm) {
  return !arm.evaluations.empty() && arm.evaluations[0].at("step").as_int() == 0 ? &arm.evaluations[0] : nullptr;
}

// The last evaluation of each phase, in the order of the phases; that of step 0 is of none.
std::vector<const Json*> final_evaluations(const Arm& arm) {
  std::vector<const Json*> out;
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    const Json* last = nullptr;
    for (const auto& line : arm.evaluations)
      if (text_at(line, "phase") == text_at(phase, "name") && line.at("step").as_int() > 0) last = &line;
    if (last != nullptr) out.push_back(last);
  }
  return out;
}

}  // namespace

bool comes_from_elsewhere(const Arm& arm) {
  const Json* from = arm.resolved.at("model").find("from");
  const Json& start = arm.resolved.at("phase").at(0).at("start");
  return (from != nullptr && !from->is_null()) || !start.is_null();
}

const Json* baseline_evaluation(const Arm& arm) {
  if (comes_from_elsewhere(arm)) return first_evaluation(arm);
  const auto lines = final_evaluations(arm);
  const bool has_first = !lines.empty() && text_at(*lines[0], "phase") == text_at(arm.resolved.at("phase").at(0), "name");
  return has_first ? lines[0] : nullptr;
}

std::string baseline_name(const Arm& arm) { return comes_from_elsewhere(arm) ? kStepZero : text_at(arm.resolved.at("phase").at(0), "name"); }

namespace {

// MRI at step 0, the mean over the held-out sets; NaN where it was not evaluated.
double mri_at_start(const Arm& arm, int layer) {
  const Json* line = comes_from_elsewhere(arm) ? first_evaluation(arm) : nullptr;
  if (line == nullptr) return NAN;
  double sum = 0;
  for (const auto& [data, result] : line->at("eval").as_object()) sum += mri_at(result, layer);
  return sum / static_cast<double>(line->at("eval").size());
}

void add_shift_rows(const Arm& arm, size_t index, Table& table) {
  const std::string& phase = text_at(arm.resolved.at("phase").at(index), "name");
  const auto steps = steps_of(arm, phase);
  if (steps.empty() || steps[0]->at("routing").size() == 0) return;
  const int64_t shift = step_before_phase(arm, index);
  std::vector<const Json*> earlier;
  for (const auto& step : arm.steps)
    if (step.at("step").as_int() <= shift && step.at("step").as_int() > shift - static_cast<int64_t>(kShiftWindow)) earlier.push_back(&step);
  const auto config = arm_model(arm);
  const double lower_bound = model::experts_per_token(config) / static_cast<double>(config.n_experts);
  const auto n_layers = static_cast<int>(steps[0]->at("routing").size());
  for (int layer = -1; layer < n_layers; ++layer) {
    std::vector<double> curve, past;
    for (const Json* step : steps) curve.push_back(mri_at(*step, layer));
    for (const Json* step : earlier) past.push_back(mri_at(*step, layer));
    const double before = !past.empty() ? mean(past, 0, past.size()) : index == 0 ? mri_at_start(arm, layer)
                                                                                  : NAN;
    const size_t window = std::min(kShiftWindow, curve.size());
    const size_t peak = static_cast<size_t>(std::max_element(curve.begin(), curve.begin() + static_cast<std::ptrdiff_t>(window)) - curve.begin());
    Json recovered;
    for (size_t i = std::max<size_t>(peak + 1, 4); i < curve.size() && recovered.is_null(); ++i)
      if (mean(curve, i - 4, i + 1) <= 1.1 * before) recovered = static_cast<int64_t>(i + 1);
    const size_t eighth = last_eighth(curve.size());
    const Json layer_id = layer < 0 ? Json() : steps[0]->at("routing").at(static_cast<size_t>(layer)).at("layer");
    table.add_row({arm.name, phase, layer_id, lower_bound, before, curve[0], curve[peak], static_cast<int64_t>(peak + 1), recovered, mean(curve, curve.size() - eighth, curve.size())});
  }
}

void add_forgetting_rows(const Arm& arm, Table& table) {
  const auto lines = final_evaluations(arm);
  const Json* baseline = baseline_evaluation(arm);
  for (const Json* line : lines) {
    for (const auto& [data, result] : line->at("eval").as_object()) {
      const Json* first = baseline != nullptr ? baseline->at("eval").find(data) : nullptr;
      const LossFigure loss = loss_figure(result);
      Json change, change_se;
      if (first != nullptr) {
        const LossFigure since = difference(loss, loss_figure(*first));
        change = since.value;
        if (since.se && line != baseline) change_se = *since.se;  // the baseline's own change is 0 by definition
      }
      table.add_row({arm.name, text_at(*line, "phase"), data, loss.value, result.at("perplexity"), change, known(loss.se), change_se});
    }
  }
}

// A run whose weights come from elsewhere has rows of "step 0" first.
void add_eval_mri_rows(const Arm& arm, Table& table) {
  auto lines = final_evaluations(arm);
  const Json* start = comes_from_elsewhere(arm) ? first_evaluation(arm) : nullptr;
  if (start != nullptr) lines.insert(lines.begin(), start);
  for (const Json* line : lines)
    for (const auto& [data, result] : line->at("eval").as_object())
      for (const auto& layer : result.at("routing").as_array())
        table.add_row({arm.name, line == start ? kStepZero : text_at(*line, "phase"), data, layer.at("layer"), layer.at("mri"), layer.at("entropy"), layer.at("dead")});
}

// The run that a phase's first weights are of, by the name of its folder; null where that is the arm's own.
Json start_run(const Arm& arm, const std::string& phase) {
  const auto& phases = arm.resolved.at("phase").as_array();
  for (size_t i = 0; i < phases.size(); ++i) {
    if (text_at(phases[i], "name") != phase || step_before_phase(arm, i) >= 0) continue;
    std::filesystem::path folder = text_at(phases[i].at("start"), "from");
    if (!folder.has_filename()) folder = folder.parent_path();  // "RUN/"
    if (folder.parent_path().filename() == "checkpoints") folder = folder.parent_path().parent_path();
    return folder.filename().string();
  }
  return {};
}

void add_saturation_rows(const Arm& arm, Table& table) {
  for (const auto& line : arm.saturations) {
    const Json from_run = start_run(arm, text_at(line, "phase"));
    for (const auto& [data, rows] : line.at("saturation").as_object())
      for (const auto& row : rows.as_array())
        table.add_row({arm.name, row.at("layer"), row.at("k"), row.at("from"), row.at("to"), data, row.at("saturation"), row.at("chance"), from_run});
  }
}

// A row for the mean over layers, then one for each layer; sums are of `n` lines. `data` is null for training.
void add_drop_rows_of(const Arm& arm, const std::string& phase, const Json& data, const std::vector<const Json*>& lines, Table& table) {
  if (lines.empty()) return;
  const auto n = static_cast<double>(lines.size());
  std::vector<double> by_layer(lines[0]->size(), 0.0);
  for (const Json* routing : lines)
    for (size_t i = 0; i < by_layer.size(); ++i) by_layer[i] += routing->at(i).at("dropped").as_double() / n;
  table.add_row({arm.name, phase, data, Json(), mean(by_layer, 0, by_layer.size())});
  for (size_t i = 0; i < by_layer.size(); ++i) table.add_row({arm.name, phase, data, lines[0]->at(i).at("layer"), by_layer[i]});
}

// Only of arms with a capacity: the mean of each phase's last eighth, and its final evaluation.
void add_drop_rows(const Arm& arm, Table& table) {
  const auto config = arm_model(arm);
  if (!config.is_moe() || config.capacity.is_dropless()) return;
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    std::vector<const Json*> lines;
    const auto steps = steps_of(arm, text_at(phase, "name"));
    for (size_t i = steps.size() - last_eighth(steps.size()); i < steps.size(); ++i) lines.push_back(&steps[i]->at("routing"));
    add_drop_rows_of(arm, text_at(phase, "name"), Json(), lines, table);
  }
  for (const Json* line : final_evaluations(arm))
    for (const auto& [data, result] : line->at("eval").as_object()) add_drop_rows_of(arm, text_at(*line, "phase"), data, {&result.at("routing")}, table);
}

Json lr_curve(const Arm& arm) {
  constexpr int64_t kPoints = 200;
  Json out = Json::array();
  int64_t first = 1;
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    const int64_t n_steps = phase.at("steps").as_int(), per_step = phase.at("tokens").as_int() / n_steps;
    const ConfigNode schedule = config_from_json(phase.at("schedule"), (arm.run / "resolved.json").string());
    const auto rates = optim::make_schedule(schedule, {n_steps, per_step});
    const int64_t stride = std::max<int64_t>(1, n_steps / kPoints);
    for (int64_t n = 1; n <= n_steps; n = n < n_steps ? std::min(n + stride, n_steps) : n + 1)
      out.push_back(Json::Array{first + n - 1, rates->rate(n)});
    first += n_steps;
  }
  return out;
}

const char* model_word(const model::ModelConfig& config) {
  if (!config.is_moe()) return "dense";
  if (config.n_shared_experts > 0) return "granular";
  return config.top_k == 1 ? "switch" : "moe";
}

}  // namespace

std::optional<LossFigure> loss_at_end(const Arm& arm, const std::string& data) {
  const auto lines = final_evaluations(arm);
  const Json* result = lines.empty() ? nullptr : lines.back()->at("eval").find(data);
  return result != nullptr ? std::optional(loss_figure(*result)) : std::nullopt;
}

std::optional<LossFigure> loss_change(const Arm& arm, const std::string& data) {
  const auto end = loss_at_end(arm, data);
  const Json* baseline = baseline_evaluation(arm);
  const Json* first = baseline != nullptr ? baseline->at("eval").find(data) : nullptr;
  return end && first != nullptr ? std::optional(difference(*end, loss_figure(*first))) : std::nullopt;
}

Arm read_arm(const std::string& name, const std::string& group, const std::filesystem::path& run) {
  Arm arm{name, group, run, {}, {}, {}, {}};
  const auto path = run / "resolved.json";
  arm.resolved = read_json(path);
  for (auto& line : read_run_lines(run / "metrics.jsonl")) {
    if (line.find("eval") != nullptr) {
      arm.evaluations.push_back(std::move(line));
    } else if (line.find("saturation") != nullptr) {
      arm.saturations.push_back(std::move(line));
    } else {
      arm.steps.push_back(std::move(line));
    }
  }
  return arm;
}

model::ModelConfig arm_model(const Arm& arm) {
  Json model = arm.resolved.at("model");
  Json::Object kept;
  for (auto& [key, value] : model.as_object())
    if (key != "from") kept.emplace_back(key, value);
  return model::model_config_from_json(Json(kept), (arm.run / "resolved.json").string());
}

NamedTables new_tables() {
  const auto table = [](std::vector<Column> columns, const char* source) {
    Table out;
    out.columns = std::move(columns);
    out.source = source;
    return out;
  };
  NamedTables tables;
  tables.emplace_back("forgetting", table({{"arm", ""}, {"phase", ""}, {"data", ""}, {"loss", "nats/token"}, {"perplexity", ""}, {"change", "nats/token"}, {"loss_se", "nats/token"}, {"change_se", "nats/token"}},
                                          "held-out loss after each phase; change against the first phase's end, or against step 0 where the weights come from elsewhere (arXiv 2503.05029, 2403.08763). "
                                          "loss_se, change_se: standard errors from the spread between windows of the text (documents, where they are separate), that of the change paired by the windows; "
                                          "they say what another text would give, not another seed"));
  tables.emplace_back("shift_mri", table({{"arm", ""}, {"phase", ""}, {"layer", ""}, {"lower_bound", ""}, {"before", ""}, {"first", ""}, {"peak", ""}, {"peak_step", "steps"}, {"steps_to_recover", "steps"}, {"after", ""}},
                                         "maximum routing imbalance around the shift, training mode (arXiv 2503.05029)"));
  tables.emplace_back("eval_mri", table({{"arm", ""}, {"phase", ""}, {"data", ""}, {"layer", ""}, {"mri", ""}, {"entropy", ""}, {"dead", "experts"}},
                                        "routing on held-out sets in evaluation mode, pooled over the set (arXiv 2503.05029)"));
  tables.emplace_back("saturation", table({{"arm", ""}, {"layer", ""}, {"k", ""}, {"from", "step"}, {"to", "step"}, {"data", ""}, {"saturation", ""}, {"chance", ""}, {"from_run", ""}},
                                          "router saturation from the phase's start to its end (arXiv 2409.02060, eq. 5). from_run: the run that step `from` is of, where it is not the arm's own"));
  tables.emplace_back("drops", table({{"arm", ""}, {"phase", ""}, {"data", ""}, {"layer", ""}, {"dropped", "share of assignments"}},
                                     "assignments over capacity: training (data null), mean of the phase's last eighth; held-out sets at the phase's end, evaluation mode"));
  tables.emplace_back("warnings", table({{"arm", ""}, {"phase", ""}, {"step", "step"}, {"layer", ""}, {"kind", ""}, {"what", ""}, {"recovered", ""}, {"n_arms", "arms"}},
                                        "what the checks found (docs/cpt.md), once a phase for each layer and kind; layer null: the whole model. n_arms: how many arms share the phase, which was trained once, under `arm`"));
  return tables;
}

Table& find_table(NamedTables& tables, const std::string& name) {
  for (auto& [table_name, table] : tables)
    if (table_name == name) return table;
  throw std::logic_error("no table named " + name);
}

namespace {

void add_arm_rows(const Arm& arm, NamedTables& tables) {
  add_forgetting_rows(arm, find_table(tables, "forgetting"));
  for (size_t i = comes_from_elsewhere(arm) ? 0 : 1; i < arm.resolved.at("phase").size(); ++i) add_shift_rows(arm, i, find_table(tables, "shift_mri"));
  add_eval_mri_rows(arm, find_table(tables, "eval_mri"));
  add_saturation_rows(arm, find_table(tables, "saturation"));
  add_drop_rows(arm, find_table(tables, "drops"));
}

}  // namespace

void add_rows(const std::vector<Arm>& arms, NamedTables& tables) {
  for (const auto& arm : arms) add_arm_rows(arm, tables);
  add_warning_rows(arms, find_table(tables, "warnings"));
}

int64_t seed_of(const Arm& arm) { return arm.resolved.at("train").at("seed").as_int(); }

Json arm_json(const Arm& arm, const std::string& run) {
  const auto config = arm_model(arm);
  const auto counts = model::count_parameters(config);
  Json out = Json::object(), phases = Json::array();
  out["name"] = arm.name;
  out["group"] = arm.group;
  out["run"] = run;
  out["parameters"] = counts.total;
  out["active_parameters"] = counts.active;
  out["flops_per_token"] = model::training_flops_per_token(config, arm.resolved.at("train").at("sequence_length").as_int());
  out["seed"] = seed_of(arm);
  out["model"] = model_word(config);
  const Json* kind = arm.resolved.at("model").at("router").find("kind");
  out["router"] = config.is_moe() && kind != nullptr ? *kind : Json();
  out["lower_bound"] = config.is_moe() ? Json(model::experts_per_token(config) / static_cast<double>(config.n_experts)) : Json();
  out["baseline"] = baseline_name(arm);
  double replay_fraction = 0;
  for (const auto& phase : arm.resolved.at("phase").as_array()) {
    const Json* replay = phase.find("replay");
    if (replay != nullptr && !replay->is_null()) replay_fraction = std::max(replay_fraction, replay->at("fraction").as_double());
    const auto steps = steps_of(arm, text_at(phase, "name"));
    double seconds = 0;
    for (const Json* step : steps) seconds += step->at("seconds").as_double();
    Json row = Json::object();
    row["name"] = phase.at("name");
    row["steps"] = static_cast<int64_t>(steps.size());
    row["tokens"] = phase.at("tokens").as_int() / phase.at("steps").as_int() * static_cast<int64_t>(steps.size());
    row["seconds"] = seconds;
    row["first_step"] = steps.empty() ? Json() : steps.front()->at("step");
    row["last_step"] = steps.empty() ? Json() : steps.back()->at("step");
    phases.push_back(std::move(row));
  }
  out["replay_fraction"] = replay_fraction;
  out["phases"] = std::move(phases);
  out["lr_curve"] = lr_curve(arm);
  return out;
}

std::vector<std::string> router_notes(const std::vector<Arm>& arms) {
  std::vector<std::string> out;
  const auto add_once = [&](const std::string& note) {
    if (std::find(out.begin(), out.end(), note) == out.end()) out.push_back(note);
  };
  const char* consequence = " depend on later tokens of its sequence, in training and evaluation. Its losses are not those of a model that generates token by token.";
  for (const auto& arm : arms) {
    const auto config = arm_model(arm);
    if (!config.is_moe()) continue;
    const auto router = moe::make_router(config.router_shape(), config.router);
    const std::string kind = router->options().at("kind").as_string();
    if (!router->traits().causal_eval) add_once("The router " + kind + " is not causal: a token's experts" + consequence);
    if (!moe::capacity_traits(config.capacity, config.top_k).is_causal) add_once("The capacity rule " + config.capacity.rule + " is not causal: a token's drops" + consequence);
  }
  return out;
}

Json definitions_json() {
  Json out = Json::object();
  const auto add = [&](const char* term, const char* text, const char* source) { out[term] = Json::Object{{"text", text}, {"source", source}}; };
  add("loss", "Mean cross-entropy in nats over target tokens, end-of-document tokens included.", "docs/formats.md");
  add("perplexity", "exp(loss).", "");
  add("± of a loss", "Its standard error: how much the loss of another text of the kind would differ, from the spread between windows (or documents). Of several seeds: the larger of that and of the sample standard deviation over them.", "docs/formats.md");
  add("bits per byte", "Sum of the losses divided by ln 2 and by the bytes of the text.", "");
  add("load", "Share of the assignments that an expert receives, before drops; the shares of a layer sum to 1.", "arXiv 2409.02060");
  add("MRI", "Maximum routing imbalance: the largest share of tokens that one expert of a layer receives. Never below k / E, which is perfect balance (k: on average, where a router gives tokens any number of experts).", "arXiv 2503.05029");
  add("entropy", "Entropy of the load divided by ln E: 1 is uniform.", "");
  add("cv", "Coefficient of variation: population standard deviation of the load divided by its mean.", "");
  add("dropped", "Share of the assignments over an expert's capacity: they contribute nothing. Load and MRI are before drops.", "arXiv 2101.03961");
  add("dead experts", "Experts that receive no token (of the step, or of the held-out set).", "");
  add("forgetting", "Change of the held-out loss of the old data against the end of the first phase.", "arXiv 2403.08763");
  add("replay", "Share of each batch that is old data; the budget of tokens does not change (compute-equivalent replay).", "arXiv 2503.05029");
  add("saturation", "Mean over tokens of the share of the k experts chosen before that are chosen again after; chance is k / E. Where a router gives a token any number of experts: choices in common over choices after.", "arXiv 2409.02060, eq. 5");
  add("steps to recover", "First step after the peak at which the mean MRI of 5 steps is at most 1.1 times its mean over the last 50 steps before the shift.", "docs/formats.md");
  add("PB, SB", "Penalty-balanced (balance and z-loss) and Sinkhorn-balanced top-k routing.", "arXiv 2503.05029");
  return out;
}

Json tables_json(const NamedTables& tables) {
  Json out = Json::object();
  for (const auto& [name, table] : tables) out[name] = to_json(table);
  return out;
}

namespace {
// Of a row of `forgetting`. One run has one seed: its errors are those of the text.
std::string loss_sentence(const Table& table, const std::vector<Json>& row, const std::string& baseline) {
  const auto figure = [&](const char* column) -> std::optional<double> {
    const Json& value = row[table.column(column)];
    return value.is_number() ? std::optional(value.as_double()) : std::nullopt;
  };
  std::string out = "After phase " + row[table.column("phase")].as_string() + " the held-out loss on " + row[table.column("data")].as_string() + " is " + with_error(*figure("loss"), figure("loss_se")) + " nats a token";
  const auto change = figure("change"), se = figure("change_se");
  if (change && *change != 0) out += " (since " + baseline + ": " + difference_text(*change, se ? std::optional(kNormal95 * *se) : std::nullopt) + ")";
  return out + ".";
}

// "Experts in use ...": how many of all layers' experts each held-out set reaches in the end; empty where nothing says it.
std::string use_headline(const Arm& arm) {
  std::string out;
  const auto lines = final_evaluations(arm);
  if (lines.empty()) return out;
  for (const auto& [data, result] : lines.back()->at("eval").as_object())
    if (const auto use = expert_use(arm, data))
      out += (out.empty() ? "Experts in use in the end, of " + std::to_string(use->all) + " in all layers: " : ", ") + std::to_string(use->in_use) + " on held-out " + data;
  return out.empty() ? out : out + ".";
}

Json run_headlines(const Arm& arm, const NamedTables& tables) {
  Json out = Json::array();
  for (const auto& sentence : collapse_headlines({arm})) out.push_back(sentence);
  auto copy = tables;
  const Table& forgetting = find_table(copy, "forgetting");
  if (!forgetting.rows.empty()) {
    const std::string last_phase = forgetting.rows.back()[1].as_string();
    for (const auto& row : forgetting.rows) {
      if (row[1].as_string() != last_phase) continue;
      out.push_back(loss_sentence(forgetting, row, comes_from_elsewhere(arm) ? "step 0" : "the first phase"));
    }
  }
  const Table& shift = find_table(copy, "shift_mri");
  for (const auto& row : shift.rows) {
    if (!row[2].is_null() || row[4].is_null()) continue;
    char text[320];
    const bool is_from_step_zero = comes_from_elsewhere(arm) && row[1] == arm.resolved.at("phase").at(0).at("name");
    std::snprintf(text, sizeof text, "At the shift to %s the mean MRI goes from %.3f%s to a peak of %.3f and ends at %.3f; an even load is %.3f.", row[1].as_string().c_str(), row[4].as_double(), is_from_step_zero ? " (of held-out text at step 0; the others are of training batches)" : "", row[6].as_double(), row[9].as_double(), row[3].as_double());
    out.push_back(text);
  }
  if (auto sentence = use_headline(arm); !sentence.empty()) out.push_back(std::move(sentence));
  for (const auto& row : find_table(copy, "drops").rows) {
    if (!row[2].is_null() || !row[3].is_null()) continue;
    char text[160];
    std::snprintf(text, sizeof text, "At the end of phase %s the experts' capacity drops %.1f %% of the assignments in training.", row[1].as_string().c_str(), 100 * row[4].as_double());
    out.push_back(text);
  }
  return out;
}
}  // namespace

Json run_results(const std::filesystem::path& run, const Json& machine, const std::string& name_given) {
  const std::string name = !name_given.empty() ? name_given : std::filesystem::absolute(run).lexically_normal().filename().string();
  const Arm arm = read_arm(name, name, run);
  auto tables = new_tables();
  add_rows({arm}, tables);
  set_levels({arm}, tables);
  Json out = Json::object();
  out["schema"] = kSchema;
  out["kind"] = "run";
  out["title"] = name;
  out["definitions"] = definitions_json();
  out["machine"] = machine;
  out["recipe"] = std::filesystem::exists(run / "recipe.toml") ? Json(read_file(run / "recipe.toml")) : Json();
  out["headlines"] = run_headlines(arm, tables);
  for (const auto& note : router_notes({arm})) out["headlines"].push_back(note);
  out["arms"] = Json::Array{arm_json(arm, ".")};
  out["tables"] = tables_json(tables);
  return out;
}

}  // namespace evenkeel::train
