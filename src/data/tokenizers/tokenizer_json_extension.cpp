// tokenizer.json files that get new pieces. The library numbers added tokens that the vocabulary lacks from its end on,
// whatever ids the file gives them: here they enter the vocabulary under their ids, and the new pieces come behind
// them.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "core/errors.h"
#include "core/json_error.h"
#include "core/output.h"
#include "data/tokenizers/bpe.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/extension.h"
#include "data/tokenizers/text_encoder.h"
#include "data/tokenizers/tokenizer_json.h"
#include "data/tokenizers/unigram.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

class PartSink final : public WordSink {
 public:
  explicit PartSink(const TakePart& take) : take_(take) {}
  void take(const Piece& piece) override {
    if (!piece.text.empty()) take_(piece.text);
  }
  void take_added(int32_t) override {}

 private:
  const TakePart& take_;
};

class JsonExtension : public Extension {
 public:
  JsonExtension(Json document, PieceForm form) : document_(std::move(document)), pieces_(form) {
    model()[kExtendedKey] = kExtendedMark;
    make_encoder();
  }
  void split(std::string_view text, const TakePart& take) const override {
    const auto workspace = workspaces_.lease();
    PartSink sink(take);
    encoder_->split(text, {}, (*workspace).regex, sink);
  }
  void encode(std::string_view part, std::vector<int32_t>& ids) const override {
    const auto workspace = workspaces_.lease();
    encoder_->model().encode(part, *workspace, ids);
  }
  const PieceList& pieces() const override { return pieces_; }
  std::string content() const override { return document_.dump(2) + "\n"; }

 protected:
  Json& model() { return *document_.find("model"); }
  void make_encoder() { encoder_.emplace(read_text_steps(document_)); }
  // The tokens of the vocabulary and the added ones, by id.
  template <class IsOrdinary>
  void list_pieces(IsOrdinary&& is_ordinary) {
    const Vocabulary& vocabulary = encoder_->model().vocabulary();
    int64_t end = vocabulary.end_id();
    for (const auto& token : encoder_->added()) end = std::max<int64_t>(end, token.id + 1);
    std::vector<const std::string*> added(static_cast<size_t>(end), nullptr);
    for (const auto& token : encoder_->added()) added[static_cast<size_t>(token.id)] = &token.content;
    for (int32_t id = 0; id < end; ++id) {
      const std::string* const known = vocabulary.token(id);
      const std::string* const content = added[static_cast<size_t>(id)];
      require<DataError>(known == nullptr || content == nullptr || *known == *content, "got id ", id, " for ",
                         quoted_excerpt(content != nullptr ? *content : ""), " and for ",
                         quoted_excerpt(known != nullptr ? *known : ""), "; need an id for each");
      if (known == nullptr && content != nullptr) enter_added(*content, id);
      const std::string* const text = known != nullptr ? known : content;
      pieces_.add(text != nullptr ? *text : "", text != nullptr && content == nullptr && is_ordinary(*text, id));
    }
  }
  // Writes an added token that the vocabulary lacks into it.
  virtual void enter_added(const std::string& token, int32_t id) = 0;

  Json document_;
  PieceList pieces_;
  std::optional<TextEncoder> encoder_;
  mutable WorkspacePool workspaces_;  // only makes it faster
};

// The new merges come behind the old ones: they begin where the old tokenizer ends, and each takes a token away.
class BpeExtension final : public JsonExtension {
 public:
  explicit BpeExtension(Json document) : JsonExtension(std::move(document), PieceForm::bytes) {
    const Json::Array& merges = model().at("merges").as_array();
    has_pairs_ = !merges.empty() && merges.back().is_array();
    list_pieces([](const std::string& token, int32_t) { return from_byte_alphabet(token).has_value(); });
  }
  bool takes_characters() const override { return false; }
  void add_characters(const std::vector<std::string>&) override {}
  std::optional<int32_t> join(int32_t left, int32_t right) override {
    const auto id = pieces_.join(left, right);
    if (!id) return id;
    enter(pieces_.text(*id), *id);
    const std::string &first = pieces_.text(left), &second = pieces_.text(right);
    model()["merges"].push_back(has_pairs_ ? Json(Json::Array{first, second}) : Json(first + " " + second));
    return id;
  }
  bool begins_word(int32_t) const override { return false; }
  bool ends_word(int32_t) const override { return false; }

