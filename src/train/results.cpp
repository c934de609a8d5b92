#include "train/results.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/output.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "optim/schedule.h"
#include "train/config.h"
#include "train/forgetting.h"
#include "train/phase_rows.h"
#include "train/result_rows.h"
#include "train/shift_sets.h"
#include "train/table_levels.h"
#include "train/warnings.h"

namespace evenkeel::train {
namespace {

constexpr const char* kSchema = "evenkeel.results.v1";

const std::string& text_at(const Json& json, const char* key) { return json.at(key).as_string(); }

void add_shift_rows(const Arm& arm, size_t index, Table& table) {
  const auto& phase = arm.phases.at(index);
  if (phase.n_steps() == 0 || phase.layers().empty()) return;
  const auto config = arm_model(arm);
  const double lower_bound = model::experts_per_token(config) / static_cast<double>(config.n_experts);
  const bool is_of_held_out = index == 0;  // `before`: no steps of training come before a first phase
  for (size_t column = 0; column <= phase.layers().size(); ++column) {
    const auto layer = column == 0 ? std::nullopt : std::optional(phase.layers()[column - 1]);
    const auto shift = phase.shift(column);
    add_row(table, ShiftMriRow{arm.name, phase_name(arm, index), layer, lower_bound, phase.before(column), shift.first,
                               shift.peak, shift.peak_step, is_of_held_out ? std::nullopt : shift.steps_to_recover,
                               shift.after});
  }
}

// Both changes of a set: since the first phase's end or step 0, and since it was last trained on.
void add_forgetting_rows(const Arm& arm, Table& table) {
  const auto* baseline = baseline_evaluation(arm);
  for (size_t phase = 0; phase < arm.resolved.at("phase").size(); ++phase) {
    const auto* evaluation = final_evaluation(arm, phase_name(arm, phase));
    if (evaluation == nullptr) continue;
    for (const auto& [data, result] : evaluation->eval) {
      ForgettingRow row;
      row.arm = arm.name;
      row.phase = evaluation->phase;
      row.data = data;
      const LossFigure now = loss_figure(result);
      row.loss = now.value;
      row.loss_se = now.se;
      row.perplexity = result.perplexity;
      if (const auto* first = baseline != nullptr && evaluation != baseline ? baseline->find(data) : nullptr) {
        const LossFigure change = difference(now, loss_figure(*first));
        row.change = change.value;
        row.change_se = change.se;
      }
      if (const auto against = forgetting_baseline(arm, phase, data)) {
        const LossFigure forgetting = difference(now, against->loss);
        row.forgetting = forgetting.value;
        row.forgetting_se = forgetting.se;
        row.against = against->name;
      }
      add_row(table, row);
    }
  }
}

// A run whose weights come from elsewhere has rows of "step 0" first.
void add_eval_mri_rows(const Arm& arm, Table& table) {
  auto evaluations = final_evaluations(arm);
  const auto* start = comes_from_elsewhere(arm) ? first_evaluation(arm) : nullptr;
  if (start != nullptr) evaluations.insert(evaluations.begin(), start);
  for (const auto* evaluation : evaluations)
    for (const auto& [data, result] : evaluation->eval)
      for (const auto& layer : result.routing)
        add_row(table, EvalMriRow{arm.name, evaluation == start ? kStepZero : evaluation->phase, data, layer.layer,
                                  layer.mri, layer.entropy, layer.dead, layer.mri_se});
}

// The run that a phase's first weights are of, by the name of its folder; none where that is the arm's own.
std::optional<std::string> start_run(const Arm& arm, const std::string& phase) {
  const auto& phases = arm.resolved.at("phase").as_array();
  for (size_t i = 0; i < phases.size(); ++i) {
    if (phase_name(arm, i) != phase || step_before_phase(arm, i) >= 0) continue;
    std::filesystem::path folder = text_at(phases[i].at("start"), "from");
    if (!folder.has_filename()) folder = folder.parent_path();  // "RUN/"
    if (folder.parent_path().filename() == "checkpoints") folder = folder.parent_path().parent_path();
    return folder.filename().string();
  }
  return std::nullopt;
}

void add_saturation_rows(const Arm& arm, Table& table) {
  for (const auto& saturation : arm.saturations) {
    const auto from_run = start_run(arm, saturation.phase);
    for (const auto& [data, layers] : saturation.saturation)
      for (const auto& layer : layers)
        add_row(table, SaturationTableRow{arm.name, layer.layer, layer.k, layer.from, layer.to, data, layer.saturation,
                                          layer.chance, from_run});
  }
}

// The mean over layers, then each layer.
void add_drop_rows_of(DropsRow row, const std::vector<int64_t>& layers, const std::vector<double>& dropped,
                      Table& table) {
  if (layers.empty()) return;
  double sum = 0;
  for (const double share : dropped) sum += share;
  row.dropped = sum / static_cast<double>(dropped.size());
  add_row(table, row);
  for (size_t i = 0; i < layers.size(); ++i) {
    row.layer = layers[i];
    row.dropped = dropped[i];
    add_row(table, row);
  }
}

// Only of arms with a capacity: the mean of each phase's last eighth, and its final evaluation.
void add_drop_rows(const Arm& arm, Table& table) {
  const auto config = arm_model(arm);
  if (!config.is_moe() || config.capacity.is_dropless()) return;
  for (size_t i = 0; i < arm.phases.size(); ++i)
    add_drop_rows_of({arm.name, phase_name(arm, i), std::nullopt, std::nullopt, 0}, arm.phases[i].layers(),
                     arm.phases[i].dropped_at_end(), table);
  for (const auto* evaluation : final_evaluations(arm))
    for (const auto& [data, result] : evaluation->eval) {
      std::vector<int64_t> layers;
      std::vector<double> dropped;
      for (const auto& layer : result.routing) {
        layers.push_back(layer.layer);
        dropped.push_back(layer.dropped);
      }
      add_drop_rows_of({arm.name, evaluation->phase, data, std::nullopt, 0}, layers, dropped, table);
    }
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

NamedTables new_tables() {
  const auto table = [](std::vector<Column> columns, const char* source) {
    Table out;
    out.columns = std::move(columns);
    out.source = source;
    return out;
  };
  NamedTables tables;
  tables.emplace_back("forgetting",
                      table(columns_of<ForgettingRow>(),
                            "held-out loss after each phase; change against the first phase's end, or against step 0 "
                            "where the weights come from elsewhere (arXiv 2503.05029, 2403.08763). forgetting: the "
                            "rise since `against`, the end of the last phase before that trained on the set; where "
                            "none did it is the change. loss_se, change_se, forgetting_se: standard errors from the "
                            "spread between blocks of neighbouring windows of the text (documents, where they are "
                            "separate), those of differences paired by the blocks; they say what another text would "
                            "give, not another seed"));
  tables.emplace_back(
      "shift_mri",
      table(columns_of<ShiftMriRow>(),
            "maximum routing imbalance around the shift, training mode (arXiv 2503.05029). Of a first phase, whose "
            "weights come from elsewhere, `before` is that of held-out old data at step 0: other text, against which "
            "nothing recovers"));
  tables.emplace_back("eval_mri",
                      table(columns_of<EvalMriRow>(),
                            "routing on held-out sets in evaluation mode, pooled over the set (arXiv 2503.05029). "
                            "mri_se: its standard error, by a bootstrap of blocks of neighbouring windows"));
  tables.emplace_back("saturation",
                      table(columns_of<SaturationTableRow>(),
                            "router saturation from the phase's start to its end (arXiv 2409.02060, eq. 5). from_run: "
                            "the run that step `from` is of, where it is not the arm's own"));
  tables.emplace_back("drops", table(columns_of<DropsRow>(),
                                     "assignments over capacity: training (data null), mean of the phase's last "
                                     "eighth; held-out sets at the phase's end, evaluation mode"));
  tables.emplace_back(
      "warnings",
      table(columns_of<WarningRow>(),
            "what the checks found (docs/cpt.md), once a phase for each layer and kind; layer null: the "
            "whole model. data: the held-out set whose evaluation shows it, null: training. n_arms: how many "
            "arms share the phase, which was trained once, under `arm`; n_recovered: how many of these "
            "had recovered at the end of that phase or of a later one, all of them where `recovered` is true"));
  return tables;
}

const Table& find_table(const NamedTables& tables, const std::string& name) {
  for (const auto& [table_name, table] : tables)
    if (table_name == name) return table;
  throw std::logic_error("no table named " + name);
}
Table& find_table(NamedTables& tables, const std::string& name) {
  return const_cast<Table&>(find_table(std::as_const(tables), name));
}

namespace {

void add_arm_rows(const Arm& arm, NamedTables& tables) {
  add_forgetting_rows(arm, find_table(tables, "forgetting"));
  for (size_t i = comes_from_elsewhere(arm) ? 0 : 1; i < arm.phases.size(); ++i)
    add_shift_rows(arm, i, find_table(tables, "shift_mri"));
  add_eval_mri_rows(arm, find_table(tables, "eval_mri"));
  add_saturation_rows(arm, find_table(tables, "saturation"));
  add_drop_rows(arm, find_table(tables, "drops"));
}

}  // namespace

void add_rows(const std::vector<Arm>& arms, NamedTables& tables) {
  for (const auto& arm : arms) add_arm_rows(arm, tables);
  add_warning_rows(arms, find_table(tables, "warnings"));
}

Json arm_json(const Arm& arm, const std::string& run) {
  const auto config = arm_model(arm);
  const auto counts = model::count_parameters(config);
  Json out = Json::object(), phases = Json::array();
  out["name"] = arm.name;
  out["group"] = arm.group;
  out["run"] = run;
  out["parameters"] = counts.total;
  out["active_parameters"] = counts.active;
  out["flops_per_token"] =
      model::training_flops_per_token(config, arm.resolved.at("train").at("sequence_length").as_int());
  out["seed"] = seed_of(arm);
  out["model"] = model_word(config);
  const Json* kind = arm.resolved.at("model").at("router").find("kind");
  out["router"] = config.is_moe() && kind != nullptr ? *kind : Json();
  out["lower_bound"] =
      config.is_moe() ? Json(model::experts_per_token(config) / static_cast<double>(config.n_experts)) : Json();
  const auto baseline = baseline_name(arm);
  out["baseline"] = baseline ? Json(*baseline) : Json();
  const auto named = [&](const std::string& set) { return is_evaluated(arm, set) ? Json(set) : Json(); };
  out["old_data"] = named(shift_sets(arm).old_data);
  out["new_data"] = named(shift_sets(arm).new_data);
  double replay_fraction = 0;
  for (const auto& phase : arm.resolved.at("phase").as_array())
    replay_fraction = std::max(replay_fraction, replay_fraction_of(phase));
  out["replay_fraction"] = replay_fraction;
  for (const auto& row : phase_rows(arm)) phases.push_back(evenkeel::to_json(row));
  out["phases"] = std::move(phases);
  out["scored_by"] = objectives_of_sets(arm);
  out["lr_curve"] = lr_curve(arm);
  return out;
}

std::vector<std::string> router_notes(const std::vector<Arm>& arms) {
  std::vector<std::string> out;
  const auto add_once = [&](const std::string& note) {
    if (std::find(out.begin(), out.end(), note) == out.end()) out.push_back(note);
  };
  const char* consequence =
      " depend on later tokens of its sequence, in training and evaluation. Its losses are not those of a model that "
      "generates token by token.";
  for (const auto& arm : arms) {
    const auto config = arm_model(arm);
    if (!config.is_moe()) continue;
    const auto router = moe::make_router(config.router_shape(), config.router);
    const std::string kind = router->options().at("kind").as_string();
    if (!router->traits().causal_eval)
      add_once("The router " + kind + " is not causal: a token's experts" + consequence);
    if (!moe::capacity_traits(config.capacity, config.top_k).is_causal)
      add_once("The capacity rule " + config.capacity.rule + " is not causal: a token's drops" + consequence);
  }
  return out;
}

Json definitions_json() {
  Json out = Json::object();
  const auto add = [&](const char* term, const char* text, const char* source) {
    out[term] = Json::Object{{"text", text}, {"source", source}};
  };
  add("loss", "Mean cross-entropy in nats over target tokens, end-of-document tokens included.", "docs/formats.md");
  add("perplexity", "exp(loss).", "");
  add("± of a loss",
      "Its standard error: how much the loss of another text of the kind would differ, from the spread between blocks "
      "of neighbouring windows (or documents). Of several seeds: the larger of that and of the sample standard "
      "deviation over them.",
      "docs/formats.md");
  add("bits per byte", "Sum of the losses divided by ln 2 and by the bytes of the text.", "");
  add("load", "Share of the assignments that an expert receives, before drops; the shares of a layer sum to 1.",
      "arXiv 2409.02060");
  add("MRI",
      "Maximum routing imbalance: the largest share of tokens that one expert of a layer receives. Never below k / E, "
      "which is perfect balance (k: on average, where a router gives tokens any number of experts).",
      "arXiv 2503.05029");
  add("entropy", "Entropy of the load divided by ln E: 1 is uniform.", "");
  add("cv", "Coefficient of variation: population standard deviation of the load divided by its mean.", "");
  add("dropped",
      "Share of the assignments over an expert's capacity: they contribute nothing. Load and MRI are before drops.",
      "arXiv 2101.03961");
  add("dead experts", "Experts that receive no token (of the step, or of the held-out set).", "");
  add("forgetting",
      "Rise of the loss on a held-out set since the end of the last phase before that trained on it. Where none did: "
      "since step 0 of a run whose weights come from elsewhere, else since the end of the first phase.",
      "arXiv 2403.08763");
  add("objective",
      "What a phase is trained by: what its sequences are made of from the text, and which of their tokens are scored. "
      "A "
      "held-out set has its own, causal unless it says another. Losses by different objectives do not compare.",
      "docs/objectives.md");
  add("scored, padding",
      "Share of the tokens without padding that have a target, and share of all tokens that are padding: places of a "
      "sequence that no example fills, which no loss, no router and no figure sees. Tokens, and tokens per second, are "
      "places, padding among them.",
      "docs/formats.md");
  add("replay",
      "Old data among a phase's own: its fraction of the sequences that the phase trains on are drawn from an earlier "
      "phase's sources (fresh: those not drawn before; seen: those of that phase again) or from sources of their own, "
      "to within a sequence. They count in the phase's steps and tokens and in its training loss and imbalance, so "
      "that "
      "the budget does not change and the phase's own data get so much less of it (compute-equivalent replay).",
      "arXiv 2503.05029");
  add("saturation",
      "Mean over tokens of the share of the k experts chosen before that are chosen again after; chance is k / E. "
      "Where a router gives a token any number of experts: choices in common over choices after.",
      "arXiv 2409.02060, eq. 5");
  add("steps to recover",
      "First step after the peak at which the mean MRI of 5 steps is at most 1.1 times its mean over the last 50 steps "
      "before the shift (over all of them where the run had fewer).",
      "docs/formats.md");
  add("PB, SB", "Penalty-balanced (balance and z-loss) and Sinkhorn-balanced top-k routing.", "arXiv 2503.05029");
  return out;
}

Json tables_json(const NamedTables& tables) {
  Json out = Json::object();
  for (const auto& [name, table] : tables) out[name] = to_json(table);
  return out;
}

namespace {
// One run has one seed: its errors are those of the text.
std::string loss_sentence(const Arm& arm, const ForgettingRow& row) {
  std::string out = "After phase " + row.phase + " the held-out loss on " + row.data +
                    words_unless_causal(objective_of_set(arm, row.data)) + " is " + with_error(row.loss, row.loss_se) +
                    " nats a token";
  if (const auto forgetting = forgetting_at_end(arm, row.data)) {
    const std::string since = difference_text(forgetting->value, half_width(*forgetting));
    out += " (since " + baseline_words(*row.against) + ": " + since + ")";
  }
  return out + ".";
}

// "Experts in use ...": how many of all layers' experts each held-out set reaches in the end; empty where nothing says
// it.
std::string use_headline(const Arm& arm) {
  std::string out;
  const auto lines = final_evaluations(arm);
  if (lines.empty()) return out;
  for (const auto& [data, result] : lines.back()->eval)
    if (const auto use = expert_use(arm, data))
      out += (out.empty() ? "Experts in use in the end, of " + std::to_string(use->all) + " in all layers: " : ", ") +
             std::to_string(use->in_use) + " on held-out " + data;
  return out.empty() ? out : out + ".";
}

Json run_headlines(const Arm& arm, const NamedTables& tables) {
  Json out = Json::array();
  for (const auto& sentence : collapse_headlines({arm}, Collapses::lasting)) out.push_back(sentence);
  std::string collapsed;  // no figure of balance stands without it
  for (const auto& place : collapsed_on(arm, shift_sets(arm).new_data)) add_to_list(collapsed, place);
  if (!collapsed.empty()) collapsed = " The router has collapsed on " + collapsed + ".";
  const auto forgetting = rows_of<ForgettingRow>(find_table(tables, "forgetting"));
  for (const auto& row : forgetting)
    if (row.phase == forgetting.back().phase) out.push_back(loss_sentence(arm, row));
  for (const auto& row : rows_of<ShiftMriRow>(find_table(tables, "shift_mri"))) {
    if (row.layer || !row.before) continue;
    const bool is_from_step_zero = comes_from_elsewhere(arm) && row.phase == phase_name(arm, 0);
    const std::string before = rounded(*row.before, 2), peak = "a peak of " + rounded(row.peak, 2);
    // Another text is no point that training batches rise from.
    out.push_back("At the shift to " + row.phase +
                  " the mean MRI of training batches (of one seed, without an interval) " +
                  (is_from_step_zero ? "has " + peak : "goes from " + before + " to " + peak) + " and ends at " +
                  rounded(row.after, 2) + "; an even load is " + three_digits(row.lower_bound) + "." +
                  (is_from_step_zero
                       ? " Of other text, held-out " + shift_sets(arm).old_data + ", it is " + before + " at step 0."
                       : "") +
                  collapsed);
  }
  if (auto sentence = use_headline(arm); !sentence.empty()) out.push_back(sentence + collapsed);
  for (const auto& row : rows_of<DropsRow>(find_table(tables, "drops"))) {
    if (row.data || row.layer) continue;
    out.push_back("At the end of phase " + row.phase + " the experts' capacity drops " + rounded(100 * row.dropped, 1) +
                  " % of the assignments in training (of one seed, without an interval).");
  }
  for (const auto& sentence : collapse_headlines({arm}, Collapses::recovered)) out.push_back(sentence);
  return out;
}
}  // namespace

Json run_results(const Arm& arm, const Json& machine) {
  auto tables = new_tables();
  add_rows({arm}, tables);
  set_levels({arm}, tables);
  Json out = Json::object();
  out["schema"] = kSchema;
  out["kind"] = "run";
  out["title"] = arm.name;
  out["definitions"] = definitions_json();
  out["machine"] = machine;
  const auto recipe = arm.run / "recipe.toml";
  out["recipe"] = std::filesystem::exists(recipe) ? Json(read_file(recipe)) : Json();
  out["headlines"] = run_headlines(arm, tables);
  for (const auto& note : router_notes({arm})) out["headlines"].push_back(note);
  out["arms"] = Json::Array{arm_json(arm, ".")};
  out["tables"] = tables_json(tables);
  return out;
}

namespace {

// csv/TABLE.csv of each table.
std::vector<std::pair<std::filesystem::path, std::string>> table_files(const std::filesystem::path& folder,
                                                                       const Json& results) {
  std::vector<std::pair<std::filesystem::path, std::string>> out;
  for (const auto& [name, table] : results.at("tables").as_object())
    out.emplace_back(folder / "csv" / (name + ".csv"), to_csv(table_from_json(table)));
  return out;
}

}  // namespace

void write_results(const std::filesystem::path& folder, const Json& results) {
  const auto csv = table_files(folder, results);
  std::vector<Output> outputs;
  for (const auto& [path, text] : csv) outputs.push_back({path, OutputKind::table});
  require_own_outputs(outputs);
  make_folders(folder / "csv");
  // Where there is a results.json it comes first: by it the next call knows the tables. Where there is none it comes
  // last, since it says that all is there; until then the tables are known by their first column.
  const auto path = folder / "results.json";
  const bool is_first = std::filesystem::exists(path);
  if (is_first) write_file_atomically(path, results.dump(1) + "\n");
  for (const auto& [table_path, text] : csv) write_file_atomically(table_path, text);
  if (!is_first) write_file_atomically(path, results.dump(1) + "\n");
}

void check_tables(const std::filesystem::path& folder) {
  const auto path = folder / "results.json";
  const Json results = read_json(path);
  for (const auto& [table, text] : with_path(path, results, [&] { return table_files(folder, results); })) {
    const char* need = ", which results.json has (without results.json, the command with --resume makes both anew)";
    require<DataError>(std::filesystem::exists(table), table.string(), ": got no such file; need the table", need);
    const std::string found = read_file(table);
    if (found == text) continue;
    const auto differs = std::mismatch(found.begin(), found.end(), text.begin(), text.end()).first;
    fail<DataError>(place_of_line(table, static_cast<size_t>(std::count(found.begin(), differs, '\n')) + 1),
                    ": got another row; need the table", need);
  }
}

}  // namespace evenkeel::train
