// The kinds of tokenizer files. A kind is one file in data/tokenizers and one line in the registry.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace evenkeel::data {

struct TokenizerKind {
  const char* name;
  bool (*is_kind)(std::string_view content);  // by the start of the file
  std::unique_ptr<Tokenizer> (*open)(const std::filesystem::path& path, const std::string& content);
};
const std::vector<TokenizerKind>& tokenizer_kinds();  // a file is of the first kind that takes it

}  // namespace evenkeel::data
