// JSON from files: one document, or JSON Lines with one a line, as in metrics.jsonl.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace evenkeel {

// The document that a file is. DataError names the path.
Json read_json(const std::filesystem::path& path);

// The lines that end with a newline; a last one that a kill has torn is left out.
std::vector<std::string_view> whole_lines(std::string_view text);

// The document of every whole line. DataError names the path and the line that is damaged.
std::vector<Json> read_json_lines(const std::filesystem::path& path);

}  // namespace evenkeel
