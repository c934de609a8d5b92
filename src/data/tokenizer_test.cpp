#include "data/tokenizer.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

TEST(OpenTokenizer, TellsTheKindByTheContent) {
  const TemporaryFolder folder;
  const auto json = folder.write("a.bin", R"( {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  EXPECT_EQ(open_tokenizer(json)->kind(), "tokenizer.json (BPE)");
  EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(folder.write("tokenizer.model", "YQ== 0\nYg== 1\n")); }),
              HasSubstr("tokenizer.model: got 2 ranks, which is no encoding that evenkeel knows"));
  EXPECT_EQ(open_tokenizer(small_model())->kind(), "SentencePiece model");
  EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(folder / "none.json"); }), HasSubstr("got no such file"));
}

TEST(OpenTokenizer, FindsTheModelOfAFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(folder / ""); }),
              HasSubstr("got a folder without a tokenizer"));
  fs::copy(small_model(), folder / "some.model");
  EXPECT_EQ(open_tokenizer(folder / "")->sha256(), sha256_file(small_model()));
  fs::copy(small_model("bpe"), folder / "other.model");
  EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(folder / ""); }), HasSubstr("got 2 .model files"));
  fs::copy(small_model("bpe"), folder / "tokenizer.model");
  EXPECT_EQ(open_tokenizer(folder / "")->sha256(), sha256_file(small_model("bpe")));
  folder.write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  EXPECT_EQ(open_tokenizer(folder / "")->kind(), "tokenizer.json (BPE)");
  EXPECT_EQ(tokenizer_files(folder / ""),
            (std::vector<fs::path>{folder / "tokenizer.json", folder / "tokenizer.model"}));
}

}  // namespace
}  // namespace evenkeel::data
