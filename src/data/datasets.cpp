#include "data/datasets.h"

#include <algorithm>
#include <filesystem>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "data/tokenizer_growth.h"

namespace evenkeel::data {

IndexedDataset& Datasets::open(const std::string& path) {
  const auto found = by_path_.find(path);
  return found != by_path_.end() ? found->second : by_path_.emplace(path, IndexedDataset::open(path)).first->second;
}

const IndexedDataset& Datasets::at(const std::string& path) const { return by_path_.at(path); }

TokenizerUse tokenizer_use(const std::string& name, const IndexedDataset& dataset) {
  TokenizerUse out{name, dataset.prefix().string(), dataset.tokenizer(), dataset.tokenizer_sha256()};
  if (!out.tokenizer.empty())
    out.files.push_back((fs::absolute(dataset.prefix()).parent_path() / out.tokenizer).lexically_normal().string());
  return out;
}

std::string tokenizer_file(const TokenizerUse& use) {
  std::error_code ignored;
  for (const auto& file : use.files)
    if (fs::is_regular_file(file, ignored) && sha256_file(file) == use.sha256) return file;
  return "";
}

namespace {

std::string shown(const TokenizerUse& use) {
  const std::string file = std::filesystem::path(use.tokenizer).filename().string();
  return use.name + " (" + use.place + "), made with " + (file.empty() ? "a tokenizer" : file) + " of SHA-256 " +
         use.sha256.substr(0, 12) + "…";
}

// False too where a file is not there any more, or cannot be read: then nothing says that they agree.
bool one_extends_the_other(const TokenizerUse& left, const TokenizerUse& right) {
  const std::string of_left = tokenizer_file(left), of_right = tokenizer_file(right);
  if (of_left.empty() || of_right.empty()) return false;
  try {
    const auto one = open_tokenizer(of_left), other = open_tokenizer(of_right);
    return extends(*one, *other) || extends(*other, *one);
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

void require_one_tokenizer(const std::vector<TokenizerUse>& uses, bool allows_mixed, const std::string& how_to_allow) {
  std::vector<const TokenizerUse*> distinct;  // the first of each tokenizer
  std::string unknown;
  for (const auto& use : uses) {
    if (use.sha256.empty()) {
      if (unknown.find(use.place) == std::string::npos) add_to_list(unknown, use.place);
      continue;
    }
    const auto is_same = [&](const TokenizerUse* other) { return other->sha256 == use.sha256; };
    if (std::any_of(distinct.begin(), distinct.end(), is_same)) continue;
    for (const TokenizerUse* other : distinct) {
      if (one_extends_the_other(*other, use)) {
        log_info(shown(use), " and ", shown(*other), ": one extends the other, an id means the same in both");
        continue;
      }
      require<DataError>(allows_mixed, shown(use), ": got another tokenizer than ", shown(*other),
                         "; need one for all, or one that extends the other, or ", how_to_allow);
      return log_warning(shown(use), " stands beside ", shown(*other), ": the same id means other text in each");
    }
    distinct.push_back(&use);
  }
  if (!unknown.empty() && !distinct.empty())
    log_info("no description names the tokenizer of ", unknown, ": it is taken to be that of the others");
}

}  // namespace evenkeel::data
