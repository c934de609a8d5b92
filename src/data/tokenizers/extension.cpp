#include "data/tokenizers/extension.h"

#include <algorithm>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/tokenizer.h"
#include "data/tokenizers/registry.h"

namespace evenkeel::data {

OpenedExtension open_extension(const fs::path& path) {
  constexpr int64_t kMostFileBytes = INT64_C(1) << 30;
  const auto tokenizer = open_tokenizer(path);  // which says what is wrong with it
  const fs::path file = tokenizer->path();
  const std::string content = read_file(file, kMostFileBytes);
  const auto& kinds = tokenizer_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) { return each.is_kind(content); });
  const std::string name = kind->name;
  require<DataError>(name != "tiktoken", file.string(), ": got ", tokenizer->kind(),
                     ", which cannot be extended; need a SentencePiece .model or a tokenizer.json");
  return {file, name == "sentencepiece" ? open_sentencepiece_extension(file, content)
                                        : open_tokenizer_json_extension(file, content)};
}

}  // namespace evenkeel::data
