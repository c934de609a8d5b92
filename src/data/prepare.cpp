#include "data/prepare.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <thread>
#include <utility>

#include "core/cores.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "core/rng.h"
#include "core/units.h"
#include "data/conversations/conversation_encoder.h"
#include "data/conversations/own_template.h"
#include "data/description.h"
#include "data/indexed_dataset.h"
#include "data/ordered_encoder.h"
#include "data/pair_files.h"
#include "data/scored_parts.h"
#include "data/skipped_lines.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kFewDocuments = 1000;  // fewer: hold out blocks, not documents
constexpr int64_t kHoldoutBlockTokens = 4096;

using Paths = std::vector<fs::path>;

// ---- writing one or two pairs ----

struct Pair {
  Pair(const fs::path& prefix, int64_t vocab_size, bool has_scored) : path(prefix), writer(prefix, vocab_size) {
    if (has_scored) scored.emplace(prefix);
  }
  void add(const std::vector<int32_t>& ids, int64_t document_bytes) {
    writer.add_document(ids);
    text_bytes += document_bytes;
  }
  void add(const EncodedText& document) {
    add(document.ids, document.text_bytes);
    if (scored) scored->add(document.scored);
  }
  void finish() {
    writer.finish();
    if (scored) scored->finish();
  }
  fs::path path;
  IndexedDatasetWriter writer;
  std::optional<ScoredPartsWriter> scored;  // of conversations
  int64_t text_bytes = 0;
};

// Uniform in [0, 1), by hash.
double hashed_uniform(uint64_t seed, uint64_t value) {
  return static_cast<double>(combine_bits(seed, value) >> 11) * 0x1.0p-53;
}

// Every run of 1 / fraction blocks has one that is held out, chosen by hash. It is block 1 in the first
// run, so that even a short text leaves something on both sides.
bool is_block_held_out(int64_t block, double fraction, uint64_t seed) {
  const auto run_of = [&](int64_t b) { return std::floor(static_cast<double>(b) * fraction); };
  const double run = run_of(block);
  if (run == 0.0) return block == 1;
  const double first = std::ceil(run / fraction);
  const double size = std::max(1.0, std::ceil((run + 1.0) / fraction) - first);
  return static_cast<double>(block) == first + std::floor(hashed_uniform(seed, static_cast<uint64_t>(run)) * size);
}

// Sends each document, or each block of 4,096 tokens of the stream, to its pair.
class Split {
 public:
  Split(const Tokenizer& tokenizer, const fs::path& prefix, const PrepareOptions& options, Holdout holdout)
      : tokenizer_(tokenizer),
        options_(options),
        is_by_block_(holdout == Holdout::blocks),
        kept_(prefix, tokenizer.vocab_size(), !options.messages_field.empty()) {
    if (holdout != Holdout::none)
      held_out_ =
          std::make_unique<Pair>(prefix.string() + "-heldout", tokenizer.vocab_size(), !options.messages_field.empty());
  }

  // The ids are those of the text within the frame.
  void add(const std::string& text, const EncodedText& encoded, const Frame& frame) {
    if (encoded.ids.empty()) {  // the tokenizer drops this text, and its frame is empty
      ++n_without_tokens_;
      return;
    }
    if (held_out_ == nullptr) {
      kept_.add(encoded);
    } else if (is_by_block_) {
      add_by_block(encoded.ids, encoded.text_bytes, frame);
    } else {
      const bool is_held_out = hashed_uniform(options_.seed, hash_text(text)) < options_.holdout_fraction;
      (is_held_out ? *held_out_ : kept_).add(encoded);
    }
  }
  Pair& kept() { return kept_; }
  Pair* held_out() { return held_out_.get(); }                    // nullptr without a hold-out
  int64_t n_without_tokens() const { return n_without_tokens_; }  // documents that are in neither

