// SentencePiece .model files: what the library says of the pieces, and ids by evenkeel's own encoder where it has one.
#include <algorithm>
#include <mutex>
#include <utility>

#include <sentencepiece_processor.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/tokenizers/post_processors.h"
#include "data/tokenizers/registry.h"
#include "data/tokenizers/sentencepiece_encoder.h"
#include "data/tokenizers/sentencepiece_normalizer.h"
#include "data/tokenizers/token_text.h"
#include "data/tokenizers/tokenizer_config.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace spm = sentencepiece;

constexpr size_t kMostBytesAtOnce = size_t{1} << 25;  // the library's memory is some hundred times as large

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
    make_encoder(model);
    // The model file does not ask for BOS or EOS; a tokenizer_config.json beside it may.
    const TokenizerConfig config = read_tokenizer_config(path_);
    if (config.adds_bos.value_or(false) && processor_.bos_id() >= 0) frame_.before = {processor_.bos_id()};
    if (config.adds_eos.value_or(false) && processor_.eos_id() >= 0) frame_.after = {processor_.eos_id()};
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special) ids = frame_.before;
    encode_into(text, true, ids);
    if (add_special) ids.insert(ids.end(), frame_.after.begin(), frame_.after.end());
    return ids;
  }

  std::vector<int32_t> encode_text(std::string_view text, bool starts_text) const override {
    std::vector<int32_t> ids;
    encode_into(text, starts_text, ids);
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
  void make_encoder(const std::string& model) try {
    const SentencePieceModel pieces = read_sentencepiece(model);
    encoder_ = make_sentencepiece_encoder(pieces);
    if (encoder_) normalizer_ = std::make_unique<SentencePieceNormalizer>(pieces);
  } catch (const DataError& error) {
    fail<DataError>(path_.string(), ": ", error.what());
  }
  // Appends the ids. Text that does not start one gets no space that the model would put in front of it.
  void encode_into(std::string_view text, bool starts_text, std::vector<int32_t>& ids) const {
    require_utf8(text);
    if (encoder_) {
      encoder_->encode(normalizer_->normalized(text, starts_text), ids);
    } else {
      const auto all = encode_by_library(starts_text ? processor_ : continuing(), text);
      ids.insert(ids.end(), all.begin(), all.end());
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
  std::vector<int32_t> encode_by_library(const spm::SentencePieceProcessor& processor, std::string_view text) const {
    require<DataError>(text.size() <= kMostBytesAtOnce, "text: got ", text.size(), " bytes of text, from ",
                       quoted_excerpt(text), "; need at most ", kMostBytesAtOnce, " with this kind of model");
    std::vector<int32_t> ids;
    const auto status = processor.Encode(spm_view(text), &ids);
    require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()), "' on encoding ",
                       quoted_excerpt(text), "; need a model that can encode it");
    return ids;
  }
  static absl::string_view spm_view(std::string_view text) { return {text.data(), text.size()}; }
  fs::path path_;
  spm::SentencePieceProcessor processor_;
  mutable spm::SentencePieceProcessor continuing_;
  mutable std::once_flag continuing_once_;
  std::string sha256_;
  TextFrame frame_;
  std::unique_ptr<SentencePieceEncoder> encoder_;  // null: the library encodes
  std::unique_ptr<SentencePieceNormalizer> normalizer_;
};

}  // namespace

bool is_sentencepiece(std::string_view) { return true; }

std::unique_ptr<Tokenizer> open_sentencepiece(const fs::path& path, const std::string& content) {
  return std::make_unique<SentencePieceTokenizer>(path, content);
}

}  // namespace evenkeel::data
