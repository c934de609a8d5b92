#include "data/tokenizer_growth.h"

#include "data/tokenizers/extension.h"

namespace evenkeel::data {

bool extends(const Tokenizer& larger, const Tokenizer& smaller) {
  if (larger.vocab_size() < smaller.vocab_size()) return false;
  for (int64_t id = 0; id < smaller.vocab_size(); ++id)
    if (larger.piece(static_cast<int32_t>(id)) != smaller.piece(static_cast<int32_t>(id))) return false;
  return true;
}

std::vector<std::vector<int32_t>> parts_of_pieces(const std::filesystem::path& larger,
                                                  const std::filesystem::path& smaller, int64_t first, int64_t end) {
  const auto of = open_extension(larger).extension, by = open_extension(smaller).extension;
  std::vector<std::vector<int32_t>> out;
  for (int64_t id = first; id < end; ++id) {
    auto& ids = out.emplace_back();
    if (id >= of->pieces().size()) continue;
    if (const auto& text = of->pieces().text(static_cast<int32_t>(id)); !text.empty()) by->encode(text, ids);
  }
  return out;
}

}  // namespace evenkeel::data