 private:
  bool is_held_out_at(int64_t token) const {
    return is_block_held_out(token / kHoldoutBlockTokens, options_.holdout_fraction, options_.seed);
  }
  // A document is cut where the side changes; each part is a document of its pair. The held-out parts count
  // the bytes that their tokens decode to, the kept ones what is left of the document.
  void add_by_block(const std::vector<int32_t>& ids, int64_t text_bytes, const Frame& frame) {
    const auto size = static_cast<int64_t>(ids.size());
    for (int64_t begin = 0; begin < size;) {
      const bool is_held_out = is_held_out_at(position_ + begin);
      int64_t end = begin;
      while (end < size && is_held_out_at(position_ + end) == is_held_out)
        end = std::min(size, end + kHoldoutBlockTokens - (position_ + end) % kHoldoutBlockTokens);
      std::vector<int32_t> part(ids.begin() + begin, ids.begin() + end);
      if (!is_held_out) {
        kept_.add(part, 0);
      } else if (end - begin == size) {
        held_out_->add(part, std::exchange(text_bytes, 0));
      } else {
        held_out_->writer.add_document(part);
        if (end == size && frame.eod) part.pop_back();
        if (begin == 0 && frame.bos) part.erase(part.begin());
        const int64_t part_bytes = std::min(text_bytes, static_cast<int64_t>(tokenizer_.decode(part).size()));
        held_out_->text_bytes += part_bytes;
        text_bytes -= part_bytes;
      }
      begin = end;
    }
    kept_.text_bytes += text_bytes;
    position_ += size;
  }

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  bool is_by_block_;
  Pair kept_;
  std::unique_ptr<Pair> held_out_;
  int64_t position_ = 0;  // tokens of the stream before this document
  int64_t n_without_tokens_ = 0;
};

// ---- the whole ----

// Makes a folder and those above it. In the end those that it made and that hold nothing go again: nothing was written.
class NewFolders {
 public:
  explicit NewFolders(const fs::path& folder) {
    std::error_code ignored;
    for (fs::path part = folder; !part.empty() && !fs::exists(part, ignored); part = part.parent_path())
      made_.push_back(part);
    if (!folder.empty()) make_folders(folder);
  }
  ~NewFolders() {
    std::error_code ignored;
    for (const auto& part : made_) fs::remove(part, ignored);  // which leaves a folder that holds something
  }
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

 private:
  std::vector<fs::path> made_;  // the innermost first
};

// What an earlier call for this prefix held out would be in the new pair: an evaluation on it would be one on training
// text. Both descriptions tell: a set that was prepared under that name on its own has inputs of its own, and stays.
void require_no_old_holdout(const fs::path& prefix) {
  const std::string held_out = prefix.string() + "-heldout";
  const auto inputs_of = [](const fs::path& pair) -> Json {
    try {
      const Json description = read_description(pair);
      const Json* found = description.find("inputs");
      return found != nullptr ? *found : Json();
    } catch (const DataError&) {
      return {};  // damaged
    }
  };
  const Json inputs = inputs_of(held_out);
  if (inputs.is_null() || !(inputs == inputs_of(prefix))) return;
  const auto parts = pair_outputs(held_out);
  std::error_code ignored;
  if (std::any_of(parts.begin(), parts.end(),
                  [&](const auto& part) { return fs::exists(part.path, ignored) && !is_own(part); }))
    return;
  fail<ConfigError>("--holdout: got none, and ", held_out, " was held out of ", prefix.string(),
                    ", which would have its text now; need --holdout again, another --out, or ", held_out,
                    ".* removed first");
}

// What `--eod` may mean where the tokenizer's files name nothing: the usual end-of-text tokens that it has, for people.
std::string usual_eod(const Tokenizer& tokenizer) {
  std::string out;
  for (const char* token : {"<|endoftext|>", "</s>", "<|end_of_text|>", "<|eot_id|>"})
    if (tokenizer.id_of(token)) out += std::string(out.empty() ? " (--eod '" : "' or '") + token;
  return out.empty() ? "" : out + "' is there)";
}

