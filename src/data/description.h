// PREFIX.json, what `prepare` says of a pair of .bin and .idx (docs/formats.md), and the PREFIX itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/json.h"

namespace evenkeel::data {

constexpr const char* kDescriptionFormat = "evenkeel.data.v1";

// DataError when `prefix` has no .idx and is something else: a file of the pair, text, a folder. The error says what to
// give.
void require_prefix(const std::filesystem::path& prefix);

// The content of PREFIX.json; null when it is absent or another program's. DataError names the file when it is
// evenkeel's and damaged, or empty, which is nobody's.
Json read_description(const std::filesystem::path& prefix);

// Bytes of text that the pair's tokens stand for; 0 where no description of evenkeel's says it, or one says null, as of
// what `convert` made. DataError names the file when it tells of another number of tokens.
int64_t described_text_bytes(const std::filesystem::path& prefix, int64_t n_tokens);

// A path as PREFIX.json has it: from its folder, so that a pair and its tokenizer may move together.
std::string described_path(const std::filesystem::path& prefix, const std::filesystem::path& path);

// The way back, absolute, of the tokenizer that PREFIX.json names; "" where it names none. DataError as of
// read_description.
std::string described_tokenizer(const std::filesystem::path& prefix);

}  // namespace evenkeel::data
