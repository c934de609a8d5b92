// The inputs of `prepare`, `tokenizer train` and `convert` as a command line names them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel::data {

inline constexpr const char* kInputMeaning =
    "text (.txt) or JSON records one a line (.jsonl, .ndjson, .json), also .gz, .xz, .zst; .parquet; a quoted pattern "
    "('data/**/*.jsonl') is all that match";
inline constexpr const char* kTextFieldMeaning = "field of the records, as in meta.body (default text)";

// An argument that has *, ? or [ and is no file becomes the files that match it, in sorted order: * and ? stand for
// characters of a name, [a-z] for one of them, ** for any number of folders, at the end for all files in them; names
// that begin with a dot are matched by a pattern that does so alone, and ** does not follow links. DataError where none
// matches, and for a folder, which says `example`: the names of files that may be in it.
std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& arguments,
                                                 const char* example = "*.jsonl");

}  // namespace evenkeel::data