std::optional<int32_t> resolve_eod(const Tokenizer& tokenizer, const std::string& eod) {
  if (eod == "none") return std::nullopt;
  if (eod.empty()) {
    const auto id = tokenizer.end_of_document();
    require<DataError>(id.has_value(),
                       "--eod: got nothing, and the tokenizer names no end-of-text token; need TOKEN, ID or none",
                       usual_eod(tokenizer));
    return id;
  }
  int64_t number = -1;
  const auto parsed = std::from_chars(eod.data(), eod.data() + eod.size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == eod.data() + eod.size()) {
    require<DataError>(number >= 0 && number < tokenizer.vocab_size(), "--eod: got id ", eod, "; need 0..",
                       tokenizer.vocab_size() - 1);
    return static_cast<int32_t>(number);
  }
  const auto id = tokenizer.id_of(eod);
  require<DataError>(id.has_value(), "--eod: got '", eod,
                     "', which is no piece of the tokenizer; need a piece, an id or none");
  return id;
}

std::optional<int32_t> resolve_bos(const Tokenizer& tokenizer, bool adds_bos) {
  if (!adds_bos) return std::nullopt;
  const auto id = tokenizer.begin_of_document();
  require<DataError>(id.has_value(), "--bos: got ", tokenizer.path().string(),
                     ", whose files name no BOS token; need a tokenizer that has one, or no --bos");
  return id;
}

// Reads until it has seen kFewDocuments documents. Damaged lines are told of when the text is encoded.
bool has_few_documents(const Paths& inputs, ReaderOptions reader) {
  struct Enough {};
  int64_t n_documents = 0;
  if (reader.on_bad_line) reader.on_bad_line = [](const BadLine&) {};
  try {
    for (const auto& path : inputs)
      read_documents(path, reader,
                     [&](std::string&&) {
                       if (++n_documents >= kFewDocuments) throw Enough();
                     },
                     {});
  } catch (const Enough&) {
    return false;
  }
  return true;
}

Holdout choose_holdout(const Paths& inputs, const ReaderOptions& reader, double fraction) {
  if (fraction == 0) return Holdout::none;
  if (reader.document_of_value) return Holdout::documents;  // a conversation is not cut
  return has_few_documents(inputs, reader) ? Holdout::blocks : Holdout::documents;
}

Json hashed_inputs(const Paths& inputs) {
  Json out = Json::array();
  for (const auto& path : inputs) {
    Json input = Json::object();
    input["path"] = path.string();
    input["bytes"] = static_cast<int64_t>(fs::file_size(path));
    input["sha256"] = sha256_file(path);
    out.push_back(std::move(input));
  }
  return out;
}

// What the descriptions of both pairs have in common.
struct Origin {
  const Tokenizer& tokenizer;
  const PrepareOptions& options;
  Frame frame;
  const ConversationEncoder* conversations = nullptr;  // nullptr: text
  Holdout holdout = Holdout::none;
  ReadSummary read = {};
  Json inputs = {};
  int64_t n_without_tokens = 0;
};

// What was read of all inputs, for both pairs together.
Json read_json_of(const Origin& origin) {
  Json out = Json::object();
  for (const auto& [key, count] : kReadCounts) out[key] = origin.read.*count;
  out["documents_without_tokens"] = origin.n_without_tokens;
  out["keeps_carriage_returns"] = origin.options.reader.keeps_carriage_returns;
  return out;
}

Json description(const Pair& pair, const Origin& origin) {
  const Tokenizer& tokenizer = origin.tokenizer;
  Json out = Json::object();
  out["format"] = kDescriptionFormat;
  out["tokens"] = pair.writer.n_tokens();
  out["documents"] = pair.writer.n_documents();
  out["bytes"] = pair.text_bytes;
  out["tokenizer"] = described_path(pair.path, tokenizer.path());
  out["tokenizer_sha256"] = tokenizer.sha256();
  out["vocab_size"] = tokenizer.vocab_size();
  out["bos"] = origin.frame.bos ? Json(int64_t{*origin.frame.bos}) : Json();
  out["eod"] = origin.frame.eod ? Json(int64_t{*origin.frame.eod}) : Json();
  if (pair.scored)
    out["scored"] =
        Json::Object{{"template", origin.conversations->chat_template().name}, {"tokens", pair.scored->n_scored()}};
  out["inputs"] = origin.inputs;
  out["input_documents"] = origin.read.n_documents;
  out["read"] = read_json_of(origin);
  out["holdout"] = Json();
  if (origin.holdout != Holdout::none)
    out["holdout"] = Json::Object{{"fraction", origin.options.holdout_fraction},
                                  {"by", origin.holdout == Holdout::blocks ? "blocks" : "documents"}};
  return out;
}

