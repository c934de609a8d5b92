#include <iostream>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/units.h"
#include "data/indexed_dataset.h"
#include "data/tokenizer.h"
#include "model/layout.h"

namespace evenkeel::cli {
namespace {

void print_router_states(const checkpoint::ModelSource& source) {
  const model::Transformer model(source.config);
  const auto states = checkpoint::load_router_states(source, model);
  for (size_t index = 0; index < states.size(); ++index)
    for (const auto& [name, tensor] : states[index])
      std::cout << "  " << checkpoint::router_state_name(index, name) << " " << Json(tensor.sizes().vec()).dump() << ", from "
                << tensor.min().item<double>() << " to " << tensor.max().item<double>() << "\n";
}

void print_model(const std::string& what, const checkpoint::ModelSource& source) {
  const auto counts = model::count_parameters(source.config);
  std::cout << what << ": " << source.folder.string() << "\n"
            << "parameters: " << counts.total << " in all, " << counts.active << " active a token\n"
            << "sequence length: " << source.sequence_length << "\n"
            << "model: " << model::model_config_json(source.config).dump(1) << "\n";
  if (source.state.is_null()) return;
  std::cout << "format: " << source.state.at("format").as_string() << ", step " << source.state.at("step").as_int() << ", " << human_count(source.state.at("tokens").as_double())
            << " tokens, phase " << source.state.at("phase").as_string() << "\n";
  for (const auto& spec : model::parameter_table(source.config)) std::cout << "  " << spec.name << " " << Json(spec.shape).dump() << "\n";
  print_router_states(source);
}

void print_folder(const fs::path& path) {
  if (checkpoint::is_hf_folder(path)) {
    const auto source = checkpoint::open_model(path);
    return print_model("Hugging Face folder of family " + source.kind, source);
  }
  if (fs::exists(path / "manifest.json")) return print_model("evenkeel checkpoint", checkpoint::open_model(path));
  if (fs::exists(path / "resolved.json")) {
    const auto steps = checkpoint::saved_steps(path);
    std::cout << "evenkeel run: " << path.string() << "\nsaved steps: " << Json(steps).dump() << "\n";
    if (!steps.empty()) print_model("its last checkpoint", checkpoint::open_model(path));
    return;
  }
  if (fs::exists(path / "results.json")) {
    const Json results = read_json(path / "results.json");
    std::cout << "evenkeel " << results.at("kind").as_string() << ": " << path.string() << ", " << results.at("schema").as_string() << ", " << results.at("arms").size() << " arms\n";
    for (const auto& [name, table] : results.at("tables").as_object()) std::cout << "  " << name << ": " << table.at("rows").size() << " rows\n";
    return;
  }
  fail<DataError>(path.string(), ": got a folder that is no checkpoint, run, study or Hugging Face folder; need one of these");
}

void print_file(const fs::path& path) {
  const std::string name = path.string(), suffix = path.extension().string();
  if (suffix == ".safetensors") {
    const checkpoint::SafetensorsFile file(path);
    std::cout << "safetensors: " << file.entries().size() << " tensors\n";
    for (const auto& [key, value] : file.metadata()) std::cout << "  " << key << " = " << value << "\n";
    for (const auto& entry : file.entries()) std::cout << "  " << entry.name << " " << c10::toString(entry.dtype) << " " << Json(entry.shape).dump() << "\n";
  } else if (suffix == ".idx" || suffix == ".bin") {
    const auto dataset = data::IndexedDataset::open(name.substr(0, name.size() - 4));
    std::cout << "indexed dataset, version 1: " << dataset.n_tokens() << " tokens, " << dataset.n_documents() << " documents, contents " << dataset.contents().hash << "\n";
  } else if (suffix == ".model") {
    const auto tokenizer = data::open_tokenizer(path);
    std::cout << "SentencePiece model: " << tokenizer->vocab_size() << " pieces, SHA-256 " << tokenizer->sha256() << "\n";
  } else if (suffix == ".json") {
    const Json json = Json::parse(read_file(path), name);
    std::cout << "JSON " << json.kind();
    if (const Json* format = json.find("format")) std::cout << ", format " << format->dump();
    if (const Json* schema = json.find("schema")) std::cout << ", schema " << schema->dump();
    std::cout << "\n";
  } else {
    fail<DataError>(name, ": got a file of unknown kind; need .safetensors, .idx, .bin, .model or .json");
  }
}

}  // namespace

int cmd_inspect(Options& options) {
  std::string path;
  options.add("PATH", path, "file or folder", true);
  options.example("evenkeel inspect runs/first");
  if (!options.parse()) return 0;
  require<DataError>(fs::exists(path), path, ": got no such file or folder; need one");
  if (fs::is_directory(path)) {
    print_folder(path);
  } else {
    print_file(path);
  }
  return 0;
}

}  // namespace evenkeel::cli
