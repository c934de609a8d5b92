#include "report/run_data.h"

#include <algorithm>

#include "core/errors.h"
#include "core/file_io.h"
#include "record/run_reader.h"
#include "report/local_paths.h"

namespace evenkeel::report {
namespace {

using record::StepRow;

constexpr int64_t kMaxDrawnSteps = 4096;  // of a run that stand in its page: more than a screen has columns
constexpr int64_t kMaxLoadSteps = 240;    // that keep their loads: the heat map's slider
constexpr int64_t kMaxLoads = 1 << 20;    // loads of one run in its page

const Json& at_or_null(const Json& line, std::string_view key) {
  static const Json null;
  const Json* found = line.find(key);
  return found != nullptr ? *found : null;
}

int64_t int_or_zero(const Json& value) { return value.is_integer() ? value.as_int() : 0; }

// Tokens and assignments of a step: shares of a layer are counts of the one or the other.
std::vector<int64_t> divisors_of(const Json& resolved) {
  const Json& train = at_or_null(resolved, "train");
  const Json &batch = at_or_null(train, "batch_size"), &length = at_or_null(train, "sequence_length");
  if (!batch.is_integer() || !length.is_integer()) return {};
  const int64_t tokens = batch.as_int() * length.as_int();
  return {tokens, tokens * std::max<int64_t>(1, int_or_zero(at_or_null(at_or_null(resolved, "model"), "top_k")))};
}

int64_t stride_for(int64_t n_steps, int64_t most) { return std::max<int64_t>(1, (n_steps + most - 1) / most); }

// Which steps of a run its page has, and which of them with their loads: every n-th, and the last.
struct Strides {
  int64_t n_steps = 0, figures = 1, loads = 1;
  bool has_loads(int64_t step) const { return (step - 1) % loads == 0 || step == n_steps; }
  bool has_figures(int64_t step) const { return (step - 1) % figures == 0 || has_loads(step); }
};

Strides strides_of(const std::filesystem::path& metrics, const Json& resolved) {
  const Json& model = at_or_null(resolved, "model");
  const int64_t n_loads =
      std::max<int64_t>(1, int_or_zero(at_or_null(model, "n_layers")) * int_or_zero(at_or_null(model, "n_experts")));
  Strides out{record::last_step_in(metrics), 1, 1};
  out.figures = stride_for(out.n_steps, kMaxDrawnSteps);
  out.loads = stride_for(out.n_steps, std::clamp<int64_t>(kMaxLoads / n_loads, 16, kMaxLoadSteps));
  return out;
}

struct PhaseRows {
  std::string name;
  std::vector<StepRow> rows;
  std::vector<int64_t> load_rows;  // indices of rows
};

// The lines of a run, without what no chart draws.
struct DrawnLines {
  std::vector<PhaseRows> phases;
  Json evaluations = Json::array(), saturations = Json::array();
};

void add(DrawnLines& drawn, StepRow row, const Strides& strides) {
  if (drawn.phases.empty() || drawn.phases.back().name != row.phase) drawn.phases.push_back({row.phase, {}, {}});
  auto& [name, rows, load_rows] = drawn.phases.back();
  // A phase's first row stays, and its last stands for its end until the next one comes.
  if (rows.size() > 1 && !strides.has_figures(rows.back().step)) rows.pop_back();
  if (strides.has_loads(row.step)) {
    load_rows.push_back(static_cast<int64_t>(rows.size()));
  } else {
    for (auto& layer : row.routing) layer.load = {};
  }
  rows.push_back(std::move(row));
}

void add(DrawnLines& drawn, const record::EvaluationRow& row, const Strides&) {
  Json line = to_json(row);
  for (auto& [data, result] : line["eval"].as_object()) {
    result.erase("routing");
    result.erase("loss_blocks");
  }
  drawn.evaluations.push_back(std::move(line));
}

void add(DrawnLines& drawn, const record::SaturationRow& row, const Strides&) {
  drawn.saturations.push_back(to_json(row));
}

DrawnLines read_drawn(const std::filesystem::path& metrics, const Strides& strides) {
  DrawnLines out;
  record::RunReader reader(metrics, [&](int64_t step) { return strides.has_loads(step); });
  while (auto line = reader.next())
    std::visit([&](auto&& row) { add(out, std::move(row), strides); }, std::move(*line));
  return out;
}

Json phase_data(const PhaseRows& phase, const std::vector<int64_t>& divisors, bool has_speed, ColumnPool& columns) {
  const auto column = [&](const auto& value_of) {
    std::vector<Json> values;
    for (const auto& row : phase.rows) values.push_back(Json(value_of(row)));
    return columns.put(values, divisors);
  };
  Json out = Json::object(), figures = Json::object(), layers = Json::array();
  figures["loss"] = column([](const StepRow& row) { return row.cross_entropy(); });
  figures["step"] = column([](const StepRow& row) { return row.step; });
  figures["tokens"] = column([](const StepRow& row) { return row.tokens; });
  figures["lr"] = column([](const StepRow& row) { return row.lr; });
  if (has_speed) figures["tokens_per_second"] = column([](const StepRow& row) { return row.tokens_per_second; });
  const size_t n_layers = phase.rows.front().routing.size();
  for (size_t i = 0; i < n_layers; ++i) {
    Json layer = Json::object();
    layer["layer"] = phase.rows.front().routing[i].layer;
    layer["mri"] = column([&](const StepRow& row) { return row.routing.at(i).mri; });
    layer["entropy"] = column([&](const StepRow& row) { return row.routing.at(i).entropy; });
    layer["dead"] = column([&](const StepRow& row) { return row.routing.at(i).dead; });
    layer["dropped"] = column([&](const StepRow& row) { return row.routing.at(i).dropped; });
    std::vector<Json> loads;
    for (const int64_t row : phase.load_rows)
      for (const double share : phase.rows[static_cast<size_t>(row)].routing.at(i).load) loads.push_back(share);
    layer["load"] = columns.put(loads, divisors);
    layers.push_back(std::move(layer));
  }
  out["name"] = phase.name;
  out["columns"] = std::move(figures);
  out["layers"] = std::move(layers);
  out["load_rows"] =
      n_layers > 0 ? columns.put(std::vector<Json>(phase.load_rows.begin(), phase.load_rows.end())) : Json::array();
  return out;
}

}  // namespace

Json run_data(const std::filesystem::path& run, const RunDataOptions& options, ColumnPool& columns) {
  const auto metrics = run / "metrics.jsonl", resolved_path = run / "resolved.json", recipe_path = run / "recipe.toml";
  Json out = Json::object();
  out["resolved"] = without_folders(read_json(resolved_path));
  out["recipe"] = fs::exists(recipe_path) ? Json(without_folders_in(read_file(recipe_path))) : Json();
  const Strides strides = strides_of(metrics, out.at("resolved"));
  DrawnLines drawn = read_drawn(metrics, strides);
  out["evals"] = std::move(drawn.evaluations);
  out["saturation"] = std::move(drawn.saturations);
  Json phases = Json::array();
  for (const auto& phase : drawn.phases)
    phases.push_back(phase_data(phase, divisors_of(out.at("resolved")), options.has_speed, columns));
  out["phases"] = std::move(phases);
  if (strides.figures > 1) out["stride"] = strides.figures;
  return out;
}

}  // namespace evenkeel::report
