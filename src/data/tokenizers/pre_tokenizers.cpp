#include "data/tokenizers/pre_tokenizers.h"

#include <string>

#include "core/errors.h"
#include "core/json_error.h"
#include "core/json_value.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/pattern.h"
#include "data/tokenizers/split_behavior.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kKnown =
    "Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, Sequence";
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// By the matches of a regular expression.
class Split final : public PreTokenizer {
 public:
  Split(Regex pattern, SplitBehavior behavior, bool is_inverted)
      : pattern_(std::move(pattern)), behavior_(behavior), is_inverted_(is_inverted) {}
  void split(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const override {
    SplitParts parts(behavior_, piece, out);
    size_t done = 0;
    RegexMatches matches(pattern_, piece.text, workspace);
    while (const auto match = matches.next()) {
      if (done < match->begin) parts.add({done, match->begin}, is_inverted_);
      parts.add(*match, !is_inverted_);
      done = match->end;
    }
    if (done < piece.text.size()) parts.add({done, piece.text.size()}, is_inverted_);
    parts.finish();
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool is_inverted_;
};

// By characters of a class, each a delimiter.
template <class IsDelimiter>
class SplitByCharacter final : public PreTokenizer {
 public:
  SplitByCharacter(IsDelimiter is_delimiter, SplitBehavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}
  void split(const Piece& piece, RegexWorkspace&, PieceSink& out) const override {
    SplitParts parts(behavior_, piece, out);
    size_t done = 0;
    for (size_t at = 0, size = 0; at < piece.text.size(); at += size) {
      size = utf8_bytes(piece.text[at]);
      if (!is_delimiter_(first_code_point(piece.text.substr(at)))) continue;
      if (done < at) parts.add({done, at}, false);
      parts.add({at, at + size}, true);
      done = at + size;
    }
    if (done < piece.text.size()) parts.add({done, piece.text.size()}, false);
    parts.finish();
  }

 private:
  IsDelimiter is_delimiter_;
  SplitBehavior behavior_;
};
template <class IsDelimiter>
std::unique_ptr<PreTokenizer> by_character(IsDelimiter is_delimiter, SplitBehavior behavior) {
  return std::make_unique<SplitByCharacter<IsDelimiter>>(is_delimiter, behavior);
}

// Runs of \w, and runs of what is neither \w nor white space.
class Whitespace final : public PreTokenizer {
 public:
  void split(const Piece& piece, RegexWorkspace&, PieceSink& out) const override {
    enum class Kind { space, word, other };
    const auto kind_at = [&](size_t at) {
      const char32_t c = first_code_point(piece.text.substr(at));
      return is_white_space(c) ? Kind::space : is_word_character(c) ? Kind::word : Kind::other;
    };
    for (size_t begin = 0, end = 0; begin < piece.text.size(); begin = end) {
      const Kind kind = kind_at(begin);
      for (end = begin; end < piece.text.size() && kind_at(end) == kind;) end += utf8_bytes(piece.text[end]);
      if (kind != Kind::space) out.take({piece.text.substr(begin, end - begin), piece.starts_text && begin == 0});
    }
  }
};

enum class PrependScheme { always, first, never };

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool splits)
      : replacement_(std::move(replacement)), scheme_(scheme), splits_(splits) {}
  void split(const Piece& piece, RegexWorkspace&, PieceSink& out) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2);
    for (const char c : piece.text) c == ' ' ? text += replacement_ : text += c;
    const bool prepends = scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && piece.starts_text);
    if (prepends && !text.starts_with(replacement_)) text.insert(0, replacement_);
    const Piece whole{text, piece.starts_text};
    if (!splits_) return out.take(whole);
    SplitParts parts(SplitBehavior::merged_with_next, whole, out);
    size_t done = 0;
    for (size_t at = text.find(replacement_); at != text.npos; at = text.find(replacement_, done)) {
      if (done < at) parts.add({done, at}, false);
      done = at + replacement_.size();
      parts.add({at, done}, true);
    }
    if (done < text.size()) parts.add({done, text.size()}, false);
    parts.finish();
  }

 private:
  std::string replacement_;
  PrependScheme scheme_;
  bool splits_;
};

