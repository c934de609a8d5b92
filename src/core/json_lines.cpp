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

std::string place_of_line(const std::filesystem::path& path, size_t number) { return path.string() + ", line " + std::to_string(number); }

}  // namespace evenkeel
