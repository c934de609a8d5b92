#include "checkpoint/model_source.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/origin.h"
#include "checkpoint/safetensors.h"
#include "core/errors.h"
#include "core/content_hash.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "data/tokenizer.h"
#include "model/layout.h"

namespace evenkeel::checkpoint {

namespace {

// "step-00000032, step-00000052", where a checkpoint of a run is asked for.
std::string checkpoints_beside(const fs::path& path) {
  std::error_code ignored;
  std::set<std::string> names;
  if (path.parent_path().filename() != "checkpoints") return "";
  for (const auto& entry : fs::directory_iterator(path.parent_path(), ignored))
    if (const auto name = entry.path().filename().string(); name.starts_with("step-")) names.insert(name);
  std::string out;
  for (const auto& name : names) add_to_list(out, name);
  return out;
}

// What else a MODEL argument may have been given: the error says what to type.
void require_model_folder(const fs::path& path) {
  constexpr const char* kNeed = "; need a checkpoint, run or Hugging Face folder";
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    require<CheckpointError>(!fs::is_directory(path / "arms", ignored), path.string(), ": got the folder of a study",
                             kNeed, ", as one of its runs, ", (path / "arms" / "NAME").string());
    return;
  }
  const bool is_in_model = fs::exists(path.parent_path() / "manifest.json", ignored) ||
                           fs::exists(path.parent_path() / "config.json", ignored);
  require<CheckpointError>(!fs::exists(path, ignored) || !is_in_model, path.string(),
                           ": got a file of a model; need its folder, ", path.parent_path().string());
  require<CheckpointError>(!fs::exists(path, ignored), path.string(), ": got a file", kNeed);
  require<CheckpointError>(!fs::exists(path.string() + ".idx", ignored), path.string(),
                           ": got the PREFIX of a data set", kNeed);
  const std::string others = checkpoints_beside(path);
  fail<CheckpointError>(path.string(), ": got no such folder", kNeed, others.empty() ? "" : "; the run has " + others);
}

}  // namespace

namespace {

// Those that are not whole: whoever asks for the last checkpoint gets an older one, and must know.
void warn_of_later_ones(const fs::path& run, int64_t step) {
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    const auto other = step_of_name(entry.path().filename().string());
    if (other && *other > step)
      log_warning(entry.path().string(), ": got a checkpoint that is not whole ('evenkeel verify' says why); step ",
                  step, " is taken");
  }
}

}  // namespace

fs::path find_checkpoint(const fs::path& path, std::optional<int64_t> step) {
  require_model_folder(path);
  if (fs::exists(path / "manifest.json")) {
    require<CheckpointError>(!step || path.filename() == step_folder_name(*step), path.string(),
                             ": got a checkpoint and step ", step.value_or(0), "; need a run to choose a step from");
    return path;
  }
  const auto steps = saved_steps(path);
  if (steps.empty()) require_one_whole(path);
  if (!step) {
    require<CheckpointError>(
        !steps.empty(), path.string(),
        ": got a folder without a whole checkpoint; need a checkpoint, a run that has one, or a Hugging Face folder");
    step = steps.back();
    warn_of_later_ones(path, *step);
  }
  const fs::path found = path / "checkpoints" / step_folder_name(*step);
  if (fs::is_directory(found))
    verify_folder(found,
                  /*deep=*/false);  // one that is not whole is none of the saved steps: how it is damaged is said
  std::string known;
  for (const int64_t saved : steps) add_to_list(known, std::to_string(saved));
  require<CheckpointError>(std::find(steps.begin(), steps.end(), *step) != steps.end(), path.string(), ": got step ",
                           *step, "; need one of the saved steps: ", known.empty() ? "none" : known);
  return found;
}

ModelSource open_model(const fs::path& path, std::optional<int64_t> step, bool deep) {
  ModelSource source;
  if (is_hf_folder(path)) {
    require<CheckpointError>(!step, path.string(), ": got a Hugging Face folder and a step; need a run");
    const auto hf = read_hf_config(path);
    constexpr int64_t kLongestDefault = 2048;
    source.folder = path;
    source.kind = hf.family;
    source.config = hf.config;
    source.sequence_length = std::min(hf.max_sequence_length, kLongestDefault);
    source.longest_sequence = hf.max_sequence_length;
    return source;
  }
  source.folder = find_checkpoint(path, step);
  verify_folder(source.folder, deep);
  const std::string file = (source.folder / "state.json").string();
  source.kind = "checkpoint";
  with_path_as<CheckpointError>(file, source.state, [&] {
    source.state = read_json(file);
    source.config = model::model_config_from_json(source.state.at("model"), file);
    source.sequence_length = source.state.at("sequence_length").as_int();
    const Json* origin = source.state.find("imported");
    if (origin == nullptr) origin = source.state.find(kUpcycledKey);
    source.has_history = origin == nullptr;
    const Json* longest = source.has_history ? nullptr : origin->find("max_sequence_length");
    source.longest_sequence = longest != nullptr ? longest->as_int() : source.sequence_length;
    if (const Json* separate = source.state.find("separate_documents")) source.separate_documents = separate->as_bool();
  });
  return source;
}

