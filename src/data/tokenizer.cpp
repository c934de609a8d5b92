#include "data/tokenizer.h"

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/tokenizers/registry.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kMostFileBytes = INT64_C(1) << 30;

std::vector<fs::path> files_with(const fs::path& folder, const char* suffix) {
  std::vector<fs::path> out;
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  require<MachineError>(!error, folder.string(), ": got '", error.message(), "' on listing; need it to succeed");
  for (const auto& entry : entries)
    if (entry.path().extension() == suffix && entry.is_regular_file(error)) out.push_back(entry.path());
  return out;
}

}  // namespace

std::optional<fs::path> tokenizer_file(const fs::path& folder) {
  std::error_code ignored;  // what is wrong with the folder shows when it is read
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (fs::is_regular_file(folder / name, ignored)) return folder / name;
  for (const char* suffix : {".model", ".tiktoken"}) {
    const auto files = files_with(folder, suffix);
    require<DataError>(files.size() <= 1, folder.string(), ": got ", files.size(), " ", suffix,
                       " files and no tokenizer.model; need a folder with one tokenizer");
    if (!files.empty()) return files.front();
  }
  return std::nullopt;
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code ignored;
  fs::path file = path;
  if (fs::is_directory(path, ignored)) {
    const auto found = tokenizer_file(path);
    require<DataError>(found.has_value(), path.string(),
                       ": got a folder without a tokenizer; need a tokenizer.json, a SentencePiece .model or a .tiktoken");
    file = *found;
  }
  const std::string content = read_file(file, kMostFileBytes);
  const auto& kinds = tokenizer_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) { return each.is_kind(content); });
  return kind->open(file, content);
}

}  // namespace evenkeel::data
