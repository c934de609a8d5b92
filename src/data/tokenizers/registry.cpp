// The list of kinds of tokenizer files. To add one: its file in data/tokenizers, one line here, its test beside.
#include "data/tokenizers/registry.h"

#define EVENKEEL_TOKENIZERS(X) \
  X(tokenizer_json)            \
  X(tiktoken)                  \
  X(sentencepiece)  // binary: whatever the others leave

namespace evenkeel::data {

#define X(name)                             \
  bool is_##name(std::string_view content); \
  std::unique_ptr<Tokenizer> open_##name(const std::filesystem::path& path, const std::string& content);
EVENKEEL_TOKENIZERS(X)
#undef X

const std::vector<TokenizerKind>& tokenizer_kinds() {
#define X(name) {#name, is_##name, open_##name},
  static const std::vector<TokenizerKind> kinds = {EVENKEEL_TOKENIZERS(X)};
#undef X
  return kinds;
}

}  // namespace evenkeel::data
