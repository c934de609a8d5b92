// SentencePiece .model files, by the library.
#include <algorithm>
#include <mutex>
#include <utility>

#include <sentencepiece_processor.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/tokenizers/post_processors.h"
#include "data/tokenizers/registry.h"
#include "data/tokenizers/token_text.h"
#include "data/tokenizers/tokenizer_config.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace spm = sentencepiece;

constexpr std::string_view kSpace = "\u2581";  // SentencePiece's sign for it
constexpr size_t kLongLineBytes = size_t{1} << 20;
constexpr size_t kMostBytesAtOnce = size_t{1} << 25;

// One line of a library's message.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(fs::path path, const std::string& model) : path_(std::move(path)) {
    const auto status = processor_.LoadFromSerializedProto(model);
    require<DataError>(status.ok() && processor_.GetPieceSize() > 0, path_.string(), ": got ", model.size(),
                       " bytes that are no SentencePiece model; need a SentencePiece .model, a tokenizer.json or ranks "
                       "of tiktoken");
    sha256_ = sha256_hex(model);
    is_line_wise_ = encodes_line_by_line();
    is_word_wise_ = is_line_wise_ && !has_piece_across_words();
    // The model file does not ask for BOS or EOS; a tokenizer_config.json beside it may.
    const TokenizerConfig config = read_tokenizer_config(path_);
    if (config.adds_bos.value_or(false) && processor_.bos_id() >= 0) frame_.before = {processor_.bos_id()};
    if (config.adds_eos.value_or(false) && processor_.eos_id() >= 0) frame_.after = {processor_.eos_id()};
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special) ids = frame_.before;
    encode_with(processor_, text, ids);
    if (add_special) ids.insert(ids.end(), frame_.after.begin(), frame_.after.end());
    return ids;
  }

  std::vector<int32_t> encode_text(std::string_view text, bool starts_text) const override {
    std::vector<int32_t> ids;
    encode_with(starts_text ? processor_ : continuing(), text, ids);
    return ids;
  }

  std::string decode(const std::vector<int32_t>& ids) const override {
    for (const int32_t id : ids) check_id(id);
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()), "' on decoding ",
                       ids.size(), " ids; need a model that can decode them");
    return text;
  }

  std::string piece(int32_t id) const override {
    check_id(id);
    return with_spaces(processor_.IdToPiece(id));
  }

  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::optional<int32_t> begin_of_document() const override {
    const int id = processor_.bos_id();
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  }
  std::optional<int32_t> end_of_document() const override {
    const int id = processor_.eos_id();
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    const int id = processor_.PieceToId(spm_view(piece));  // the unknown piece's id when there is no such piece
    const bool is_known = id >= 0 && id < vocab_size() && processor_.IdToPiece(id) == piece;
    return is_known ? std::optional<int32_t>(id) : std::nullopt;
  }
  std::string kind() const override { return "SentencePiece model"; }
  std::string sha256() const override { return sha256_; }
  fs::path path() const override { return path_; }

 private:
  void check_id(int32_t id) const {
    require<DataError>(id >= 0 && id < vocab_size(), path_.string(), ": got id ", id, "; need 0..", vocab_size() - 1);
  }
  void encode_with(const spm::SentencePieceProcessor& processor, std::string_view text,
                   std::vector<int32_t>& ids) const {
    require_utf8(text);
    while (!text.empty()) {
      const size_t size = next_cut(text);
      require<DataError>(size <= kMostBytesAtOnce, "text: got ", size,
                         " bytes of text without a place where this tokenizer can cut it, from ", quoted_excerpt(text),
                         "; need at most ", kMostBytesAtOnce);
      const auto part_ids = encode_piece(processor, text.substr(0, size));
      ids.insert(ids.end(), part_ids.begin(), part_ids.end());
      text.remove_prefix(size);
    }
  }
  // The same model without the space that it may put in front of a text. Of a message that stands twice in a protocol
  // buffer the later fields count, so that {normalizer_spec: {add_dummy_prefix: false}} behind the model changes that
  // alone.
  const spm::SentencePieceProcessor& continuing() const {
    std::call_once(continuing_once_, [&] {
      constexpr std::string_view kNoPrefix("\x1a\x02\x18\x00", 4);
      const auto status =
          continuing_.LoadFromSerializedProto(processor_.serialized_model_proto() + std::string(kNoPrefix));
      require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()),
                         "' on loading it without its prefix; need a SentencePiece .model");
    });
    return continuing_;
  }
  std::vector<int32_t> encode_piece(std::string_view text) const { return encode_piece(processor_, text); }
  std::vector<int32_t> encode_piece(const spm::SentencePieceProcessor& processor, std::string_view text) const {
    std::vector<int32_t> ids;
    const auto status = processor.Encode(spm_view(text), &ids);
    require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()), "' on encoding ",
                       quoted_excerpt(text), "; need a model that can encode it");
    return ids;
  }
  // True when a document's ids are those of its lines one after the other: no piece spans a line end, and the
  // model adds or drops no space at the ends of a text. Line by line is several times as fast on long
  // documents, and more exact for unigram models: the library sums up scores in fp32, so that over a whole
  // book of 1 MB it takes another segmentation than the best at some tens of places.
  bool encodes_line_by_line() const {
    const auto line_end = id_of("\n");
    if (!line_end || encode_piece("\n") != std::vector<int32_t>{*line_end}) return false;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (id != *line_end && processor_.IdToPiece(id).find('\n') != std::string::npos) return false;
    }
    const std::string text = " a \n  \n a ";
    return processor_.DecodeIds(encode_piece(text)) == text && processor_.DecodeIds(encode_piece(" a ")) == " a ";
  }
  // A piece that goes on after the end of a word: " of the". Without one a text can be cut before each space that
  // follows a word.
  bool has_piece_across_words() const {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      std::string_view word = processor_.IdToPiece(id);
      while (word.starts_with(kSpace)) word.remove_prefix(kSpace.size());
      if (word.find(kSpace) != word.npos) return true;
    }
    return false;
  }
  // Bytes of the text up to where it can be cut so that the ids of the parts are those of the whole. The library's
  // memory is about a hundred times what it encodes at once, so a long line is cut at a word too.
  size_t next_cut(std::string_view text) const {
    if (!is_line_wise_) return text.size();
    const size_t line = std::min(text.find('\n'), text.size() - 1) + 1;
    if (!is_word_wise_ || line <= kLongLineBytes) return line;
    for (size_t at = kLongLineBytes; at < line; ++at)
      if (text[at] == ' ' && text[at - 1] != ' ') return at;
    return line;
  }
  static absl::string_view spm_view(std::string_view text) { return {text.data(), text.size()}; }
  fs::path path_;
  spm::SentencePieceProcessor processor_;
  mutable spm::SentencePieceProcessor continuing_;
  mutable std::once_flag continuing_once_;
  std::string sha256_;
  TextFrame frame_;
  bool is_line_wise_ = false, is_word_wise_ = false;
};

}  // namespace

bool is_sentencepiece(std::string_view) { return true; }

std::unique_ptr<Tokenizer> open_sentencepiece(const fs::path& path, const std::string& content) {
  return std::make_unique<SentencePieceTokenizer>(path, content);
}

}  // namespace evenkeel::data
