#include "data/tokenizers/split_behavior.h"

#include "core/json_error.h"
#include "data/utf8.h"

namespace evenkeel::data {

SplitBehavior read_split_behavior(const Json& json) {
  const std::string& name = json.as_string();
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw JsonError(
      "got " + quoted_excerpt(name) +
          ", which evenkeel lacks; need one of: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous",
      json);
}

void SplitParts::hand_on(Span span) {
  if (span.begin < span.end)
    out_.take({piece_.text.substr(span.begin, span.end - span.begin), piece_.starts_text && span.begin == 0});
}

void SplitParts::add(Span span, bool is_delimiter) {
  const bool after_delimiter = after_delimiter_;
  after_delimiter_ = is_delimiter;
  switch (behavior_) {
    case SplitBehavior::removed:
      if (!is_delimiter) hand_on(span);
      return;
    case SplitBehavior::isolated: return hand_on(span);
    case SplitBehavior::contiguous:  // runs of one kind; the first may be of either
    case SplitBehavior::merged_with_previous: {
      const bool joins =
          behavior_ == SplitBehavior::contiguous ? is_delimiter == after_delimiter : is_delimiter && !after_delimiter;
      if (joins && held_) {
        held_->end = span.end;
        return;
      }
      break;
    }
    case SplitBehavior::merged_with_next:
      if (!is_delimiter) {
        hand_on({held_ ? held_->begin : span.begin, span.end});
        held_.reset();
        return;
      }
      break;
  }
  if (held_) hand_on(*held_);
  held_ = span;
}

void SplitParts::finish() {
  if (held_) hand_on(*held_);
  held_.reset();
}

}  // namespace evenkeel::data
