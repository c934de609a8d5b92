// JSON from files: one document, or JSON Lines with one a line, as in metrics.jsonl.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel {

// The document that a file is. DataError names the path.
Json read_json(const std::filesystem::path& path);

// The lines that end with a newline; a last one that a kill has torn is left out.
std::vector<std::string_view> whole_lines(std::string_view text);

// The document of every whole line. DataError names the path and the line that is damaged.
std::vector<Json> read_json_lines(const std::filesystem::path& path);

// "runs/a/metrics.jsonl, line 3"
std::string place_of_line(const std::filesystem::path& path, size_t number);

// What `use` makes of the content of a file. A DataError about a value, "JSON: got …", becomes one that names the path.
template <class F>
auto with_path(const std::filesystem::path& path, F&& use) {
  constexpr std::string_view kValue = "JSON: ";  // how the accessors of Json begin
  try {
    return use();
  } catch (const DataError& error) {
    const std::string_view message = error.what();
    if (!message.starts_with(kValue)) throw;
    fail<DataError>(path.string(), ": ", message.substr(kValue.size()));
  }
}

// The same for a file of which another error tells, such as a CheckpointError.
template <class E, class F>
auto with_path_as(const std::filesystem::path& path, F&& use) {
  try {
    return with_path(path, use);
  } catch (const DataError& error) {
    throw E(error.what());
  }
}

}  // namespace evenkeel
