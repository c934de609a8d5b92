#include "train/tokenizer_uses.h"

#include <filesystem>
#include <set>

#include "checkpoint/tokenizer_places.h"
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
  if (const auto file = data::described_tokenizer(prefix); !file.empty()) out.files.push_back(file);
  return out;
}

}  // namespace

std::vector<data::TokenizerUse> tokenizer_uses(const std::string& name, const checkpoint::ModelSource& source) {
  std::vector<data::TokenizerUse> out;
  for (const auto& sha256 : checkpoint::tokenizers_of(source))
    out.push_back({name, source.folder.string(), "", sha256, checkpoint::tokenizer_places(source)});
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