// A document within its frame.
EncodedText encoded(const std::string& document, const Origin& origin) {
  if (origin.conversations != nullptr) return origin.conversations->encode(document);
  EncodedText out{origin.tokenizer.encode(document, /*add_special=*/false), {}, static_cast<int64_t>(document.size())};
  if (origin.frame.bos) out.ids.insert(out.ids.begin(), *origin.frame.bos);
  if (origin.frame.eod) out.ids.push_back(*origin.frame.eod);
  return out;
}

ReadSummary encode_inputs(const Paths& inputs, const Origin& origin, const ReaderOptions& reader, Split& split) {
  const int64_t wanted_threads = origin.options.n_threads;
  int64_t total_bytes = 0, finished_bytes = 0;
  for (const auto& path : inputs) total_bytes += static_cast<int64_t>(fs::file_size(path));
  Progress bar("encoding text", static_cast<double>(total_bytes), "MB", 1e6);
  int64_t n_tokens = 0;
  const int64_t n_threads = wanted_threads > 0 ? wanted_threads : allowed_cores();
  OrderedEncoder encoder([&](const std::string& document) { return encoded(document, origin); }, n_threads,
                         [&](const std::string& document, EncodedText&& ids) {
                           n_tokens += static_cast<int64_t>(ids.ids.size());
                           split.add(document, ids, origin.frame);
                         });
  ReadSummary read;
  for (const auto& path : inputs) {
    read += read_documents(
        path, reader, [&](std::string&& text) { encoder.add(std::move(text)); },
        [&](int64_t bytes) {
          bar.update(static_cast<double>(finished_bytes + bytes),
                     human_count(static_cast<double>(n_tokens)) + " tokens");
        });
    finished_bytes += static_cast<int64_t>(fs::file_size(path));
  }
  encoder.finish();
  bar.update(static_cast<double>(total_bytes), human_count(static_cast<double>(n_tokens)) + " tokens");
  return read;
}

// Some on both sides.
void require_text(int64_t n_kept, int64_t n_held_out, const ReadSummary& read, const Paths& inputs,
                  const PrepareOptions& options) {
  const std::string passed_over = read.n_bad_lines > 0 ? " after passing over " + counted_bad_lines(read) : "";
  require<DataError>(n_kept + n_held_out > 0, inputs.front().string(), ": got no documents in ",
                     counted(static_cast<int64_t>(inputs.size()), "input"), passed_over, "; need text");
  require<DataError>(n_kept > 0 && (options.holdout_fraction == 0 || n_held_out > 0), "--holdout: got ",
                     options.holdout_fraction, ", which leaves ", n_kept, " tokens and holds out ", n_held_out,
                     "; need some on both sides (more text or another fraction; blocks are of ", kHoldoutBlockTokens,
                     " tokens)");
}

// ConfigError where a place that will be written to holds what evenkeel did not write, or an input. What a killed
// process left there goes.
void clear_places(const Tokenizer& tokenizer, const Paths& inputs, const fs::path& prefix,
                  const PrepareOptions& options) {
  auto read = inputs;
  read.push_back(tokenizer.path());
  const fs::path skipped_path = prefix.string() + ".skipped.jsonl", held_out = prefix.string() + "-heldout";
  require_own_outputs(pair_outputs(prefix), read);
  const auto is_list = [&](const fs::path& path) {
    std::error_code ignored;
    return fs::equivalent(path, skipped_path, ignored);
  };
  const bool touches_list = options.skips_bad || is_own({skipped_path, OutputKind::skipped}) ||
                            std::any_of(inputs.begin(), inputs.end(), is_list);
  if (touches_list) require_own_outputs({{skipped_path, OutputKind::skipped}}, read);
  if (options.holdout_fraction > 0)
    require_own_outputs(pair_outputs(held_out), read);
  else
    require_no_old_holdout(prefix);
  for (const auto& pair : {prefix, held_out})
    for (const auto& part : pair_outputs(pair)) remove_temporaries_of(part.path);
}

