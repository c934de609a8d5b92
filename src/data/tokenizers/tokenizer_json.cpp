// tokenizer.json, the file of the `tokenizers` library: its ids, for the parts that language models use.
#include "data/tokenizers/tokenizer_json.h"

#include <algorithm>
#include <unordered_set>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"
#include "core/json_error.h"
#include "core/json_value.h"
#include "core/log.h"
#include "data/tokenizers/bpe.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/decoders.h"
#include "data/tokenizers/pattern.h"
#include "data/tokenizers/post_processors.h"
#include "data/tokenizers/registry.h"
#include "data/tokenizers/text_encoder.h"
#include "data/tokenizers/token_text.h"
#include "data/tokenizers/tokenizer_config.h"
#include "data/tokenizers/unigram.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

const Json& value_or_null(const Json& document, std::string_view key) {
  static const Json null;
  const Json* const found = find_value(document, key);
  return found != nullptr ? *found : null;
}

}  // namespace

std::string model_type(const Json& model) {
  if (const Json* const type = model.find("type")) return type->as_string();
  if (model.find("merges") != nullptr) return "BPE";
  if (const Json* const vocab = model.find("vocab"); vocab != nullptr && vocab->is_array()) return "Unigram";
  return model.at("type").as_string();
}

namespace {

struct Model {
  std::unique_ptr<WordModel> model;
  bool takes_bytes = false;
};

Model read_model(const Json& document) {
  const Json& model = document.at("model");
  const std::string type = model_type(model);
  const bool is_byte_level = ends_byte_level(value_or_null(document, "pre_tokenizer"));
  if (type == "Unigram") return {std::make_unique<Unigram>(read_unigram(model)), false};
  if (type != "BPE") fail_lacks_type(model, "BPE, Unigram");
  BpeSpec spec = read_bpe(model);
  spec.is_byte_level = is_byte_level && spec.prefix.empty() && spec.suffix.empty() && !spec.falls_back_to_bytes;
  const bool takes_bytes = spec.is_byte_level;
  return {std::make_unique<Bpe>(std::move(spec)), takes_bytes};
}

// The library numbers tokens that the vocabulary lacks from its end on, whatever the file says.
void check_added_ids(const Json& json, const std::vector<AddedToken>& added, const WordModel& model) {
  int64_t next = model.n_entries();
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < added.size(); ++i) {
    const AddedToken& token = added[i];
    if (!seen.insert(token.content).second) continue;
    const int64_t id = model.vocabulary().id_of(token.content).value_or(static_cast<int32_t>(next));
    if (token.id != id)
      throw JsonError(join_parts("got id ", token.id, " for ", quoted_excerpt(token.content), "; need ", id,
                                 ", its place in or after the vocabulary"),
                      json.at(i));
    next = std::max(next, id + 1);
  }
}

}  // namespace

TextSteps read_text_steps(const Json& document) {
  TextSteps out;
  if (const Json* normalizer = find_value(document, "normalizer")) out.normalizer = read_normalizer(*normalizer);
  Model model = read_model(document);
  out.pre_tokenizers = PreTokenizers(value_or_null(document, "pre_tokenizer"), model.takes_bytes);
  out.model = std::move(model.model);
  if (const Json* added = find_value(document, "added_tokens")) {
    out.added = read_added_tokens(*added);
    check_added_ids(*added, out.added, *out.model);
  }
  return out;
}

namespace {

class JsonTokenizer final : public Tokenizer {
 public:
  JsonTokenizer(fs::path path, const std::string& content, const Json& document)
      : path_(std::move(path)),
        sha256_(sha256_hex(content)),
        kind_("tokenizer.json (" + model_type(document.at("model")) + ")"),
        encoder_(read_text_steps(document)),
        frame_(read_post_processor(value_or_null(document, "post_processor"))),
        decoder_(read_decoder(value_or_null(document, "decoder"))),
        is_byte_level_(ends_byte_level(value_or_null(document, "pre_tokenizer"))) {
    end_id_ = vocabulary().end_id();
    for (const auto& token : encoder_.added()) {
      added_[token.content] = &token;
      if (token.is_special) special_.insert(token.content);
      end_id_ = std::max<int64_t>(end_id_, token.id + 1);
    }
    tokens_.resize(static_cast<size_t>(end_id_), nullptr);
    for (const auto& token : encoder_.added()) tokens_[static_cast<size_t>(token.id)] = &token;
    for (const auto* ids : {&frame_.before, &frame_.after})
      for (const int32_t id : *ids)
        require<DataError>(id < end_id_, path_.string(), ": post_processor: got id ", id, "; need ids below ", end_id_);
    follow_config(read_tokenizer_config(path_));
    for (const char* key : {"truncation", "padding"})
      if (find_value(document, key) != nullptr)
        log_warning(path_.string(), ": its ", key, " is not applied: texts are encoded whole and alone");
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids = encoder_.encode(text);
    if (add_special) {
      ids.insert(ids.begin(), frame_.before.begin(), frame_.before.end());
      ids.insert(ids.end(), frame_.after.begin(), frame_.after.end());
    }
    return ids;
  }

