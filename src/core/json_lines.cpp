#include "core/json_lines.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "core/file_io.h"

namespace evenkeel {

std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return lines;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

Json read_json(const std::filesystem::path& path) { return Json::parse(read_file(path), path.string()); }

std::vector<Json> read_json_lines(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::vector<Json> out;
  for (const auto line : whole_lines(text)) out.push_back(Json::parse(line, place_of_line(path, out.size() + 1)));
  return out;
}

std::string place_of_line(const std::filesystem::path& path, size_t number) { return path.string() + ", line " + std::to_string(number); }

LineReader::LineReader(std::filesystem::path path) : path_(std::move(path)) {
  require<DataError>(std::filesystem::is_regular_file(path_), path_.string(), ": got no such file; need one to read");
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  require<MachineError>(descriptor_ >= 0, path_.string(), ": got '", std::strerror(errno), "' on opening; need it to succeed");
}

LineReader::~LineReader() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::optional<std::string_view> LineReader::next() {
  constexpr size_t kPiece = 1 << 20;
  for (;;) {
    const size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos) {
      const std::string_view line(buffer_.data() + begin_, end - begin_);
      begin_ = searched_ = end + 1;
      ++number_;
      end_byte_ += static_cast<int64_t>(line.size()) + 1;
      return line;
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched_ = buffer_.size();
    buffer_.resize(searched_ + kPiece);
    const ssize_t n = pread(descriptor_, buffer_.data() + searched_, kPiece, end_byte_ + static_cast<int64_t>(searched_));
    buffer_.resize(searched_ + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    require<MachineError>(n >= 0 || errno == EINTR, path_.string(), ": got '", std::strerror(errno), "' on reading; need it to succeed");
    if (n == 0) return std::nullopt;
  }
}

}  // namespace evenkeel
