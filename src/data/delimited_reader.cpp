#include "data/delimited_reader.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace evenkeel::data {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 18;
constexpr size_t kLargestRead = size_t{1} << 26;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

struct Magic {
  std::string_view bytes;
  const char* kind;
};
// None of these is UTF-8.
constexpr Magic kForeign[] = {
    {"\xFF\xFE", "UTF-16 text"},
    {"\xFE\xFF", "UTF-16 text"},
    {std::string_view("\xFF\xFE\0\0", 4), "UTF-32 text"},  // it begins as UTF-16 does: the last that fits is taken
    {std::string_view("\0\0\xFE\xFF", 4), "UTF-32 text"},
    {"\x1F\x8B", "gzip data under a name without .gz"},
    {"\xFD\x37\x7A\x58\x5A", "xz data under a name without .xz"},
    {"\x28\xB5\x2F\xFD", "zstd data under a name without .zst"},
};

// Text of wide characters without a byte order mark; nullptr for other text. In UTF-16 we know ASCII letters, of which
// one byte is 0; in UTF-32 every character, since none is above 0x10FFFF.
const char* wide_kind(std::string_view text) {
  constexpr size_t kFewest = 4, kMostBytes = 64;
  const auto n_that = [&](size_t width, const auto& holds) {  // characters of so many bytes
    const size_t n = std::min(text.size(), kMostBytes) / width;
    size_t count = 0;
    for (size_t i = 0; i < n; ++i) count += holds(text.substr(i * width, width)) ? 1 : 0;
    return n >= kFewest && count == n;
  };
  const auto is_code = [](char first, char second, char third, char fourth) {
    return first == '\0' && static_cast<unsigned char>(second) <= 0x10 &&
           (second != '\0' || third != '\0' || fourth != '\0');
  };
  if (n_that(2, [](std::string_view c) { return c[0] != '\0' && c[1] == '\0'; })) return "UTF-16LE text";
  if (n_that(2, [](std::string_view c) { return c[0] == '\0' && c[1] != '\0'; })) return "UTF-16BE text";
  if (n_that(4, [&](std::string_view c) { return is_code(c[3], c[2], c[1], c[0]); })) return "UTF-32LE text";
  if (n_that(4, [&](std::string_view c) { return is_code(c[0], c[1], c[2], c[3]); })) return "UTF-32BE text";
  return nullptr;
}

}  // namespace

DelimitedReader::DelimitedReader(ByteSource& source, Delimiter delimiter, size_t most_bytes)
    : source_(source), delimiter_(std::move(delimiter)), most_bytes_(most_bytes) {}

bool DelimitedReader::next(std::string_view& piece) {
  if (is_cut_) pass_over_rest();
  size_t scanned = 0;  // bytes of the open piece in which no delimiter starts
  for (;;) {
    size_t size_bytes = 0;
    const size_t found = find(start_ + scanned, size_bytes);
    if (found != std::string::npos && found - start_ <= most_bytes_) {
      take(piece, found - start_, size_bytes);
      return true;
    }
    // A delimiter may begin in the last bytes that were searched, twice as long with its carriage returns.
    const size_t open = buffer_.size() - start_;
    scanned = open - std::min(open, 2 * delimiter_.text.size());
    if (open > most_bytes_) {
      is_cut_ = true;
      take(piece, most_bytes_, 0);
      return true;
    }
    if (!fill()) break;
  }
  if (start_ == buffer_.size()) return false;
  take(piece, buffer_.size() - start_, 0);
  return true;
}

void DelimitedReader::take(std::string_view& piece, size_t size_bytes, size_t delimiter_bytes) {
  piece = std::string_view(buffer_).substr(start_, size_bytes);
  piece_offset_ = offset_;
  delimiter_bytes_ = delimiter_bytes;
  offset_ += static_cast<int64_t>(size_bytes + delimiter_bytes);
  start_ += size_bytes + delimiter_bytes;
}

// Up to and with the next delimiter, or to the end of the file.
void DelimitedReader::pass_over_rest() {
  is_cut_ = false;
  std::string_view ignored;
  for (;;) {
    size_t size_bytes = 0;
    const size_t found = find(start_, size_bytes);
    if (found != std::string::npos) return take(ignored, found - start_, size_bytes);
    const size_t open = buffer_.size() - start_;
    take(ignored, open - std::min(open, 2 * delimiter_.text.size()), 0);
    if (!fill()) return take(ignored, buffer_.size() - start_, 0);
  }
}

// Where the next whole delimiter begins, and its size there.
size_t DelimitedReader::find(size_t from, size_t& size_bytes) const {
  const std::string& text = delimiter_.text;
  if (text.empty()) return std::string::npos;
  if (!delimiter_.takes_carriage_returns) {
    size_bytes = text.size();
    return buffer_.find(text, from);
  }
  for (size_t at = from; at < buffer_.size(); ++at) {
    at = buffer_.find_first_of(text[0] == '\n' ? std::string_view("\r\n") : std::string_view(text).substr(0, 1), at);
    if (at == std::string::npos) break;
    size_t end = at;
    bool is_match = true;
    for (size_t i = 0; i < text.size() && is_match; ++i) {
      if (text[i] == '\n' && end < buffer_.size() && buffer_[end] == '\r') ++end;
      is_match = end < buffer_.size() && buffer_[end] == text[i];
      ++end;
    }
    if (!is_match) continue;
    size_bytes = end - at;
    return at;
  }
  return std::string::npos;
}

// Moves the open piece to the front of the buffer and reads on; false at the end of the file.
bool DelimitedReader::fill() {
  buffer_.erase(0, std::exchange(start_, 0));
  const size_t size = buffer_.size();
  buffer_.resize(size + std::clamp(size / 2, kPieceBytes, kLargestRead));
  const size_t n = source_.read(buffer_.data() + size, buffer_.size() - size);
  buffer_.resize(size + n);
  if (!std::exchange(has_begun_, true)) {
    if (buffer_.starts_with(kByteOrderMark)) offset_ = static_cast<int64_t>(start_ = kByteOrderMark.size());
    for (const auto& magic : kForeign)
      if (buffer_.starts_with(magic.bytes)) foreign_kind_ = magic.kind;
    if (foreign_kind_ == nullptr) foreign_kind_ = wide_kind(buffer_);
  }
  return n > 0;
}

bool next_of_text(DelimitedReader& pieces, const std::filesystem::path& path, std::string_view& piece) {
  const bool is_one = pieces.next(piece);
  if (pieces.foreign_kind() == nullptr) return is_one;
  const std::string kind = pieces.foreign_kind();
  fail<DataError>(path.string(), ": got ", kind, "; need UTF-8 text",
                  kind.starts_with("UTF-") ? " (iconv -f " + kind.substr(0, kind.find(' ')) + " -t UTF-8 makes it)"
                                           : " (or the right name)");
}

}  // namespace evenkeel::data