  std::vector<int32_t> encode_text(std::string_view text, bool starts_text) const override {
    return encoder_.encode(text, {.finds_special = false, .starts_text = starts_text});
  }

  // Without special tokens, as the library decodes.
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids) {
      check_id(id);
      const AddedToken* const added = tokens_[static_cast<size_t>(id)];
      const std::string* const token = added != nullptr ? &added->decoded : vocabulary().token(id);
      if (token != nullptr && !special_.contains(*token)) tokens.push_back(*token);
    }
    std::string out;
    if (decoder_) {
      for (const auto& part : decoder_->apply(std::move(tokens))) out += part;
      return out;
    }
    for (size_t i = 0; i < tokens.size(); ++i) out += (i > 0 ? " " : "") + tokens[i];
    return out;
  }

  std::string piece(int32_t id) const override {
    check_id(id);
    if (const AddedToken* const added = tokens_[static_cast<size_t>(id)]) return added->content;
    const std::string* const token = vocabulary().token(id);
    if (token == nullptr) return "";
    const auto bytes = is_byte_level_ ? from_byte_alphabet(*token) : std::nullopt;
    return bytes ? shown_bytes(*bytes) : with_spaces(*token);
  }

  int64_t vocab_size() const override { return end_id_; }
  std::optional<int32_t> begin_of_document() const override { return begin_of_document_; }
  std::optional<int32_t> end_of_document() const override { return end_of_document_; }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    const auto found = added_.find(piece);
    return found != added_.end() ? std::optional(found->second->id) : vocabulary().id_of(piece);
  }
  std::string kind() const override { return kind_; }
  std::string sha256() const override { return sha256_; }
  fs::path path() const override { return path_; }

 private:
  const Vocabulary& vocabulary() const { return encoder_.model().vocabulary(); }
  void check_id(int32_t id) const {
    require<DataError>(id >= 0 && id < end_id_, path_.string(), ": got id ", id, "; need 0..", end_id_ - 1);
  }
  // End of text: the eos_token of tokenizer_config.json, else the first of generation_config.json, else what the
  // post-processor puts after a text. BOS: the bos_token of tokenizer_config.json, else what the post-processor puts
  // before a text. What the configuration says of adding BOS and EOS is told where it differs.
  void follow_config(const TokenizerConfig& config) {
    if (!frame_.before.empty()) begin_of_document_ = frame_.before.front();
    if (config.bos_token) begin_of_document_ = id_of(*config.bos_token);
    if (!frame_.after.empty()) end_of_document_ = frame_.after.back();
    if (!config.eos_ids.empty() && config.eos_ids.front() >= 0 && config.eos_ids.front() < end_id_)
      end_of_document_ = static_cast<int32_t>(config.eos_ids.front());
    if (config.eos_token)
      if (const auto id = id_of(*config.eos_token)) end_of_document_ = id;
    tell_difference("add_bos_token", config.adds_bos, config.bos_token, frame_.before);
    tell_difference("add_eos_token", config.adds_eos, config.eos_token, frame_.after);
  }
  void tell_difference(const char* key, std::optional<bool> adds, const std::optional<std::string>& token,
                       const std::vector<int32_t>& ids) const {
    const auto id = token ? id_of(*token) : std::nullopt;
    const bool is_there = id ? std::find(ids.begin(), ids.end(), *id) != ids.end() : !ids.empty();
    if (adds && *adds != is_there)
      log_warning(path_.string(), ": its post_processor ", is_there ? "adds" : "does not add", " the token of ", key,
                  " and is followed, though tokenizer_config.json says ", *adds ? "true" : "false");
  }

  fs::path path_;
  std::string sha256_, kind_;
  TextEncoder encoder_;
  TextFrame frame_;
  std::unique_ptr<Decoder> decoder_;
  bool is_byte_level_;
  int64_t end_id_ = 0;
  std::vector<const AddedToken*> tokens_;  // added tokens by id, null: another one
  std::unordered_map<std::string, const AddedToken*, TextHash, std::equal_to<>> added_;
  std::unordered_set<std::string> special_;  // contents
  std::optional<int32_t> begin_of_document_, end_of_document_;
};

}  // namespace

bool is_tokenizer_json(std::string_view content) {
  const size_t begin = content.find_first_not_of(" \t\r\n");
  return begin != content.npos && content[begin] == '{';
}

std::unique_ptr<Tokenizer> open_tokenizer_json(const fs::path& path, const std::string& content) {
  const Json document = parse_foreign_json(content, path.string());
  try {
    return std::make_unique<JsonTokenizer>(path, content, document);
  } catch (const JsonError& error) {
    throw error_in(path.string(), document, error);
  } catch (const DataError& error) {
    const std::string what = error.what();
    if (what.starts_with(path.string())) throw;
    fail<DataError>(path.string(), ": ", what);
  }
}

}  // namespace evenkeel::data
