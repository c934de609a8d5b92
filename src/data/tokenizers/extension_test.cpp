#include "data/tokenizers/extension.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;

TEST(Extension, IsOfTheFileThatATokenizerIsOpenedFrom) {
  const auto [file, extension] = open_extension(small_model());
  EXPECT_EQ(file, small_model());
  const auto tokenizer = open_tokenizer(small_model());
  EXPECT_EQ(extension->pieces().size(), tokenizer->vocab_size());
  const TemporaryFolder folder;
  fs::copy(small_model("bpe"), folder / "tokenizer.model");
  EXPECT_EQ(open_extension(folder / ".").file.filename(), "tokenizer.model");
}

TEST(Extension, IsRefusedForRanks) {
  const TemporaryFolder folder;
  const auto ranks = folder.write("ranks.tiktoken", "YQ== 0\nYg== 1\n");  // of no known encoding either
  EXPECT_THAT(message_of<DataError>([&] { open_extension(ranks); }), HasSubstr("ranks.tiktoken: got 2 ranks"));
}

}  // namespace
}  // namespace evenkeel::data