 private:
  void enter_added(const std::string& token, int32_t id) override { enter(token, id); }
  void enter(const std::string& token, int32_t id) { model()["vocab"].as_object().emplace_back(token, int64_t{id}); }
  bool has_pairs_ = false;  // merges are ["a", "b"]; else "a b"
};

class UnigramExtension final : public JsonExtension {
 public:
  explicit UnigramExtension(Json document) : JsonExtension(std::move(document), PieceForm::characters) {
    const UnigramSpec spec = read_unigram(model());
    for (const auto& [token, score] : spec.tokens) {
      scores_.push_back(score);
      lowest_score_ = std::min(lowest_score_, score);
    }
    IdsByText bytes;
    for (int byte = 0; spec.falls_back_to_bytes && byte < 256; ++byte)
      bytes[byte_token(static_cast<unsigned char>(byte))] = byte;
    list_pieces([&](const std::string& token, int32_t id) { return id != spec.unknown && !bytes.contains(token); });
  }
  bool takes_characters() const override { return true; }
  void add_characters(const std::vector<std::string>& characters) override {
    for (const auto& character : characters) {
      pieces_.add_new(character);
      enter(character, lowest_score_);
    }
    make_encoder();
  }
  std::optional<int32_t> join(int32_t left, int32_t right) override {
    const auto score = [&](int32_t id) { return scores_[static_cast<size_t>(id)]; };
    const auto id = pieces_.join(left, right);
    if (id) enter(pieces_.text(*id), score(left) + score(right) + joined_bonus(*id));
    return id;
  }
  bool begins_word(int32_t id) const override { return pieces_.text(id).starts_with("\u2581"); }
  bool ends_word(int32_t) const override { return false; }

 private:
  // Below what its characters have together where each is a piece, so that text without added tokens is no worse off.
  void enter_added(const std::string& token, int32_t) override {
    double score = lowest_score_ - 1;
    for (size_t at = 0; at < token.size(); at += utf8_bytes(token[at])) score += std::min(lowest_score_, 0.0);
    enter(token, score);
  }
  void enter(const std::string& token, double score) {
    model()["vocab"].push_back(Json::Array{token, score});
    scores_.push_back(score);
  }
  std::vector<double> scores_;                                     // by id
  double lowest_score_ = std::numeric_limits<double>::infinity();  // of the old tokens
};

bool is_byte_level(const Json& document, const Json& model) {
  const BpeSpec spec = read_bpe(model);
  const Json* const pre_tokenizer = document.find("pre_tokenizer");
  return pre_tokenizer != nullptr && ends_byte_level(*pre_tokenizer) && spec.prefix.empty() && spec.suffix.empty() &&
         !spec.falls_back_to_bytes;
}

}  // namespace

std::unique_ptr<Extension> open_tokenizer_json_extension(const std::filesystem::path& path,
                                                         const std::string& content) {
  const std::string where = path.string();
  Json document = Json::parse(content, where, RepeatedKeys::kept);
  try {
    const Json& model = document.at("model");
    if (model_type(model) == "Unigram") return std::make_unique<UnigramExtension>(std::move(document));
    require<DataError>(model_type(model) == "BPE" && is_byte_level(document, model), "got a tokenizer.json of kind ",
                       model_type(model),
                       " that is not byte-level, which cannot be extended; need byte-level BPE or "
                       "Unigram");
    return std::make_unique<BpeExtension>(std::move(document));
  } catch (const DataError& error) {
    fail<DataError>(where, ": ", error.what());
  }
}

}  // namespace evenkeel::data