std::vector<std::string> tokenizers_of(const ModelSource& source) {
  std::set<std::string> out;
  if (!source.is_checkpoint()) {
    if (const auto files = data::tokenizer_files(source.folder); !files.empty()) out.insert(sha256_file(files.front()));
    return {out.begin(), out.end()};
  }
  with_path_as<CheckpointError>(source.folder / "state.json", source.state, [&] {
    for (const auto& phase : source.state.at("phases").as_array())
      for (const auto& drawn_from : phase.at("sources").as_array())
        if (const Json* sha256 = drawn_from.find("tokenizer_sha256")) out.insert(sha256->as_string());
  });
  if (const Json* upcycled = source.state.find(kUpcycledKey))
    with_path_as<CheckpointError>(source.folder / "state.json", source.state, [&] {
      for (const auto& sha256 : upcycled->at("tokenizers").as_array()) out.insert(sha256.as_string());
    });
  const auto files = data::tokenizer_files(source.folder / kOriginName);
  if (out.empty() && !files.empty()) out.insert(sha256_file(files.front()));
  return {out.begin(), out.end()};
}

Json folder_record(const fs::path& folder, const Json* known) {
  if (!is_hf_folder(folder))
    return Json::Object{{"hash", "sha256:" + sha256_file(folder / "manifest.json")},
                        {"names", "manifest.json\n"},
                        {"files", Json::array()}};
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() &&
        (entry.path().extension() == ".safetensors" || entry.path().filename() == "config.json"))
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::string names;
  std::vector<FileStamp> stamps;
  for (const auto& path : paths) {
    names += path.filename().string() + "\n";
    stamps.push_back(stamp_of(path));
  }
  const Json* known_names = known != nullptr ? known->find("names") : nullptr;
  if (known_names != nullptr && *known_names == Json(names) && stamps_from_json(known->at("files")) == stamps)
    return *known;
  std::vector<MappedFile> files;
  std::vector<const MappedFile*> mapped;
  files.reserve(paths.size());
  for (const auto& path : paths) mapped.push_back(&files.emplace_back(path));
  return Json::Object{
      {"hash", content_hash(mapped, "reading " + folder.string())}, {"names", names}, {"files", to_json(stamps)}};
}

std::string folder_identity_v1(const fs::path& folder) {
  if (!is_hf_folder(folder)) return sha256_file(folder / "manifest.json");
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors")
      files.push_back(join_parts(entry.path().filename().string(), " ", entry.file_size(), "\n"));
  std::sort(files.begin(), files.end());
  std::string text = read_file(folder / "config.json");
  for (const auto& file : files) text += file;
  return sha256_hex(text);
}

std::vector<TensorSpec> checked_tensors(const SafetensorsFile& tensors, const fs::path& file,
                                        const model::ModelConfig& config) {
  std::vector<TensorSpec> out;
  for (const auto& spec : model::parameter_table(config)) {
    const auto* entry = tensors.find(spec.name);
    require<CheckpointError>(entry != nullptr, file.string(), ": got no tensor '", spec.name, "'; need it");
    require<CheckpointError>(entry->shape == spec.shape, file.string(), ": got '", spec.name, "' of shape ",
                             Json(entry->shape).dump(), "; need ", Json(spec.shape).dump());
    out.push_back({entry->name, entry->dtype, entry->shape});
  }
  require<CheckpointError>(tensors.entries().size() == out.size(), file.string(), ": got ", tensors.entries().size(),
                           " tensors; need the ", out.size(), " of the model");
  return out;
}

ops::Params read_params(const fs::path& file, const model::ModelConfig& config) {
  const SafetensorsFile tensors(file);
  ops::Params params;
  for (const auto& tensor : checked_tensors(tensors, file, config))
    params.add(tensor.name, tensors.load(tensor.name).to(at::kFloat));
  return params;
}

ops::Params load_params(const ModelSource& source) {
  if (source.is_checkpoint()) return read_params(source.folder / "model.safetensors", source.config);
  return read_hf_params(source.folder, read_hf_config(source.folder));
}

}  // namespace evenkeel::checkpoint
