#include "train/tokenizer_uses.h"

#include <filesystem>
#include <set>

#include "checkpoint/origin.h"
#include "core/json_lines.h"
#include "data/description.h"
#include "data/tokenizer.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

// What PREFIX.json says; without a hash where there is none.
data::TokenizerUse described_use(const std::string& name, const fs::path& prefix) {
  data::TokenizerUse out{name, prefix.string(), "", ""};
  const Json json = data::read_description(prefix);
  const auto text = [&](const char* key) {
    const Json* value = json.is_object() ? json.find(key) : nullptr;
    return value != nullptr && value->is_string() ? value->as_string() : std::string();
  };
  out.tokenizer = text("tokenizer");
  out.sha256 = text("tokenizer_sha256");
  if (!out.tokenizer.empty())
    out.files.push_back((fs::absolute(prefix).parent_path() / out.tokenizer).lexically_normal().string());
  return out;
}

// The sets that the phases of a checkpoint drew from.
std::vector<std::string> drawn_sets(const checkpoint::ModelSource& source) {
  std::vector<std::string> out;
  if (!source.is_checkpoint()) return out;
  with_path_as<CheckpointError>(source.folder / "state.json", source.state, [&] {
    for (const auto& phase : source.state.at("phases").as_array())
      for (const auto& drawn_from : phase.at("sources").as_array()) out.push_back(drawn_from.at("path").as_string());
  });
  return out;
}

std::vector<std::string> files_of(const checkpoint::ModelSource& source) {
  std::vector<std::string> out;
  const fs::path folder = source.is_checkpoint() ? source.folder / checkpoint::kOriginName : source.folder;
  for (const auto& file : data::tokenizer_files(folder)) out.push_back(file.string());
  for (const auto& prefix : drawn_sets(source)) {
    try {
      const auto use = described_use("", prefix);
      out.insert(out.end(), use.files.begin(), use.files.end());
    } catch (const DataError&) {
      continue;  // a description that is damaged by now says nothing of the model
    }
  }
  return out;
}

}  // namespace

std::vector<data::TokenizerUse> tokenizer_uses(const std::string& name, const checkpoint::ModelSource& source) {
  std::vector<data::TokenizerUse> out;
  for (const auto& sha256 : checkpoint::tokenizers_of(source))
    out.push_back({name, source.folder.string(), "", sha256, files_of(source)});
  return out;
}

std::vector<data::TokenizerUse> tokenizer_uses_of_sets(const RunConfig& config) {
  std::vector<data::TokenizerUse> out;
  const auto add = [&](const std::string& at, const auto& sources) {
    for (const auto& source : sources)
      if (auto use = described_use(at + ".data." + source.name, source.path.value); !use.sha256.empty())
        out.push_back(std::move(use));
  };
  for (const auto& phase : config.phases) {
    const std::string at = "phase." + phase.name;
    add(at, phase.data);
    if (phase.replay) add(at + ".replay", phase.replay->data);
    if (phase.eval) add(at + ".eval", phase.eval->data);
  }
  return out;
}

std::string largest_tokenizer(const RunConfig& config) {
  std::string out;
  int64_t most = 0;
  std::set<std::string> seen;
  for (const auto& use : tokenizer_uses_of_sets(config)) {
    if (!seen.insert(use.sha256).second) continue;
    const std::string file = data::tokenizer_file(use);
    const int64_t size = file.empty() ? 0 : data::open_tokenizer(file)->vocab_size();
    if (size > most) out = file;
    most = std::max(most, size);
  }
  return out;
}

}  // namespace evenkeel::train
