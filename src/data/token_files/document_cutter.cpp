#include "data/token_files/document_cutter.h"

#include <algorithm>

namespace evenkeel::data {

void DocumentCutter::put(std::span<const int32_t> ids) {
  writer_.add_ids(ids);
  has_open_ = has_open_ || !ids.empty();
}

void DocumentCutter::end_document() {
  if (has_open_) writer_.end_document();
  has_open_ = false;
}

void DocumentCutter::add(std::span<const int32_t> ids) {
  if (ids.empty()) return;
  const bool begins_document = mark_ == DocumentMark::begins && ids.front() == eod_;
  n_joined_ += is_at_start_ && has_open_ && !begins_document;
  is_at_start_ = false;
  if (mark_ == DocumentMark::none) return put(ids);
  while (!ids.empty()) {
    const auto found = std::find(ids.begin(), ids.end(), eod_);
    const auto before = static_cast<size_t>(found - ids.begin());
    if (found == ids.end()) return put(ids);
    ++n_marks_;
    if (mark_ == DocumentMark::ends) {
      put(ids.first(before + 1));
      end_document();
    } else {
      put(ids.first(before));
      end_document();
      put(ids.subspan(before, 1));
    }
    ids = ids.subspan(before + 1);
  }
}

void DocumentCutter::end_file() {
  is_at_start_ = true;
  if (mark_ == DocumentMark::none) end_document();
}

void DocumentCutter::finish() { end_document(); }

}  // namespace evenkeel::data
