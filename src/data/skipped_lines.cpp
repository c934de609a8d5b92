#include "data/skipped_lines.h"

#include <fstream>
#include <string>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::data {
namespace {

constexpr const char* kFormat = "evenkeel.skipped.v1";

// Whether evenkeel wrote the file: its first line says so.
bool is_ours(const fs::path& path) {
  constexpr size_t kMostBytes = 1 << 16;  // a path and a sentence are shorter
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  std::string line(kMostBytes, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<size_t>(in.gcount()));
  try {
    const Json json = Json::parse(std::string_view(line).substr(0, line.find('\n')), path.string());
    const Json* format = json.find("format");
    return format != nullptr && *format == Json(kFormat);
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

SkippedLines::SkippedLines(fs::path path) : path_(std::move(path)) {
  std::error_code ignored;
  const bool is_there = fs::symlink_status(path_, ignored).type() != fs::file_type::not_found;
  require<ConfigError>(!is_there || is_ours(path_), path_.string(),
                       ": got a file that evenkeel did not write, where the lines that are passed over are listed; "
                       "need it moved, or another --out");
  remove_temporaries_of(path_);
}

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
  if (is_ours(path)) fs::remove(path, ignored);
}

}  // namespace evenkeel::data
