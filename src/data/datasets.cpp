#include "data/datasets.h"

#include <algorithm>
#include <filesystem>

#include "core/errors.h"
#include "core/log.h"

namespace evenkeel::data {

IndexedDataset& Datasets::open(const std::string& path) {
  const auto found = by_path_.find(path);
  return found != by_path_.end() ? found->second : by_path_.emplace(path, IndexedDataset::open(path)).first->second;
}

const IndexedDataset& Datasets::at(const std::string& path) const { return by_path_.at(path); }

TokenizerUse tokenizer_use(const std::string& name, const IndexedDataset& dataset) {
  return {name, dataset.prefix().string(), dataset.tokenizer(), dataset.tokenizer_sha256()};
}

void require_one_tokenizer(const std::vector<TokenizerUse>& uses, bool allows_mixed, const std::string& how_to_allow) {
  const auto shown = [](const TokenizerUse& use) {
    const std::string file = std::filesystem::path(use.tokenizer).filename().string();
    return use.name + " (" + use.place + "), made with " + (file.empty() ? "a tokenizer" : file) + " of SHA-256 " +
           use.sha256.substr(0, 12) + "…";
  };
  const auto first =
      std::find_if(uses.begin(), uses.end(), [](const TokenizerUse& use) { return !use.sha256.empty(); });
  std::string unknown;
  for (const auto& use : uses) {
    if (use.sha256.empty()) {
      if (unknown.find(use.place) == std::string::npos) add_to_list(unknown, use.place);
    } else if (use.sha256 != first->sha256) {
      require<DataError>(allows_mixed, shown(use), ": got another tokenizer than ", shown(*first),
                         "; need one for all, or ", how_to_allow);
      return log_warning(shown(use), " stands beside ", shown(*first), ": the same id means other text in each");
    }
  }
  if (!unknown.empty() && first != uses.end())
    log_info("no description names the tokenizer of ", unknown, ": it is taken to be that of the others");
}

}  // namespace evenkeel::data
