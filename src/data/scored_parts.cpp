#include "data/scored_parts.h"

#include <algorithm>
#include <stdexcept>

#include "core/errors.h"

namespace evenkeel::data {

fs::path scored_path(const fs::path& prefix) { return prefix.string() + ".scored"; }

ScoredParts::ScoredParts(const fs::path& prefix, int64_t n_tokens) : path_(scored_path(prefix)), file_(path_) {
  require<DataError>(static_cast<int64_t>(file_.size()) == n_tokens, path_.string(), ": got ", file_.size(),
                     " bytes; need ", n_tokens, ", one for each token of the .bin file");
}

void ScoredParts::require_sha256(const std::string& sha256) const {
  const std::string found = sha256_file(path_);
  require<DataError>(found == sha256, path_.string(), ": got SHA-256 ", found, "; need ", sha256,
                     " as PREFIX.json has it (has the file been changed?)");
}

void ScoredParts::copy(int64_t first, int64_t count, uint8_t* out) const {
  const auto size = static_cast<int64_t>(file_.size());
  if (first < 0 || count < 0 || first > size - count)
    throw std::out_of_range("ScoredParts::copy: range outside the tokens");
  for (int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<uint8_t>(file_.data()[first + i]);
    require<DataError>(out[i] <= 1, path_.string(), ": got ", int{out[i]}, " at byte ", first + i, "; need 0 or 1");
  }
  file_.require_whole();
}

ScoredPartsWriter::ScoredPartsWriter(const fs::path& prefix) : file_(scored_path(prefix)) {}

void ScoredPartsWriter::add(const std::vector<uint8_t>& scored) {
  file_.write(scored.data(), scored.size());
  hash_.add({reinterpret_cast<const char*>(scored.data()), scored.size()});
  n_scored_ += std::count(scored.begin(), scored.end(), uint8_t{1});
}

}  // namespace evenkeel::data
