// Rank files of tiktoken: a token in base64 and its rank a line. Such a file names neither its pattern nor its special
// tokens: they are those of the published encoding with as many ranks.
#include <charconv>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/tokenizers/base64.h"
#include "data/tokenizers/bpe.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/decoders.h"
#include "data/tokenizers/registry.h"
#include "data/tokenizers/text_encoder.h"
#include "data/tokenizers/tiktoken_encodings.h"
#include "data/tokenizers/token_text.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

struct Line {
  std::string token;
  int32_t rank;
};

std::optional<Line> read_line(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  const size_t space = line.find(' ');
  if (space == line.npos) return std::nullopt;
  auto token = from_base64(line.substr(0, space));
  int32_t rank = -1;
  const auto [end, error] = std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
  if (!token || token->empty() || error != std::errc() || end != line.data() + line.size() || rank < 0)
    return std::nullopt;
  return Line{std::move(*token), rank};
}

// Two neighbours are merged where their text is a token, the least rank first: a merge for each way to cut each token.
void add_merges(BpeSpec& spec, const std::vector<std::string>& tokens) {
  for (size_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string& token = tokens[rank];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = spec.vocabulary.id_of(in_byte_alphabet(std::string_view(token).substr(0, cut)));
      const auto right =
          left ? spec.vocabulary.id_of(in_byte_alphabet(std::string_view(token).substr(cut))) : std::nullopt;
      if (!left || !right) continue;
      spec.merges.push_back({*left, *right, static_cast<int32_t>(rank), static_cast<uint32_t>(rank)});
    }
  }
}

constexpr size_t kMostTokenBytes = 1024;

std::vector<std::string> read_ranks(std::string_view content, const fs::path& path) {
  std::vector<std::string> tokens;
  for (size_t number = 1; !content.empty(); ++number) {
    const size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.empty()) continue;
    auto read = read_line(line);
    require<DataError>(read && read->token.size() <= kMostTokenBytes, path.string(), ":", number, ": got ",
                       quoted_excerpt(line), "; need a token of at most ", kMostTokenBytes,
                       " bytes in base64, a space and its rank");
    require<DataError>(static_cast<size_t>(read->rank) == tokens.size(), path.string(), ":", number, ": got rank ",
                       read->rank, "; need ", tokens.size(), ", the ranks in order");
    tokens.push_back(std::move(read->token));
  }
  return tokens;
}

class RankTokenizer final : public Tokenizer {
 public:
  RankTokenizer(fs::path path, const std::string& content) : RankTokenizer(path, read_ranks(content, path)) {
    sha256_ = sha256_hex(content);
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids = encoder_->encode(text);
    if (add_special && encoding_->bos != nullptr) ids.insert(ids.begin(), *id_of(encoding_->bos));
    return ids;
  }
  std::vector<int32_t> encode_text(std::string_view text, bool starts_text) const override {
    return encoder_->encode(text, {.finds_special = false, .starts_text = starts_text});
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      check_id(id);
      if (static_cast<size_t>(id) < tokens_.size()) bytes += tokens_[static_cast<size_t>(id)];
    }
    return repaired_utf8(bytes);
  }
  std::string piece(int32_t id) const override {
    check_id(id);
    if (static_cast<size_t>(id) < tokens_.size()) return shown_bytes(tokens_[static_cast<size_t>(id)]);
    for (const auto& token : encoder_->added())
      if (token.id == id) return token.content;
    return "";
  }
  int64_t vocab_size() const override { return end_id_; }
  std::optional<int32_t> begin_of_document() const override {
    return encoding_->bos != nullptr ? id_of(encoding_->bos) : std::nullopt;
  }
  std::optional<int32_t> end_of_document() const override { return id_of(encoding_->eos); }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    for (const auto& token : encoder_->added())
      if (token.content == piece) return token.id;
    return encoder_->model().vocabulary().id_of(in_byte_alphabet(piece));
  }
  std::string kind() const override { return std::string("ranks of tiktoken (") + encoding_->name + ")"; }
  std::string sha256() const override { return sha256_; }
  fs::path path() const override { return path_; }

 private:
  RankTokenizer(fs::path path, std::vector<std::string> tokens) : path_(std::move(path)), tokens_(std::move(tokens)) {
    encoding_ = tiktoken_encoding(static_cast<int64_t>(tokens_.size()));
    require<DataError>(encoding_ != nullptr, path_.string(), ": got ", tokens_.size(),
                       " ranks, which is no encoding that evenkeel knows; need one of: ", known_tiktoken_encodings());
    BpeSpec spec;
    for (size_t rank = 0; rank < tokens_.size(); ++rank)
      spec.vocabulary.add(in_byte_alphabet(tokens_[rank]), static_cast<int32_t>(rank));
    require<DataError>(spec.vocabulary.size() == tokens_.size(), path_.string(), ": got a token twice; need it once");
    add_merges(spec, tokens_);
    spec.is_byte_level = spec.takes_whole_words = true;
    TextSteps steps;
    steps.pre_tokenizers =
        PreTokenizers(Json(Json::Object{{"type", "Split"},
                                        {"pattern", Json(Json::Object{{"Regex", encoding_->pattern}})},
                                        {"behavior", "Isolated"}}),
                      false);
    steps.model = std::make_unique<Bpe>(std::move(spec));
    steps.added = special_tokens(*encoding_);
    end_id_ = static_cast<int64_t>(tokens_.size());
    for (const auto& token : steps.added) end_id_ = std::max<int64_t>(end_id_, token.id + 1);
    encoder_ = std::make_unique<TextEncoder>(std::move(steps));
  }
  void check_id(int32_t id) const {
    require<DataError>(id >= 0 && id < end_id_, path_.string(), ": got id ", id, "; need 0..", end_id_ - 1);
  }

  fs::path path_;
  std::vector<std::string> tokens_;  // bytes, by rank
  std::string sha256_;
  const TiktokenEncoding* encoding_ = nullptr;
  std::unique_ptr<TextEncoder> encoder_;
  int64_t end_id_ = 0;
};

}  // namespace

bool is_tiktoken(std::string_view content) {
  constexpr size_t kMostLineBytes = 4096;
  const size_t end = content.substr(0, kMostLineBytes).find('\n');
  return end != content.npos && read_line(content.substr(0, end)).has_value();
}

std::unique_ptr<Tokenizer> open_tiktoken(const fs::path& path, const std::string& content) {
  return std::make_unique<RankTokenizer>(path, content);
}

}  // namespace evenkeel::data
