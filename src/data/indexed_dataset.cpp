#include "data/indexed_dataset.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/errors.h"
#include "core/unaligned.h"
#include "core/file_scan.h"
#include "core/json_lines.h"
#include "core/json_value.h"
#include "data/description.h"

namespace evenkeel::data {
namespace {

// Layout of an .idx file: docs/formats.md. Nothing in it is aligned.
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kLegacyMagic("TNTIDX\0\0", 8);
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = 34;
constexpr int64_t kU16Vocabulary = 65500;  // below it the format's writers use u16

struct ItemType {
  int code;
  int size_bytes;
  bool is_signed;
};
constexpr ItemType kItemTypes[] = {{1, 1, false}, {2, 1, true}, {3, 2, true},
                                   {4, 4, true},  {5, 8, true}, {8, 2, false}};

fs::path with_suffix(const fs::path& prefix, const char* suffix) { return prefix.string() + suffix; }

struct Header {
  ItemType item{};
  int64_t n_sequences = 0;
  int64_t n_bounds = 0;  // of documents: their number + 1
};

Header read_header(const MappedFile& index, const std::string& where) {
  const std::string_view bytes = index.text();
  require<DataError>(!bytes.starts_with(kLegacyMagic), where,
                     ": got a legacy TNTIDX index; need MMIDIDX (write it anew with `evenkeel prepare`)");
  require<DataError>(bytes.size() >= kHeaderBytes, where, ": got ", bytes.size(), " bytes; need at least ",
                     kHeaderBytes, " for a header");
  require<DataError>(bytes.starts_with(kMagic), where, ": got no MMIDIDX at its start; need an indexed data set");
  const auto version = load_unaligned<uint64_t>(index.data() + 9);
  require<DataError>(version == kVersion, where, ": got version ", version, "; need ", kVersion);
  const int code = load_unaligned<uint8_t>(index.data() + 17);
  const auto* item =
      std::find_if(std::begin(kItemTypes), std::end(kItemTypes), [&](const ItemType& t) { return t.code == code; });
  require<DataError>(item != std::end(kItemTypes), where, ": got type code ", code,
                     "; need 1 (u8), 2 (i8), 3 (i16), 4 (i32), 5 (i64) or 8 (u16)");

  const auto n_sequences = load_unaligned<uint64_t>(index.data() + 18);
  const auto n_bounds = load_unaligned<uint64_t>(index.data() + 26);
  const uint64_t body_bytes = bytes.size() - kHeaderBytes;
  require<DataError>(n_sequences <= body_bytes / 12 && n_bounds <= body_bytes / 8, where, ": got ", n_sequences,
                     " sequences and ", n_bounds, " document bounds in ", bytes.size(), " bytes; need a whole file");
  const uint64_t needed_bytes = 12 * n_sequences + 8 * n_bounds;
  require<DataError>(n_sequences == 0 || body_bytes != needed_bytes + n_sequences, where,
                     ": got sequence modes (a multimodal data set); need text only");
  require<DataError>(body_bytes == needed_bytes, where, ": got ", bytes.size(), " bytes; need ",
                     kHeaderBytes + needed_bytes, " for ", n_sequences, " sequences and ", n_bounds,
                     " document bounds");
  require<DataError>(n_bounds >= 1, where, ": got 0 document bounds; need at least 1");
  return {*item, static_cast<int64_t>(n_sequences), static_cast<int64_t>(n_bounds)};
}

// Calls with a value of the item's type: for_item(2, false, [&](auto zero) { using T = decltype(zero); … }).
template <class F>
auto for_item(int size_bytes, bool is_signed, F&& call) {
  switch (size_bytes) {
    case 1: return is_signed ? call(int8_t{}) : call(uint8_t{});
    case 2: return is_signed ? call(int16_t{}) : call(uint16_t{});
    case 4: return call(int32_t{});
    default: return call(int64_t{});
  }
}

// Of sizes, and of the ends and evenly spaced samples of both files.
std::string order_key_of(std::string_view index, std::string_view tokens) {
  constexpr size_t kSampleBytes = 4096;
  constexpr size_t kSamples = 64;
  std::string sampled = join_parts(index.size(), " ", tokens.size(), "\n");
  for (const std::string_view file : {index, tokens}) {
    if (file.size() <= kSampleBytes * kSamples) {
      sampled += file;
      continue;
    }
    const size_t last = file.size() - kSampleBytes;
    for (size_t i = 0; i < kSamples; ++i) sampled += file.substr(last / (kSamples - 1) * i, kSampleBytes);
    sampled += file.substr(last);
  }
  return sha256_hex(sampled);
}

// The smallest and the largest id of pieces that several threads add.
class IdRange {
 public:
  void add(std::string_view piece, int item_bytes, bool is_signed) {
    for_item(item_bytes, is_signed, [&](auto zero) { widen<decltype(zero)>(piece); });
  }
  std::atomic<int64_t> smallest{std::numeric_limits<int64_t>::max()}, largest{std::numeric_limits<int64_t>::min()};

