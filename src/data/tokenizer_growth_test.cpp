#include "data/tokenizer_growth.h"

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizer_extend.h"
#include "data/tokenizers/extension.h"

namespace evenkeel::data {
namespace {

fs::path extended(const TemporaryFolder& folder, const std::string& kind, int64_t n_new) {
  std::string text;
  for (int i = 0; i < 5; ++i) text += "lokazemzem lokazem zemzem\nжуки жуки\n";
  const fs::path out = folder / (kind + std::to_string(n_new) + ".model");
  extend_tokenizer({small_model(kind), open_tokenizer(small_model(kind))->vocab_size() + n_new},
                   {folder.write("new.txt", text)}, out);
  return out;
}

TEST(TokenizerGrowth, IsSeenByThePieces) {
  const TemporaryFolder folder;
  for (const char* kind : {"unigram", "bpe"}) {
    const auto old = open_tokenizer(small_model(kind)), larger = open_tokenizer(extended(folder, kind, 6));
    EXPECT_TRUE(extends(*larger, *old)) << kind;
    EXPECT_TRUE(extends(*old, *old)) << kind;
    EXPECT_FALSE(extends(*old, *larger)) << kind;
  }
  EXPECT_FALSE(extends(*open_tokenizer(small_model("bpe")), *open_tokenizer(small_model("unigram"))));
}

TEST(TokenizerGrowth, PartsAreTheOldPiecesOfTheSameText) {
  const TemporaryFolder folder;
  for (const char* kind : {"unigram", "bpe"}) {
    const auto file = extended(folder, kind, 6);
    const auto old = open_extension(small_model(kind)).extension, larger = open_extension(file).extension;
    const int64_t n_old = old->pieces().size();
    const auto parts = parts_of_pieces(file, small_model(kind), n_old, n_old + 8);
    ASSERT_EQ(parts.size(), 8U);
    for (int64_t i = 0; i < 6; ++i) {
      std::string text;
      bool has_bytes = false;
      for (const int32_t id : parts[static_cast<size_t>(i)]) {
        ASSERT_LT(id, n_old);
        has_bytes = has_bytes || !old->pieces().is_ordinary(id);
        text += old->pieces().text(id);
      }
      EXPECT_FALSE(parts[static_cast<size_t>(i)].empty()) << kind << i;
      if (!has_bytes) {
        EXPECT_EQ(text, larger->pieces().text(static_cast<int32_t>(n_old + i))) << kind << i;
      }
    }
    EXPECT_TRUE(parts[6].empty());  // beyond the last piece
  }
}

}  // namespace
}  // namespace evenkeel::data