// GPT-2's: a space before the piece where it asks for one, its own pattern, then a character for each byte.
class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool adds_space, bool uses_pattern, bool leaves_bytes)
      : splitter_(Regex(kGpt2Pattern), SplitBehavior::isolated, false),
        adds_space_(adds_space),
        uses_pattern_(uses_pattern),
        leaves_bytes_(leaves_bytes) {}
  void split(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const override {
    if (!leaves_bytes_) {
      InAlphabet mapped(out);
      return split_bytes(piece, workspace, mapped);
    }
    split_bytes(piece, workspace, out);
  }

 private:
  class InAlphabet final : public PieceSink {
   public:
    explicit InAlphabet(PieceSink& out) : out_(out) {}
    void take(const Piece& piece) override {
      const std::string text = in_byte_alphabet(piece.text);
      out_.take({text, piece.starts_text});
    }

   private:
    PieceSink& out_;
  };
  void split_bytes(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const {
    if (adds_space_ && !piece.text.starts_with(' ')) {
      const std::string text = " " + std::string(piece.text);
      return split_text({text, piece.starts_text}, workspace, out);
    }
    split_text(piece, workspace, out);
  }
  void split_text(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const {
    uses_pattern_ ? splitter_.split(piece, workspace, out) : out.take(piece);
  }
  Split splitter_;
  bool adds_space_, uses_pattern_, leaves_bytes_;
};

char32_t character_of(const Json& json) {
  const std::string& text = json.as_string();
  if (text.empty() || utf8_bytes(text[0]) != text.size())
    throw JsonError("got " + quoted_excerpt(text) + "; need one character", json);
  return first_code_point(text);
}

std::unique_ptr<PreTokenizer> read_metaspace(const Json& json) {
  character_of(json.at("replacement"));
  PrependScheme scheme = PrependScheme::always;
  if (const Json* const name = find_value(json, "prepend_scheme")) {
    const std::string& text = name->as_string();
    if (text != "always" && text != "first" && text != "never")
      throw JsonError("got " + quoted_excerpt(text) + ", which evenkeel lacks; need one of: always, first, never",
                      *name);
    scheme = text == "always" ? PrependScheme::always : text == "first" ? PrependScheme::first : PrependScheme::never;
  } else if (!bool_or(json, "add_prefix_space", true)) {
    scheme = PrependScheme::never;
  }
  return std::make_unique<Metaspace>(json.at("replacement").as_string(), scheme, bool_or(json, "split", true));
}

std::unique_ptr<PreTokenizer> read_stage(const Json& json, bool leaves_bytes) {
  const std::string& type = json.at("type").as_string();
  if (type == "Split")
    return std::make_unique<Split>(read_pattern(json.at("pattern")), read_split_behavior(json.at("behavior")),
                                   bool_or(json, "invert", false));
  if (type == "ByteLevel")
    return std::make_unique<ByteLevel>(bool_or(json, "add_prefix_space", true), bool_or(json, "use_regex", true),
                                       leaves_bytes);
  if (type == "Metaspace") return read_metaspace(json);
  if (type == "Digits")
    return by_character(
        is_numeric, bool_or(json, "individual_digits", false) ? SplitBehavior::isolated : SplitBehavior::contiguous);
  if (type == "Punctuation") {
    const Json* const behavior = json.find("behavior");
    return by_character(is_punctuation, behavior != nullptr ? read_split_behavior(*behavior) : SplitBehavior::isolated);
  }
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return by_character(is_white_space, SplitBehavior::removed);
  if (type == "CharDelimiterSplit") {
    const char32_t delimiter = character_of(json.at("delimiter"));
    return by_character([delimiter](char32_t c) { return c == delimiter; }, SplitBehavior::removed);
  }
  fail_lacks_type(json, kKnown);
}

void add_stages(const Json& json, std::vector<const Json*>& stages) {
  if (json.is_null()) return;
  if (json.at("type").as_string() != "Sequence") return stages.push_back(&json);
  for (const auto& part : json.at("pretokenizers").as_array()) add_stages(part, stages);
}

// Hands pieces to a stage, and its parts to the sink of the next one.
class StageSink final : public PieceSink {
 public:
  StageSink(const PreTokenizer& stage, RegexWorkspace& workspace, PieceSink& next)
      : stage_(stage), workspace_(workspace), next_(next) {}
  void take(const Piece& piece) override {
    if (!piece.text.empty()) stage_.split(piece, workspace_, next_);
  }

 private:
  const PreTokenizer& stage_;
  RegexWorkspace& workspace_;
  PieceSink& next_;
};

}  // namespace

bool ends_byte_level(const Json& pre_tokenizer) {
  std::vector<const Json*> stages;
  add_stages(pre_tokenizer, stages);
  return !stages.empty() && stages.back()->at("type").as_string() == "ByteLevel";
}

PreTokenizers::PreTokenizers(const Json& json, bool leaves_bytes) {
  std::vector<const Json*> stages;
  add_stages(json, stages);
  for (const Json* const stage : stages) stages_.push_back(read_stage(*stage, leaves_bytes && stage == stages.back()));
}

void PreTokenizers::split(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const {
  std::vector<std::unique_ptr<StageSink>> sinks;
  PieceSink* next = &out;
  for (size_t i = stages_.size(); i-- > 0;) {
    sinks.push_back(std::make_unique<StageSink>(*stages_[i], workspace, *next));
    next = sinks.back().get();
  }
  next->take(piece);
}

}  // namespace evenkeel::data
