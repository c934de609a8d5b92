#include "cli/token_texts.h"

#include <utility>
#include <vector>

#include "data/utf8.h"

namespace evenkeel::cli {

TokenTexts::TokenTexts(std::unique_ptr<data::Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

bool TokenTexts::has(int64_t id) const { return id >= 0 && id < tokenizer_->vocab_size(); }

std::optional<std::string> TokenTexts::text(std::span<const int64_t> ids) const {
  if (tokenizer_ == nullptr) return std::nullopt;
  std::string out;
  std::vector<int32_t> known;
  const auto decode_known = [&] {
    if (!known.empty()) out += tokenizer_->decode(known);
    known.clear();
  };
  for (const int64_t id : ids) {
    if (has(id)) {
      known.push_back(static_cast<int32_t>(id));
      continue;
    }
    decode_known();
    out += "<" + std::to_string(id) + ">";
  }
  decode_known();
  return data::with_invalid_mended(out, [](std::string_view, std::string& mended) {
    mended += "\uFFFD";
    return size_t{1};
  });
}

std::string TokenTexts::piece(int64_t id) const {
  if (tokenizer_ == nullptr) return std::to_string(id) + " ";
  return has(id) ? tokenizer_->piece(static_cast<int32_t>(id)) : "<" + std::to_string(id) + ">";
}

}  // namespace evenkeel::cli