// The encoder of conversations, which makes the reader read them; nothing where text is prepared.
std::optional<ConversationEncoder> conversations_of(const Tokenizer& tokenizer, const Paths& inputs,
                                                    const PrepareOptions& options, const Frame& frame) {
  require<ConfigError>(options.chat_template.empty() || !options.messages_field.empty(), "--template: got '",
                       options.chat_template, "' without --messages; need --messages FIELD with it");
  if (options.messages_field.empty()) return std::nullopt;
  require<ConfigError>(options.reader.text_field == ReaderOptions().text_field, "--text-field: got '",
                       options.reader.text_field, "' with --messages '", options.messages_field, "'; need one of them");
  for (const auto& path : inputs)
    require<ConfigError>(is_json_records(path), path.string(),
                         ": got a file that holds no records of JSON; need .jsonl, .ndjson or .json for --messages");
  const auto& chat_template = chosen_chat_template(options.chat_template, tokenizer.path());
  return std::optional<ConversationEncoder>(std::in_place, tokenizer, chat_template, frame);
}

}  // namespace

Prepared prepare(const Tokenizer& tokenizer, const Paths& inputs, const fs::path& prefix,
                 const PrepareOptions& options) {
  // 1. Whatever can be refused before the work.
  require<ConfigError>(options.holdout_fraction >= 0 && options.holdout_fraction < 1, "--holdout: got ",
                       options.holdout_fraction, "; need at least 0 and less than 1");
  require_pair_name(prefix);
  require<ConfigError>(!inputs.empty(), "prepare: got no input; need at least one file");
  for (const auto& path : inputs) check_input(path);
  const Frame frame{resolve_bos(tokenizer, options.adds_bos), resolve_eod(tokenizer, options.eod)};
  const auto conversations = conversations_of(tokenizer, inputs, options, frame);
  clear_places(tokenizer, inputs, prefix, options);
  const NewFolders folders(prefix.parent_path());
  const fs::path skipped_path = prefix.string() + ".skipped.jsonl";
  std::optional<SkippedLines> skipped;
  ReaderOptions reader = options.reader;
  if (options.skips_bad) {
    skipped.emplace(skipped_path);
    reader.on_bad_line = [&](const BadLine& line) { skipped->add(line); };
  }
  if (conversations) {
    reader.text_field = options.messages_field;
    reader.document_of_value = [&](const Json& value) { return conversations->document(value); };
  }
  Origin origin{tokenizer, options, frame, conversations ? &*conversations : nullptr};
  origin.holdout = choose_holdout(inputs, reader, options.holdout_fraction);

  // 2. Text to tokens, under temporary names.
  Split split(tokenizer, prefix, options, origin.holdout);
  origin.read = encode_inputs(inputs, origin, reader, split);
  Pair& kept = split.kept();
  Pair* const held_out = split.held_out();
  const int64_t n_held_out = held_out != nullptr ? held_out->writer.n_tokens() : 0;
  require_text(kept.writer.n_tokens(), n_held_out, origin.read, inputs, options);

  // 3. The files, all on the disk before an older one goes.
  origin.inputs = hashed_inputs(inputs);
  origin.n_without_tokens = split.n_without_tokens();
  std::vector<Pair*> pairs = {&kept};
  if (held_out != nullptr) pairs.push_back(held_out);
  for (Pair* const pair : pairs) pair->finish();
  SkippedLines::remove_earlier(skipped_path);
  std::vector<Json> descriptions;
  for (Pair* const pair : pairs)
    descriptions.push_back(
        put_in_place(pair->path, {pair->writer, pair->scored ? &*pair->scored : nullptr}, description(*pair, origin)));
  if (skipped) skipped->commit();
  return {descriptions[0], held_out != nullptr ? descriptions[1] : Json(), origin.holdout, origin.read,
          origin.n_without_tokens};
}

}  // namespace evenkeel::data
