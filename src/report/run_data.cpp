#include "report/run_data.h"

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/run_lines.h"
#include "report/local_paths.h"

namespace evenkeel::report {
namespace {

constexpr int64_t kMaxLoadSteps = 240;  // steps of a run that keep their loads: the heat map's slider

using Lines = std::vector<Json>;

const Json& at_or_null(const Json& line, std::string_view key) {
  static const Json null;
  const Json* found = line.find(key);
  return found != nullptr ? *found : null;
}

const Json& loss_of(const Json& line) {
  const Json& cross_entropy = at_or_null(at_or_null(line, "loss_terms"), "cross_entropy");
  return cross_entropy.is_null() ? at_or_null(line, "loss") : cross_entropy;
}

// Tokens and assignments of a step: shares of a layer are counts of the one or the other.
std::vector<int64_t> divisors_of(const Json& resolved) {
  const Json &train = at_or_null(resolved, "train"), &top_k = at_or_null(at_or_null(resolved, "model"), "top_k");
  const Json &batch = at_or_null(train, "batch_size"), &length = at_or_null(train, "sequence_length");
  if (!batch.is_integer() || !length.is_integer()) return {};
  const int64_t tokens = batch.as_int() * length.as_int();
  return {tokens, tokens * (top_k.is_integer() ? std::max<int64_t>(1, top_k.as_int()) : 1)};
}

struct Source {
  std::vector<const char*> figures;  // keys of a step's line
  std::vector<int64_t> divisors;
};

// The steps of one phase; `load_rows` are those that keep their loads.
Json phase_data(const Lines& steps, const std::vector<int64_t>& load_rows, const Source& source, ColumnPool& columns) {
  const auto column = [&](const auto& value_of) {
    Lines values;
    for (const auto& line : steps) values.push_back(value_of(line));
    return columns.put(values, source.divisors);
  };
  Json out = Json::object(), figures = Json::object(), layers = Json::array();
  figures["loss"] = column(loss_of);
  for (const char* key : source.figures) figures[key] = column([&](const Json& line) { return at_or_null(line, key); });
  const size_t n_layers = at_or_null(steps.front(), "routing").is_array() ? steps.front().at("routing").size() : 0;
  for (size_t i = 0; i < n_layers; ++i) {
    Json layer = Json::object();
    layer["layer"] = steps.front().at("routing").at(i).at("layer");
    for (const char* key : {"mri", "entropy", "dead", "dropped"}) layer[key] = column([&](const Json& line) { return at_or_null(line.at("routing").at(i), key); });
    Lines loads;
    for (const int64_t row : load_rows)
      for (const auto& share : steps[static_cast<size_t>(row)].at("routing").at(i).at("load").as_array()) loads.push_back(share);
    layer["load"] = columns.put(loads, source.divisors);
    layers.push_back(std::move(layer));
  }
  out["name"] = steps.front().at("phase");
  out["columns"] = std::move(figures);
  out["layers"] = std::move(layers);
  out["load_rows"] = n_layers > 0 ? columns.put(Lines(load_rows.begin(), load_rows.end())) : Json::array();
  return out;
}

Json phases_data(const Lines& steps, const Source& source, ColumnPool& columns) {
  const auto n_steps = static_cast<int64_t>(steps.size());
  const int64_t stride = std::max<int64_t>(1, (n_steps + kMaxLoadSteps - 1) / kMaxLoadSteps);
  Json out = Json::array();
  for (int64_t begin = 0; begin < n_steps;) {
    const std::string& name = steps[static_cast<size_t>(begin)].at("phase").as_string();
    Lines phase;
    std::vector<int64_t> load_rows;
    int64_t i = begin;
    for (; i < n_steps && steps[static_cast<size_t>(i)].at("phase").as_string() == name; ++i) {
      if (i % stride == 0 || i + 1 == n_steps) load_rows.push_back(i - begin);
      phase.push_back(steps[static_cast<size_t>(i)]);
    }
    out.push_back(phase_data(phase, load_rows, source, columns));
    begin = i;
  }
  return out;
}

// Without what no chart draws.
Json drawn_of(Json evaluation) {
  for (auto& [data, result] : evaluation["eval"].as_object()) std::erase_if(result.as_object(), [](const auto& entry) { return entry.first == "routing" || entry.first == "loss_blocks"; });
  return evaluation;
}

}  // namespace

Json run_data(const std::filesystem::path& run, const RunDataOptions& options, ColumnPool& columns) {
  Lines steps;
  Json evals = Json::array(), saturation = Json::array();
  for (auto& line : read_run_lines(run / "metrics.jsonl")) {
    if (line.find("eval") != nullptr) {
      evals.push_back(drawn_of(std::move(line)));
    } else if (line.find("saturation") != nullptr) {
      saturation.push_back(std::move(line));
    } else {
      steps.push_back(std::move(line));
    }
  }
  const auto resolved_path = run / "resolved.json", recipe_path = run / "recipe.toml";
  Json out = Json::object();
  out["resolved"] = without_folders(read_json(resolved_path));
  out["recipe"] = fs::exists(recipe_path) ? Json(without_folders_in(read_file(recipe_path))) : Json();
  out["evals"] = std::move(evals);
  out["saturation"] = std::move(saturation);
  Source source{{"step", "tokens", "lr"}, divisors_of(out.at("resolved"))};
  if (options.has_speed) source.figures.push_back("tokens_per_second");
  out["phases"] = phases_data(steps, source, columns);
  return out;
}

}  // namespace evenkeel::report
