#include "cli/inspect.h"

#include <iostream>
#include <sstream>
#include <map>

#include "analysis/trace_reader.h"
#include "checkpoint/safetensors.h"
#include "core/config_tree.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/json_lines.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "core/with_error.h"
#include "data/description.h"
#include "data/indexed_dataset.h"
#include "record/load_file.h"
#include "record/run_reader.h"

namespace evenkeel::cli {
namespace {

namespace fs = std::filesystem;

int64_t n_of(const auto& list) { return static_cast<int64_t>(list.size()); }

// What a run's lines say of one phase.
struct PhaseLines {
  std::string name;
  int64_t first_step = 0, last_step = 0;
  double last_loss = 0;  // where it has a step
  record::BySet<record::SetResult> last_eval;
};

struct LinesOfRun {
  int64_t n = 0;
  std::vector<PhaseLines> phases;  // in their order
};

LinesOfRun lines_of(const fs::path& metrics) {
  LinesOfRun out;
  record::RunReader reader(metrics);
  while (auto line = reader.next()) {
    ++out.n;
    if (out.phases.empty() || out.phases.back().name != phase_of(*line))
      out.phases.push_back({phase_of(*line), 0, 0, 0, {}});
    auto& phase = out.phases.back();
    if (auto* row = std::get_if<record::EvaluationRow>(&*line)) phase.last_eval = std::move(row->eval);
    const auto* step = std::get_if<record::StepRow>(&*line);
    if (step == nullptr) continue;
    phase.last_loss = step->loss;
    phase.last_step = step->step;
    if (phase.first_step == 0) phase.first_step = step->step;
  }
  return out;
}

void print_phases(const std::vector<PhaseLines>& phases) {
  for (const auto& phase : phases) {
    std::cout << "  phase " << printable(phase.name) << ":";
    if (phase.last_step > 0)
      std::cout << " steps " << phase.first_step << " to " << phase.last_step << ", last loss "
                << rounded(phase.last_loss, /*decimals=*/4);
    std::cout << "\n";
    for (const auto& [set, result] : phase.last_eval)
      std::cout << "    held out " << printable(set) << ": loss " << rounded(result.loss, /*decimals=*/4) << "\n";
  }
}
}  // namespace

void inspect_dataset(const fs::path& prefix) {
  const auto dataset = data::IndexedDataset::open(prefix);
  if (dataset.scored() != nullptr) dataset.checked_scored();
  std::cout << "indexed dataset, version 1: " << counted(dataset.n_tokens(), "token") << ", "
            << counted(dataset.n_documents(), "document") << ", contents " << dataset.contents().hash << "\n";
  const Json description = data::read_description(prefix);
  if (description.is_null()) {
    std::cout << "  no description of evenkeel prepare (" << prefix.string() << ".json) beside it\n";
    return;
  }
  for (const char* key : {"bytes", "tokenizer", "tokenizer_sha256", "vocab_size", "eod", "documents_by", "scored",
                          "input_documents", "holdout"})
    if (const Json* value = description.find(key)) std::cout << "  " << key << ": " << value->dump() << "\n";
  const Json* inputs = description.find("inputs");
  if (inputs == nullptr || !inputs->is_array()) return;
  for (const auto& input : inputs->as_array())
    if (const Json* path = input.find("path")) std::cout << "  input: " << path->dump() << "\n";
}

void inspect_run(const fs::path& run) {
  const fs::path metrics = run / "metrics.jsonl";
  const auto lines = fs::exists(metrics) ? lines_of(metrics) : LinesOfRun{};
  std::cout << "evenkeel run: " << printable(run.string()) << ", "
            << (fs::exists(run / "results.json") ? "finished" : "not finished") << "\n";
  print_phases(lines.phases);
}

void inspect_metrics(const fs::path& path) {
  const auto lines = lines_of(path);
  std::cout << "metrics of a run: " << counted(lines.n, "line") << "\n";
  print_phases(lines.phases);
}

void inspect_loads(const fs::path& path) {
  const auto loads = record::load_file_contents(path);
  std::cout << "loads of a run's routing: " << counted(loads.n_records, "record");
  if (loads.n_records > 0)
    std::cout << " of steps " << loads.first_step << " to " << loads.last_step << ", "
              << counted(loads.n_layers, "layer") << " of " << counted(loads.n_experts, "expert");
  std::cout << ", " << human_bytes(static_cast<double>(loads.record_bytes)) << "\n";
  for (const auto& set : loads.sets) std::cout << "  held out " << printable(set) << "\n";
  if (loads.torn_bytes > 0)
    std::cout << "  and " << counted(loads.torn_bytes, "byte") << " of a record that is not whole\n";
}

namespace {
// Printed when it is whole: what is damaged gives an error and nothing else.
void print_results(const Json& results, const fs::path& path) {
  std::ostringstream out;
  for (const char* key : {"kind", "schema", "tables"})
    require<DataError>(results.find(key) != nullptr, path.string(), ": got no '", key,
                       "'; need the results of a run, study or analysis");
  out << "evenkeel " << printable(results.at("kind").as_string()) << ": " << printable(path.string()) << ", "
      << printable(results.at("schema").as_string());
  if (const Json* arms = results.find("arms")) out << ", " << counted(n_of(arms->as_array()), "arm");
  out << "\n";
  if (const Json* headlines = results.find("headlines"))
    for (const auto& headline : headlines->as_array()) out << "  " << printable(headline.as_string()) << "\n";
  for (const auto& [name, table] : results.at("tables").as_object())
    out << "  " << printable(name) << ": " << counted(n_of(table.at("rows").as_array()), "row") << "\n";
  std::cout << out.str();
}
}  // namespace

void inspect_results(const fs::path& path) {
  const Json results = read_json(path);
  with_path(path, results, [&] { print_results(results, path); });
}

void inspect_json(const fs::path& path) {
  const Json json = read_json(path);
  const Json *format = json.find("format"), *schema = json.find("schema");
  const fs::path prefix = fs::path(path).replace_extension();
  if (format != nullptr && *format == Json(data::kDescriptionFormat) && fs::exists(prefix.string() + ".idx"))
    return inspect_dataset(prefix);
  if (schema != nullptr && json.find("tables") != nullptr) return inspect_results(path);
  std::cout << "JSON " << json.kind();
  if (format != nullptr) std::cout << ", format " << format->dump();
  if (schema != nullptr) std::cout << ", schema " << schema->dump();
  if (const Json* type = json.find("model_type"))
    std::cout << ", config.json of a Hugging Face model of type " << type->dump();
  if (json.find("n_experts") != nullptr && json.find("layer_expert_token_counts") != nullptr)
    std::cout << ", counts of experts by token id (analyze --counts)";
  if (json.find("n_experts") != nullptr && (json.find("counts") != nullptr || json.find("domains") != nullptr))
    std::cout << ", counts of experts (analyze --counts)";
  std::cout << "\n";
}

void inspect_safetensors(const fs::path& path) {
  const checkpoint::SafetensorsFile file(path);
  const auto& metadata = file.metadata();
  if (metadata.contains("n_experts") && metadata.contains("top_k") && file.find("input_ids") != nullptr) {
    const analysis::TraceFile trace(path);
    const auto& info = trace.info();
    std::cout << "trace of " << printable(info.model) << " on " << printable(info.name) << ": "
              << counted(trace.n_tokens(), "token") << " in " << counted(info.n_windows, "window") << ", "
              << counted(n_of(info.layers), "MoE layer") << ", " << counted(info.n_experts, "expert") << ", top "
              << info.top_k << ", mode " << info.mode << "\n";
  }
  std::cout << "safetensors: " << counted(n_of(file.entries()), "tensor") << "\n";
  for (const auto& [key, value] : metadata) std::cout << "  " << printable(key) << " = " << printable(value) << "\n";
  for (const auto& entry : file.entries())
    std::cout << "  " << printable(entry.name) << " " << c10::toString(entry.dtype) << " " << Json(entry.shape).dump()
              << "\n";
}

void inspect_recipe(const fs::path& path) {
  const ConfigNode root = read_toml(path.string());
  std::cout << (root.find("study") != nullptr ? "study" : "recipe") << ": " << printable(path.string())
            << " ('evenkeel plan' says what it costs)\n";
}

}  // namespace evenkeel::cli
