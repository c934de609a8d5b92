// Matches of the regular expressions of tokenizers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "data/tokenizers/regex_syntax.h"

namespace evenkeel::data {

struct Span {
  size_t begin = 0, end = 0;  // bytes
};

// What one thread needs to match: reused from text to text.
class RegexWorkspace {
 public:
  RegexWorkspace();
  ~RegexWorkspace();
  RegexWorkspace(const RegexWorkspace&) = delete;
  RegexWorkspace& operator=(const RegexWorkspace&) = delete;

 private:
  friend class Regex;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A compiled pattern; finding is thread-safe. The matches are those of Oniguruma's search as `tokenizers` calls it.
class Regex {
 public:
  // In Oniguruma's Ruby syntax. DataError where evenkeel lacks what it says.
  explicit Regex(std::string_view pattern);
  static Regex of_text(std::string_view text);  // matches `text` itself
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

 private:
  friend class RegexMatches;
  struct Code;
  Regex(std::string shown, const Pcre2Pattern& translated);
  // The next match that begins at `from` or later; it may be empty.
  std::optional<Span> find(std::string_view text, size_t from, bool has_newer, RegexWorkspace& workspace) const;
  std::string shown_;  // as the file has it, for messages
  std::unique_ptr<Code> code_;
};

// Each match in order, as `tokenizers` walks them: never an empty one right behind another match. text: valid UTF-8.
class RegexMatches {
 public:
  RegexMatches(const Regex& regex, std::string_view text, RegexWorkspace& workspace);
  // DataError when a match takes more steps than a bound that grows with the text.
  std::optional<Span> next();

 private:
  const Regex& regex_;
  std::string_view text_;
  RegexWorkspace& workspace_;
  bool has_newer_;
  size_t from_ = 0;
  std::optional<size_t> last_end_;
};

}  // namespace evenkeel::data
