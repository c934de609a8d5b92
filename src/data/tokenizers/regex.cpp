#include "data/tokenizers/regex.h"

#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/errors.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/regex_syntax.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr size_t kMostPatternBytes = size_t{1} << 15;
// Steps of one match: enough for every pattern that a text of this length makes go back a bounded number of times a
// character; a pattern that tries all ways to cut the text needs more.
constexpr uint32_t kSteps = 10'000'000;
constexpr size_t kStepsPerByte = 16;
constexpr size_t kStackBytes = size_t{1} << 15, kMostStackBytes = size_t{1} << 28;

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

template <class T, void (*release)(T*)>
struct Release {
  void operator()(T* pointer) const { release(pointer); }
};
template <class T, void (*release)(T*)>
using Owned = std::unique_ptr<T, Release<T, release>>;

}  // namespace

struct RegexWorkspace::Parts {
  Owned<pcre2_match_data, pcre2_match_data_free> match{pcre2_match_data_create(1, nullptr)};
  Owned<pcre2_match_context, pcre2_match_context_free> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack, pcre2_jit_stack_free> stack{pcre2_jit_stack_create(kStackBytes, kMostStackBytes, nullptr)};
};

RegexWorkspace::RegexWorkspace() : parts_(std::make_unique<Parts>()) {
  require<MachineError>(parts_->match && parts_->context && parts_->stack,
                        "regex: got no memory for its workspace; need some");
  pcre2_jit_stack_assign(parts_->context.get(), nullptr, parts_->stack.get());
}
RegexWorkspace::~RegexWorkspace() = default;

namespace {

Owned<pcre2_code, pcre2_code_free> compiled(const std::string& pattern, const std::string& shown) {
  int error = 0;
  size_t offset = 0;
  const Owned<pcre2_compile_context, pcre2_compile_context_free> context(pcre2_compile_context_create(nullptr));
  require<MachineError>(context != nullptr, "regex: got no memory to compile it; need some");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  Owned<pcre2_code, pcre2_code_free> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context.get()));
  require<DataError>(code != nullptr, "regex ", shown, ": got '", message_of(error),
                     "'; need a pattern that PCRE2 compiles");
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it cannot, the pattern is interpreted
  return code;
}

}  // namespace

struct Regex::Code {
  Owned<pcre2_code, pcre2_code_free> plain, full;  // full: null where it is the same
};

Regex::Regex(std::string_view pattern)
    : Regex(quoted_excerpt(pattern), [&] {
        require<DataError>(pattern.size() <= kMostPatternBytes, "regex ", quoted_excerpt(pattern), ": got ",
                           pattern.size(), " bytes; need at most ", kMostPatternBytes);
        return pcre2_pattern(pattern);
      }()) {}

Regex::Regex(std::string shown, const Pcre2Pattern& translated)
    : shown_(std::move(shown)), code_(std::make_unique<Code>()) {
  code_->plain = compiled(translated.plain, shown_);
  if (translated.full != translated.plain) code_->full = compiled(translated.full, shown_);
}

Regex Regex::of_text(std::string_view text) {
  const std::string pattern = pcre2_literal(text);
  return {quoted_excerpt(text), {pattern, pattern}};
}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<Span> Regex::find(std::string_view text, size_t from, bool has_newer, RegexWorkspace& workspace) const {
  const auto* const code = has_newer && code_->full ? code_->full.get() : code_->plain.get();
  auto& parts = *workspace.parts_;
  const size_t steps = std::min<size_t>(kSteps + kStepsPerByte * text.size(), UINT32_MAX);
  pcre2_set_match_limit(parts.context.get(), static_cast<uint32_t>(steps));
  const int n = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK,
                            parts.match.get(), parts.context.get());
  if (n == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (n < 0)
    fail<DataError>("regex ", shown_, ": got '", message_of(n), "' on ", quoted_excerpt(text.substr(from)),
                    "; need a pattern that takes at most ", steps, " steps");
  const size_t* const found = pcre2_get_ovector_pointer(parts.match.get());
  return Span{found[0], found[1]};
}

RegexMatches::RegexMatches(const Regex& regex, std::string_view text, RegexWorkspace& workspace)
    : regex_(regex), text_(text), workspace_(workspace), has_newer_(has_newer_code_point(text)) {}

std::optional<Span> RegexMatches::next() {
  while (from_ <= text_.size()) {
    const auto match = regex_.find(text_, from_, has_newer_, workspace_);
    if (!match) break;
    if (match->begin == match->end && last_end_ == match->end) {
      from_ += from_ < text_.size() ? utf8_bytes(text_[from_]) : 1;
      continue;
    }
    from_ = match->end;
    last_end_ = match->end;
    return match;
  }
  from_ = text_.size() + 1;
  return std::nullopt;
}

}  // namespace evenkeel::data
