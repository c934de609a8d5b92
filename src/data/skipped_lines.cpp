#include "data/skipped_lines.h"

#include <string>

#include "core/json.h"
#include "core/output.h"

namespace evenkeel::data {
namespace {

constexpr const char* kFormat = "evenkeel.skipped.v1";

}  // namespace

SkippedLines::SkippedLines(fs::path path) : path_(std::move(path)) { remove_temporaries_of(path_); }

void SkippedLines::add(const BadLine& line) {
  if (file_ == nullptr) file_ = std::make_unique<AtomicFile>(path_);
  ++n_lines_;
  Json::Object record = {{"format", kFormat}, {"path", line.path.string()}};
  if (line.unit == RecordUnit::row) {
    record.emplace_back("row", line.line);
  } else {
    record.emplace_back("line", line.line);
    record.emplace_back("byte", line.byte);
  }
  record.emplace_back("reason", line.reason);
  file_->write(Json(std::move(record)).dump() + "\n");
}

void SkippedLines::commit() {
  if (file_ != nullptr) return file_->commit();
  remove_earlier(path_);
}

void SkippedLines::remove_earlier(const fs::path& path) {
  std::error_code ignored;
  if (is_own({path, OutputKind::skipped})) fs::remove(path, ignored);
}

}  // namespace evenkeel::data
