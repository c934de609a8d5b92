// JSON from files: one document, or JSON Lines with one a line, as in metrics.jsonl.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/errors.h"
#include "core/input_file.h"
#include "core/json.h"
#include "core/json_error.h"

namespace evenkeel {

// The document that a file is. DataError names the path.
Json read_json(const std::filesystem::path& path);

// "runs/a/metrics.jsonl, line 3"
std::string place_of_line(const std::filesystem::path& path, size_t number);

// The lines that end with a newline; a last one that a kill has torn is left out.
std::vector<std::string_view> whole_lines(std::string_view text);

// The whole lines of a file one by one, in memory of the longest; what is appended after the last of them comes when it
// is whole.
class LineReader {
 public:
  // DataError when the path is missing or no regular file; MachineError when reading fails.
  explicit LineReader(std::filesystem::path path) : file_(std::move(path)) {}
  // Without its newline, valid until the next call; nullopt where there is no whole line more, for now.
  std::optional<std::string_view> next();
  int64_t end_byte() const { return end_byte_; }  // of the line that came last, with its newline
  std::string place() const { return place_of_line(file_.path(), number_); }  // of it, for messages

 private:
  InputFile file_;
  std::string buffer_;
  size_t begin_ = 0, searched_ = 0;  // in buffer_: of the line that comes next, and as far as it has no newline
  size_t number_ = 0;
  int64_t end_byte_ = 0;
};

// The document of every whole line. DataError names the path and the line that is damaged.
std::vector<Json> read_json_lines(const std::filesystem::path& path);

// What `use` makes of `document`, the content of a file. A JsonError, "JSON: got …", becomes one that names the path
// and the key.
template <class F>
decltype(auto) with_path(const std::filesystem::path& path, const Json& document, F&& use) {
  try {
    return use();
  } catch (const JsonError& error) {
    throw error_in(path.string(), document, error);
  }
}

// The same for a file of which another error tells, such as a CheckpointError.
template <class E, class F>
decltype(auto) with_path_as(const std::filesystem::path& path, const Json& document, F&& use) {
  try {
    return with_path(path, document, std::forward<F>(use));
  } catch (const DataError& error) {
    throw E(error.what());
  }
}

}  // namespace evenkeel
