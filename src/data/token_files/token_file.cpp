#include "data/token_files/token_file.h"

#include <algorithm>
#include <mutex>

#include "core/errors.h"
#include "core/file_scan.h"

namespace evenkeel::data {
namespace {

int64_t byte_of(const TokenLayout& layout, int64_t token) { return layout.first_byte + token * size_of(layout.type); }

// The first token that begins at this byte of the file or behind it.
int64_t token_from(const TokenLayout& layout, int64_t byte) {
  const int64_t size = size_of(layout.type);
  return std::clamp((byte - layout.first_byte + size - 1) / size, int64_t{0}, layout.n_tokens);
}

}  // namespace

TokenFile::TokenFile(const fs::path& path, std::optional<TokenType> dtype) : path_(path), file_(path) {
  const auto size = static_cast<int64_t>(file_.size());
  const std::string_view start = file_.text().substr(0, static_cast<size_t>(std::min(size, kStartBytes)));
  kind_ = &token_file_kind(start);
  layout_ = kind_->layout({path, start, size, dtype});
  file_.require_whole();
}

StoredIds TokenFile::ids(int64_t first, int64_t count) const {
  return {file_.data() + byte_of(layout_, first), layout_.type, count};
}

void TokenFile::require_ids(int64_t first, int64_t count, int64_t vocab_size) const {
  const StoredIds stored = ids(first, count);
  if (count == 0 || bounds_of(stored).are_within(0, vocab_size - 1)) return;
  const PlacedId wrong = first_outside(stored, 0, vocab_size - 1);
  fail<DataError>(path_.string(), ": got id ", wrong.id, " at token ", first + wrong.index, "; need 0..",
                  vocab_size - 1, " (vocab_size ", vocab_size, ")");
}

void TokenFile::release(int64_t first, int64_t count) const {
  file_.require_whole();
  file_.release(static_cast<size_t>(byte_of(layout_, first)), static_cast<size_t>(byte_of(layout_, first + count)));
}

IdBounds bounds_of(const std::vector<TokenFile>& files) {
  std::vector<FilePart> parts;
  for (const auto& file : files) parts.push_back({&file.file_, file.file_.size()});
  IdBounds out;
  std::mutex mutex;
  scan(parts, "looking for the largest id", [&](size_t part, size_t offset, std::string_view piece) {
    const TokenFile& file = files[part];
    const auto begin = static_cast<int64_t>(offset);
    const int64_t first = token_from(file.layout(), begin),
                  end = token_from(file.layout(), begin + static_cast<int64_t>(piece.size()));
    const IdBounds found = bounds_of(file.ids(first, end - first));
    const std::lock_guard lock(mutex);
    out.add(found);
  });
  for (const auto& file : files) file.file_.require_whole();
  return out;
}

}  // namespace evenkeel::data
