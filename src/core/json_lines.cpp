#include "core/json_lines.h"

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

std::string place_of_line(const std::filesystem::path& path, size_t number) {
  return path.string() + ", line " + std::to_string(number);
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
    buffer_.resize(searched_ +
                   file_.read_up_to(end_byte_ + static_cast<int64_t>(searched_), buffer_.data() + searched_, kPiece));
    if (buffer_.size() == searched_) return std::nullopt;
  }
}

}  // namespace evenkeel
