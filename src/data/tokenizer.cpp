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

// The file that a folder's tokenizer is opened from.
fs::path file_of(const fs::path& folder) {
  if (const auto files = tokenizer_files(folder); !files.empty()) return files.front();
  for (const char* suffix : {".model", ".tiktoken"}) {
    const auto files = files_with(folder, suffix);
    require<DataError>(files.size() <= 1, folder.string(), ": got ", files.size(), " ", suffix,
                       " files and no tokenizer.model; need a folder with one tokenizer");
    if (!files.empty()) return files.front();
  }
  fail<DataError>(folder.string(),
                  ": got a folder without a tokenizer; need a tokenizer.json, a SentencePiece .model or a .tiktoken");
}

}  // namespace

std::vector<fs::path> tokenizer_files(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code ignored;  // what is wrong with the folder shows when it is read
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (fs::is_regular_file(folder / name, ignored)) out.push_back(folder / name);
  return out;
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code ignored;
  const fs::path file = fs::is_directory(path, ignored) ? file_of(path) : path;
  const std::string content = read_file(file, kMostFileBytes);
  const auto& kinds = tokenizer_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) { return each.is_kind(content); });
  return kind->open(file, content);
}

}  // namespace evenkeel::data
