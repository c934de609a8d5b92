#include <iostream>
#include <set>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "cli/inspect.h"
#include "cli/model_summary.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/input_file.h"
#include "core/output.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "data/readers.h"
#include "data/tokenizer.h"
#include "model/layout.h"

namespace evenkeel::cli {
namespace {

void print_router_states(const checkpoint::ModelSource& source) {
  const model::Transformer model(source.config);
  const auto states = checkpoint::load_router_states(source, model);
  for (size_t index = 0; index < states.size(); ++index)
    for (const auto& [name, tensor] : states[index])
      std::cout << "  " << checkpoint::router_state_name(index, name) << " " << Json(tensor.sizes().vec()).dump()
                << ", from " << tensor.min().item<double>() << " to " << tensor.max().item<double>() << "\n";
}

void print_model(const std::string& what, const checkpoint::ModelSource& source) {
  const auto counts = model::count_parameters(source.config);
  std::cout << what << ": " << printable(source.folder.string()) << "\n"
            << "parameters: " << counts.total << " in all, " << counts.active << " active a token\n";
  for (const auto& line : architecture_lines(source.config)) std::cout << line << "\n";
  std::cout << "sequence length: " << source.sequence_length << "\n"
            << "cache of a sequence of that length: "
            << human_bytes(4.0 * static_cast<double>(model::cache_floats(source.config, source.sequence_length)))
            << " in fp32\n"
            << "model: " << model::model_config_json(source.config).dump(1) << "\n";
  if (source.state.is_null()) return;
  std::cout << "format: " << source.state.at("format").as_string() << ", step " << source.state.at("step").as_int()
            << ", " << human_count(source.state.at("tokens").as_double()) << " tokens, phase "
            << printable(source.state.at("phase").as_string()) << "\n";
  for (const auto& spec : model::parameter_table(source.config))
    std::cout << "  " << spec.name << " " << Json(spec.shape).dump() << "\n";
  print_router_states(source);
}

void print_tokenizer(const fs::path& path) {
  const auto tokenizer = data::open_tokenizer(path);
  std::cout << tokenizer->kind() << ": " << counted(tokenizer->vocab_size(), "piece") << ", SHA-256 "
            << tokenizer->sha256() << "\n";
}

// CheckpointError for one that is cut off or damaged, by its header; weights that are not there are no error.
void check_weight_files(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") files.insert(entry.path());
  for (const auto& file : files) const checkpoint::SafetensorsFile opened(file);
}

void print_folder(const fs::path& path) {
  if (checkpoint::is_hf_folder(path)) {
    const auto source = checkpoint::open_model(path);
    check_weight_files(path);
    return print_model("Hugging Face folder of family " + source.kind, source);
  }
  if (fs::exists(path / "manifest.json")) return print_model("evenkeel checkpoint", checkpoint::open_model(path));
  if (fs::exists(path / "resolved.json")) {
    const auto steps = checkpoint::saved_steps(path);
    if (steps.empty()) checkpoint::require_one_whole(path);
    inspect_run(path);
    std::cout << "saved steps: " << Json(steps).dump() << "\n";
    if (!steps.empty()) print_model("its last checkpoint", checkpoint::open_model(path));
    return;
  }
  if (fs::exists(path / "results.json")) return inspect_results(path / "results.json");
  if (fs::is_directory(path / "arms")) {
    std::cout << "evenkeel study: " << printable(path.string()) << ", not finished\n";
    for (const auto& arm : fs::directory_iterator(path / "arms"))
      if (fs::exists(arm.path() / "resolved.json")) inspect_run(arm.path());
    return;
  }
  if (!data::tokenizer_files(path).empty()) return print_tokenizer(path);
  fail<DataError>(path.string(),
                  ": got a folder that is no checkpoint, run, study or Hugging Face folder; need one of these");
}

std::string start_of(const fs::path& path, size_t most_bytes) {
  const InputFile file(path);  // refuses a pipe that nobody writes to
  std::string start(most_bytes, '\0');
  start.resize(file.read_up_to(0, start.data(), start.size()));
  return start;
}

// The first of several lines of JSON; null where the file is something else.
Json first_record(const fs::path& path) {
  constexpr size_t kMostBytes = 1 << 20;
  const std::string start = start_of(path, kMostBytes);
  const size_t end = start.find('\n');
  if (end == start.npos || start.find_first_not_of(" \t\r\n", end) == start.npos) return {};
  try {
    return parse_foreign_json(std::string_view(start).substr(0, end), path.string());
  } catch (const DataError&) {
    return {};
  }
}

// A text file: the start of it says what made it.
void print_text(const fs::path& path) {
  constexpr size_t kHeadBytes = 4096;
  const std::string head = start_of(path, kHeadBytes);
  const bool is_page = head.find("<title>") != std::string::npos && head.find("evenkeel") != std::string::npos;
  require<DataError>(path.extension() != ".html" || is_page, path.string(),
                     ": got a page that evenkeel did not write; need one of evenkeel report");
  const std::string size = human_bytes(static_cast<double>(fs::file_size(path)));
  if (is_page) {
    std::cout << "page of evenkeel report: " << printable(path.string()) << ", " << size << " (open it in a browser)\n";
  } else {
    std::cout << "text: " << printable(path.string()) << ", " << size << " ('evenkeel prepare' makes tokens of it)\n";
  }
}

bool is_text_input(const fs::path& path) {
  try {
    data::check_input(path);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

void print_file(const fs::path& path) {
  const std::string suffix = path.extension().string();
  if (path.filename() == "load.columns" || start_of(path, kLoadsMark.size()) == kLoadsMark) return inspect_loads(path);
  if (suffix == ".safetensors") return inspect_safetensors(path);
  if (suffix == ".idx" || suffix == ".bin") return inspect_dataset(fs::path(path).replace_extension());
  if (suffix == ".model" || suffix == ".tiktoken" || path.filename().string().ends_with("tokenizer.json"))
    return print_tokenizer(path);
  const Json record = suffix == ".jsonl" || suffix == ".json" ? first_record(path) : Json();
  const bool is_metrics = record.find("step") != nullptr && record.find("phase") != nullptr;
  if (is_metrics || path.filename() == "metrics.jsonl") return inspect_metrics(path);
  if (suffix == ".json" && !record.is_object()) return inspect_json(path);
  if (suffix == ".toml") return inspect_recipe(path);
  if (suffix == ".html" || is_text_input(path)) return print_text(path);
  fail<DataError>(
      path.string(),
      ": got a file of unknown kind; need .safetensors, .idx, .bin, .model, .tiktoken, .json, .jsonl, .toml, .html, "
      "load.columns or text");
}

}  // namespace

int cmd_inspect(Options& options) {
  std::string path;
  options.add("PATH", path, "file or folder, or the PREFIX of a data set", true);
  options.example("evenkeel inspect runs/first");
  if (!options.parse()) return 0;
  if (!fs::exists(path) && fs::exists(path + ".idx")) {
    inspect_dataset(path);
    return 0;
  }
  require<DataError>(fs::exists(path), path,
                     ": got no such file or folder; need one, or the PREFIX of a .bin and .idx");
  if (fs::is_directory(path)) {
    print_folder(path);
  } else {
    print_file(path);
  }
  return 0;
}

}  // namespace evenkeel::cli