 private:
  template <class T>
  void widen(std::string_view piece) {
    // A mapped file begins at a page, and a piece at a multiple of the size of T.
    const auto* ids = reinterpret_cast<const T*>(piece.data());
    T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::min();
    for (size_t i = 0; i < piece.size() / sizeof(T); ++i) {
      low = std::min(low, ids[i]);
      high = std::max(high, ids[i]);
    }
    for (int64_t seen = smallest; low < seen && !smallest.compare_exchange_weak(seen, low);) {
    }
    for (int64_t seen = largest; high > seen && !largest.compare_exchange_weak(seen, high);) {
    }
  }
};

Contents contents_from_json(const Json& json) {
  return {json.at("hash").as_string(), json.at("smallest_id").as_int(), json.at("largest_id").as_int()};
}

}  // namespace

IndexedDataset IndexedDataset::open(const fs::path& prefix) {
  require_prefix(prefix);
  IndexedDataset out = open_tokens(prefix);
  out.take_description();
  return out;
}

IndexedDataset IndexedDataset::open_tokens(const fs::path& prefix, bool has_scored) {
  IndexedDataset out;
  out.prefix_ = prefix;
  const fs::path index_path = with_suffix(prefix, ".idx");
  const std::string where = index_path.string();
  out.index_ = MappedFile(index_path);
  const Header header = read_header(out.index_, where);
  out.item_bytes_ = header.item.size_bytes;
  out.is_signed_ = header.item.is_signed;
  out.n_sequences_ = header.n_sequences;
  out.n_documents_ = header.n_bounds - 1;
  const std::byte* const lengths = out.index_.data() + kHeaderBytes;
  const std::byte* const offsets = lengths + 4 * header.n_sequences;
  const std::byte* const bounds = offsets + 8 * header.n_sequences;

  // 1. Lengths that the tokens can fill, and offsets that are their prefix sums.
  const fs::path tokens_path = with_suffix(prefix, ".bin");
  out.tokens_ = MappedFile(tokens_path);
  const auto token_bytes = static_cast<int64_t>(out.tokens_.size());
  for (int64_t i = 0; i < header.n_sequences; ++i) {
    const int64_t length = load_unaligned<int32_t>(lengths, i);
    const auto offset = load_unaligned<int64_t>(offsets, i);
    require<DataError>(length >= 0, where, ": got length ", length, " of sequence ", i, "; need at least 0");
    require<DataError>(offset == out.n_tokens_ * out.item_bytes_, where, ": got offset ", offset, " of sequence ", i,
                       "; need ", out.n_tokens_ * out.item_bytes_, ", the sum of the lengths before it");
    out.n_tokens_ += length;
    require<DataError>(out.n_tokens_ * out.item_bytes_ <= token_bytes, tokens_path.string(), ": got ", token_bytes,
                       " bytes; need at least ", out.n_tokens_ * out.item_bytes_, " for sequences 0..", i,
                       " of the .idx file");
  }
  require<DataError>(token_bytes == out.n_tokens_ * out.item_bytes_, tokens_path.string(), ": got ", token_bytes,
                     " bytes; need ", out.n_tokens_ * out.item_bytes_, " for ", out.n_tokens_, " tokens of ",
                     out.item_bytes_, " bytes in the .idx file");
  // 2. Documents: ascending sequence numbers from 0 to the end.
  out.document_starts_.reserve(static_cast<size_t>(header.n_bounds));
  int64_t previous = 0;
  for (int64_t i = 0; i < header.n_bounds; ++i) {
    const auto bound = load_unaligned<int64_t>(bounds, i);
    const int64_t least = i + 1 == header.n_bounds ? header.n_sequences : previous;
    const int64_t most = i == 0 ? 0 : header.n_sequences;
    require<DataError>(least <= bound && bound <= most, where, ": got document bound ", bound, " at position ", i,
                       "; need ", least, "..", most, " (ascending from 0 to the number of sequences)");
    previous = bound;
    const int64_t start =
        bound == header.n_sequences ? out.n_tokens_ : load_unaligned<int64_t>(offsets, bound) / out.item_bytes_;
    out.document_starts_.push_back(start);
  }
  out.order_key_ = order_key_of(out.index_.text(), out.tokens_.text());
  out.stamps_ = {stamp_of(index_path), stamp_of(tokens_path)};
  if (has_scored) out.take_scored();
  return out;
}

void IndexedDataset::take_scored() {
  scored_.emplace(prefix_, n_tokens_);
  stamps_.push_back(stamp_of(scored_->path()));
}

const ScoredParts& IndexedDataset::checked_scored() const {
  require<DataError>(scored_.has_value(), prefix_.string(),
                     ": got a pair that does not say which tokens are scored; need one that 'evenkeel prepare "
                     "--messages' made");
  if (!is_scored_trusted_) scored_->require_sha256(scored_sha256_);
  return *scored_;
}

void IndexedDataset::copy(int64_t first, int64_t count, int64_t* out) const {
  if (first < 0 || count < 0 || first > n_tokens_ - count)
    throw std::out_of_range("IndexedDataset::copy: range outside the tokens");
  for_item(item_bytes_, is_signed_, [&](auto zero) {
    for (int64_t i = 0; i < count; ++i) out[i] = load_unaligned<decltype(zero)>(tokens_.data(), first + i);
  });
  tokens_.require_whole();
}

void IndexedDataset::release(int64_t first, int64_t count) const {
  tokens_.release(static_cast<size_t>(first * item_bytes_), static_cast<size_t>((first + count) * item_bytes_));
}

int64_t IndexedDataset::document_of(int64_t token) const {
  if (token < 0 || token >= n_tokens_) throw std::out_of_range("IndexedDataset::document_of: no such token");
  const auto after = std::upper_bound(document_starts_.begin(), document_starts_.end(), token);
  return after - document_starts_.begin() - 1;
}

int64_t IndexedDataset::first_document_from(int64_t token) const {
  const auto documents_end = document_starts_.begin() + n_documents_;
  return std::lower_bound(document_starts_.begin(), documents_end, token) - document_starts_.begin();
}

// PREFIX.json, where there is one that evenkeel wrote.
void IndexedDataset::take_description() {
  const Json json = read_description(prefix_);
  if (json.is_null()) return;
  const std::string path = with_suffix(prefix_, ".json").string();
  require<DataError>(json.find("unfinished") == nullptr, path,
                     ": got a pair that 'evenkeel prepare' or 'convert' did not finish; need it run again");
  text_bytes_ = described_text_bytes(prefix_, n_tokens_);
  const auto text = [&](const char* key) {
    const Json* value = json.find(key);
    return value != nullptr && value->is_string() ? value->as_string() : std::string();
  };
  tokenizer_sha256_ = text("tokenizer_sha256");
  tokenizer_ = text("tokenizer");
  with_path(path, json, [&] {
    if (const Json* scored = find_value(json, "scored")) {
      scored_sha256_ = scored->at("sha256").as_string();
      take_scored();
    }
    if (const Json* record = json.find("contents")) is_scored_trusted_ = trust(*record);
  });
}

const Contents& IndexedDataset::contents() const {
  if (contents_) return *contents_;
  IdRange range;
  std::vector<const MappedFile*> files = {&index_, &tokens_};
  if (scored_) files.push_back(&scored_->file());
  const std::string hash =
      content_hash(files, "reading " + prefix_.string(), [&](size_t file, size_t, std::string_view piece) {
        if (file == 1) range.add(piece, item_bytes_, is_signed_);
      });
  for (const MappedFile* file : files) file->require_whole();
  contents_ = n_tokens_ == 0 ? Contents{hash} : Contents{hash, range.smallest, range.largest};
  return *contents_;
}

Json IndexedDataset::contents_record() const {
  const Contents& found = contents();
  return Json::Object{{"hash", found.hash},
                      {"smallest_id", found.smallest_id},
                      {"largest_id", found.largest_id},
                      {"files", to_json(stamps_)}};
}

bool IndexedDataset::trust(const Json& record) {
  if (record.find("files") == nullptr || stamps_from_json(record.at("files")) != stamps_) return false;
  contents_ = contents_from_json(record);
  return true;
}

void IndexedDataset::check_vocabulary(int64_t vocab_size) const {
  if (contents().smallest_id < 0 || contents().largest_id >= vocab_size) require_ids(vocab_size, n_tokens_);
}

void IndexedDataset::check_vocabulary(int64_t vocab_size, int64_t n_tokens) const {
  if (contents_ || n_tokens >= n_tokens_) return check_vocabulary(vocab_size);
  IdRange range;
  scan({{&tokens_, static_cast<size_t>(n_tokens) * static_cast<size_t>(item_bytes_)}}, "reading " + prefix_.string(),
       [&](size_t, size_t, std::string_view piece) { range.add(piece, item_bytes_, is_signed_); });
  tokens_.require_whole();
  if (range.smallest < 0 || range.largest >= vocab_size) require_ids(vocab_size, n_tokens);
}

void IndexedDataset::require_ids(int64_t vocab_size, int64_t n_tokens) const {
  for_item(item_bytes_, is_signed_, [&](auto zero) {
    for (int64_t i = 0; i < n_tokens; ++i) {
      const int64_t id = load_unaligned<decltype(zero)>(tokens_.data(), i);
      if (id >= 0 && id < vocab_size) continue;
      fail<DataError>(with_suffix(prefix_, ".bin").string(), ": got id ", id, " at token ", i, "; need 0..",
                      vocab_size - 1, " (vocab_size ", vocab_size, ")");
    }
  });
  tokens_.require_whole();
}

IndexedDatasetWriter::IndexedDatasetWriter(const fs::path& prefix, int64_t vocab_size, int64_t most_sequence_tokens)
    : prefix_(prefix),
      tokens_(std::make_unique<AtomicFile>(with_suffix(prefix, ".bin"))),
      vocab_size_(vocab_size),
      is_u16_(vocab_size < kU16Vocabulary),
      most_sequence_tokens_(most_sequence_tokens) {
  require<DataError>(vocab_size >= 1 && vocab_size - 1 <= std::numeric_limits<int32_t>::max(), prefix.string(),
                     ": got a vocabulary of ", vocab_size, "; need 1..2^31, whose ids fit 32 bits");
}

void IndexedDatasetWriter::add_document(const std::vector<int32_t>& ids) {
  add_ids(ids);
  end_document();
}

void IndexedDatasetWriter::add_ids(std::span<const int32_t> ids) {
  uint32_t largest = 0;  // a negative id is a large one
  for (const int32_t id : ids) largest = std::max(largest, static_cast<uint32_t>(id));
  if (largest >= vocab_size_)
    for (const int32_t id : ids)
      require<DataError>(id >= 0 && id < vocab_size_, prefix_.string(), ": got id ", id, " in document ", n_documents(),
                         "; need 0..", vocab_size_ - 1, " (vocab_size ", vocab_size_, ")");
  if (is_u16_) {
    narrow_.assign(ids.begin(), ids.end());
    tokens_->write(narrow_.data(), narrow_.size() * sizeof(uint16_t));
  } else {
    tokens_->write(ids.data(), ids.size() * sizeof(int32_t));
  }
  n_tokens_ += static_cast<int64_t>(ids.size());
  for (open_tokens_ += static_cast<int64_t>(ids.size()); open_tokens_ > most_sequence_tokens_;
       open_tokens_ -= most_sequence_tokens_) {
    end_sequence(most_sequence_tokens_);
    is_continuing_ = true;
  }
}

void IndexedDatasetWriter::end_document() {
  end_sequence(open_tokens_);
  open_tokens_ = 0;
  is_continuing_ = false;
}

void IndexedDatasetWriter::end_sequence(int64_t n_tokens) {
  if (is_continuing_) continuing_.push_back(n_sequences());
  lengths_.push_back(static_cast<int32_t>(n_tokens));
}

void IndexedDatasetWriter::finish() {
  if (index_ != nullptr) return;
  if (open_tokens_ > 0 || is_continuing_) throw std::logic_error("IndexedDatasetWriter: a document without its end");
  index_ = std::make_unique<AtomicFile>(with_suffix(prefix_, ".idx"));
  const auto put = [&](auto value) { index_->write(&value, sizeof value); };
  index_->write(kMagic);
  put(kVersion);
  put(static_cast<uint8_t>(is_u16_ ? 8 : 4));
  put(n_sequences());
  put(n_documents() + 1);
  for (const int32_t length : lengths_) put(length);
  int64_t offset = 0;
  for (const int32_t length : lengths_) {
    put(offset);
    offset += length * int64_t{is_u16_ ? 2 : 4};
  }
  auto continuing = continuing_.begin();
  for (int64_t sequence = 0; sequence <= n_sequences(); ++sequence) {
    if (continuing != continuing_.end() && *continuing == sequence) {
      ++continuing;
    } else {
      put(sequence);
    }
  }
  tokens_->finish();
  index_->finish();
}

void IndexedDatasetWriter::commit() {
  finish();
  // An older index must never stand beside the new tokens, nor what was scored of the older ones.
  std::error_code ignored;
  for (const char* suffix : {".idx", ".scored"}) fs::remove(with_suffix(prefix_, suffix), ignored);
  tokens_->commit();
  index_->commit();
}

}  // namespace evenkeel::data
