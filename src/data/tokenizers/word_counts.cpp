#include "data/tokenizers/word_counts.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace evenkeel::data {

void WordCounts::add(std::span<const int32_t> ids) {
  for (; ids.size() > kMostWordIds; ids = ids.subspan(kMostWordIds)) add_part(ids.first(kMostWordIds));
  if (ids.size() > 1) add_part(ids);
}

void WordCounts::add_part(std::span<const int32_t> ids) {
  const std::string_view key(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  if (const auto found = counts_.find(key); found != counts_.end()) {
    ++found->second;
    return;
  }
  if (n_ids_ + ids.size() > most_ids_) forget();
  counts_.emplace(key, 1);
  n_ids_ += ids.size();
}

void WordCounts::forget() {
  for (int64_t rarest = 1; n_ids_ > most_ids_ / 2; ++rarest)
    n_forgotten_ += static_cast<int64_t>(std::erase_if(counts_, [&](const auto& entry) {
      if (entry.second > rarest) return false;
      n_ids_ -= entry.first.size() / sizeof(int32_t);
      return true;
    }));
}

std::vector<CountedWord> WordCounts::take() {
  std::vector<CountedWord> out;
  out.reserve(counts_.size());
  while (!counts_.empty()) {
    const auto node = counts_.extract(counts_.begin());
    CountedWord& word = out.emplace_back();
    word.ids.resize(node.key().size() / sizeof(int32_t));
    std::memcpy(word.ids.data(), node.key().data(), node.key().size());
    word.count = node.mapped();
  }
  n_ids_ = 0;
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.ids < b.ids; });
  return out;
}

}  // namespace evenkeel::data
