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

void require_one_tokenizer(const std::vector<NamedSet>& sets, bool allows_mixed, const std::string& how_to_allow) {
  const auto described = [](const NamedSet& set) { return !set.dataset->tokenizer_sha256().empty(); };
  const auto shown = [](const NamedSet& set) {
    const std::string file = std::filesystem::path(set.dataset->tokenizer()).filename().string();
    return set.name + " (" + set.dataset->prefix().string() + "), made with " + (file.empty() ? "a tokenizer" : file) + " of SHA-256 " + set.dataset->tokenizer_sha256().substr(0, 12) + "…";
  };
  const auto first = std::find_if(sets.begin(), sets.end(), described);
  std::string without;
  for (const auto& set : sets) {
    const std::string prefix = set.dataset->prefix().string();
    if (!described(set)) {
      if (without.find(prefix) == std::string::npos) without += (without.empty() ? "" : ", ") + prefix;
    } else if (set.dataset->tokenizer_sha256() != first->dataset->tokenizer_sha256()) {
      require<DataError>(allows_mixed, shown(set), ": got another tokenizer than ", shown(*first), "; need one for all sets, or ", how_to_allow);
      return log_warning(shown(set), " stands beside ", shown(*first), ": the same id means other text in each");
    }
  }
  if (!without.empty() && first != sets.end()) log_info("no description names the tokenizer of ", without, ": it is taken to be that of the others");
}

}  // namespace evenkeel::data
