#include "checkpoint/origin.h"

#include <algorithm>

#include "checkpoint/families.h"
#include "checkpoint/model_source.h"
#include "core/errors.h"
#include "core/file_io.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kNames[] = {"config.json",
                                  "generation_config.json",
                                  "tokenizer.json",
                                  "tokenizer.model",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "added_tokens.json",
                                  "merges.txt",
                                  "vocab.json",
                                  "vocab.txt"};

// The class is no part of transformers: its code lies beside.
bool has_own_code(const fs::path& folder) {
  try {
    return HfConfig(folder).has("auto_map");
  } catch (const CheckpointError&) {
    return false;
  }
}

}  // namespace

std::vector<std::string> origin_names(const fs::path& folder) {
  std::vector<std::string> out;
  const bool takes_code = has_own_code(folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_named = std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
                          name.starts_with("chat_template") || (takes_code && name.ends_with(".py"));
    if (is_named && entry.is_regular_file(error)) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

fs::path origin_of(const fs::path& model) {
  if (is_hf_folder(model)) return model;
  std::error_code ignored;
  const fs::path kept = find_checkpoint(model, std::nullopt) / kOriginName;
  return fs::is_directory(kept, ignored) ? kept : fs::path();
}

void keep_origin(const fs::path& from, const fs::path& checkpoint, const fs::path& tokenizer) {
  constexpr const char* kPieces[] = {"tokenizer.json", "tokenizer.model", "merges.txt", "vocab.json", "vocab.txt"};
  const fs::path to = checkpoint / kOriginName;
  const bool is_ours = from.filename() == kOriginName && fs::exists(from.parent_path() / "manifest.json");
  auto names = from.empty() ? std::vector<std::string>() : origin_names(from);
  if (!tokenizer.empty())
    std::erase_if(names, [&](const auto& name) {
      return std::find(std::begin(kPieces), std::end(kPieces), name) != std::end(kPieces);
    });
  if (!names.empty() || !tokenizer.empty()) make_folders(to);
  for (const auto& name : names) {
    std::error_code error;
    if (is_ours) fs::create_hard_link(from / name, to / name, error);
    if (!is_ours || error) write_file_atomically(to / name, read_file(from / name));
  }
  if (!tokenizer.empty())
    write_file_atomically(to / (tokenizer.extension() == ".json" ? "tokenizer.json" : "tokenizer.model"),
                          read_file(tokenizer));
}

}  // namespace evenkeel::checkpoint
