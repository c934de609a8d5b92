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
  file_->write(Json(Json::Object{{"format", kFormat},
                                 {"path", line.path.string()},
                                 {"line", line.line},
                                 {"byte", line.byte},
                                 {"reason", line.reason}})
                   .dump() +
               "\n");
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
