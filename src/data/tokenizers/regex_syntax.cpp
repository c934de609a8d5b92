#include "data/tokenizers/regex_syntax.h"

#include <charconv>
#include <vector>

#include "core/errors.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/regex_classes.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads the pattern once, from left to right.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string translate() {
    open_group("");
    while (at_ < pattern_.size()) step();
    require<DataError>(groups_.size() == 1, "regex ", quoted_excerpt(pattern_), ": got ", groups_.size() - 1,
                       " groups without an end; need ')'");
    close_options();
    return std::move(out_);
  }

 private:
  struct Group {
    size_t begin;      // in out_
    size_t n_options;  // groups that options such as (?i) opened in it
  };

  [[noreturn]] void lacks(size_t begin, std::string_view what) const {
    fail<DataError>("regex ", quoted_excerpt(pattern_), ": got ", quoted_excerpt(pattern_.substr(begin)), " at byte ",
                    begin + 1, ", which evenkeel lacks; need ", what);
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  void add_atom(const std::string& text) {
    atom_ = out_.size();
    has_atom_ = true;
    is_quantified_ = false;
    out_ += text;
  }
  void add_assertion(std::string_view text) {
    out_ += text;
    has_atom_ = false;
  }
  void open_group(std::string_view opening) {
    require<DataError>(groups_.size() < kMostGroups, "regex ", quoted_excerpt(pattern_),
                       ": got groups nested deeper than ", kMostGroups, "; need less");
    groups_.push_back({out_.size(), 0});
    out_ += opening;
    has_atom_ = false;
  }
  void close_options() {
    out_.append(groups_.back().n_options, ')');
    groups_.back().n_options = 0;
  }
  void close_group() {
    require<DataError>(groups_.size() > 1, "regex ", quoted_excerpt(pattern_), ": got ')' at byte ", at_ + 1,
                       " without a group; need '('");
    close_options();
    out_ += ')';
    atom_ = groups_.back().begin;
    has_atom_ = true;
    is_quantified_ = false;
    groups_.pop_back();
    ++at_;
  }

  void step() {
    const char c = pattern_[at_];
    switch (c) {
      case '(': return step_group();
      case ')': return close_group();
      case '[': {
        const auto set = read_character_set(pattern_, at_);
        return add_atom(set);
      }
      case '\\': return step_escape();
      case '*':
      case '+':
      case '?': return step_quantifier();
      case '{': return step_braces();
      case '|':
        out_ += '|';
        has_atom_ = false;
        ++at_;
        return;
      case '.': ++at_; return add_atom(".");
      case '^':
      case '$': ++at_; return add_assertion({&c, 1});
      default: {
        const size_t size = utf8_bytes(c);
        add_atom(pcre2_literal(pattern_.substr(at_, size)));
        at_ += size;
      }
    }
  }

  void step_group() {
    const size_t begin = at_;
    for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (!next_is(opening)) continue;
      at_ += opening.size();
      return open_group(opening);
    }
    if (!next_is("(?")) {
      if (next_is("(*")) lacks(begin, "a group without a verb");
      ++at_;
      return open_group("(");
    }
    if (next_is("(?<") || next_is("(?'")) {  // a name
      const size_t end = pattern_.find(pattern_[at_ + 2] == '<' ? '>' : '\'', at_ + 3);
      if (end == pattern_.npos) lacks(begin, "a group whose name ends");
      at_ = end + 1;
      return open_group("(");
    }
    step_options(begin);
  }

  // (?i) is in force to the end of the group, alternatives among them; (?i:...) for what it holds. Ruby's m is PCRE2's
  // s.
  void step_options(size_t begin) {
    std::string options;
    for (at_ += 2; at_ < pattern_.size() && (pattern_[at_] == 'i' || pattern_[at_] == 'm' || pattern_[at_] == '-');
         ++at_)
      options += pattern_[at_] == 'm' ? 's' : pattern_[at_];
    const char end = at_ < pattern_.size() ? pattern_[at_] : '\0';
    if (options.empty() || (end != ')' && end != ':')) lacks(begin, "(?: (?= (?! (?<= (?<! (?> (?i) (?m) or a name");
    ++at_;
    if (end == ':') return open_group("(?" + options + ":");
    out_ += "(?" + options + ":";
    ++groups_.back().n_options;
    has_atom_ = false;
  }

  void step_escape() {
    const size_t begin = at_;
    require<DataError>(at_ + 1 < pattern_.size(), "regex ", quoted_excerpt(pattern_),
                       ": got a backslash at the end; need a character after it");
    const char c = pattern_[at_ + 1];
    const auto pass = [&](std::string_view text) {
      at_ += 2;
      add_assertion(text);
    };
    switch (c) {
      case 'A': return pass("\\A");
      case 'z': return pass("\\z");
      case 'Z': return pass("\\Z");
      case 'b': return pass(word_boundary());
      case 'B': return pass("(?!" + word_boundary() + ")");
      default: break;
    }
    if (c >= '1' && c <= '9') {
      size_t end = at_ + 2;
      while (end < pattern_.size() && is_digit(pattern_[end])) ++end;
      add_atom("(?:\\g{" + std::string(pattern_.substr(at_ + 1, end - at_ - 1)) + "})");
      at_ = end;
      return;
    }
    if (auto set = read_class_escape(pattern_, at_)) return add_atom(*set);
    const auto code_point = read_character_escape(pattern_, at_);
    if (!code_point) lacks(begin, "a character, a class of characters or an assertion");
    add_atom(pcre2_code_point(*code_point));
  }

  // A quantifier on one that is there already repeats what that one says. A sign after * + ? makes it reluctant or
  // possessive; after {n,m} a + repeats it.
  void step_quantifier() {
    const char c = pattern_[at_++];
    std::string quantifier(1, c);
    if (at_ < pattern_.size() && (pattern_[at_] == '?' || pattern_[at_] == '+')) quantifier += pattern_[at_++];
    add_quantifier(quantifier);
  }
  void add_quantifier(const std::string& quantifier) {
    require<DataError>(has_atom_, "regex ", quoted_excerpt(pattern_), ": got '", quantifier, "' before byte ", at_ + 1,
                       " with nothing to repeat; need a character, a class or a group before it");
    if (is_quantified_) {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
    out_ += quantifier;
    is_quantified_ = true;
  }
  void step_braces() {
    size_t end = at_ + 1;
    const auto number = [&] {
      const size_t begin = end;
      while (end < pattern_.size() && is_digit(pattern_[end])) ++end;
      return std::string(pattern_.substr(begin, end - begin));
    };
    const std::string low = number();
    const bool has_comma = end < pattern_.size() && pattern_[end] == ',';
    if (has_comma) ++end;
    const std::string high = has_comma ? number() : low;
    if (end >= pattern_.size() || pattern_[end] != '}' || (low.empty() && high.empty())) {
      ++at_;  // no quantifier: the brace itself
      return add_atom("\\{");
    }
    at_ = end + 1;
    std::string quantifier = "{" + (low.empty() ? "0" : low) + (has_comma ? "," + high : "") + "}";
    if (has_comma && at_ < pattern_.size() && pattern_[at_] == '?') quantifier += pattern_[at_++];
    add_quantifier(quantifier);
  }

  static constexpr size_t kMostGroups = 100;
  std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;  // begin of what a quantifier would repeat, in out_
  bool has_atom_ = false, is_quantified_ = false;
  std::vector<Group> groups_;
};

}  // namespace

Pcre2Pattern pcre2_pattern(std::string_view pattern) {
  Pcre2Pattern out;
  bool is_newer = false;
  for (const char c : Translator(pattern).translate()) {
    if (c == kNewerBegin || c == kNewerEnd) {
      is_newer = c == kNewerBegin;
      continue;
    }
    out.full += c;
    if (!is_newer) out.plain += c;
  }
  return out;
}

std::string pcre2_literal(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at]))
    out += pcre2_code_point(first_code_point(text.substr(at)));
  return out;
}

}  // namespace evenkeel::data
