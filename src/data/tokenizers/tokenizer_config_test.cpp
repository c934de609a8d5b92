#include "data/tokenizers/tokenizer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TokenizerConfig, IsReadFromTheFilesBeside) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_tokenizer_config(folder / "tokenizer.json").adds_bos, std::nullopt);
  folder.write(
      "tokenizer_config.json",
      R"({"add_bos_token": true, "add_eos_token": null, "bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
  folder.write("generation_config.json", R"({"eos_token_id": [2, 5]})");
  const auto config = read_tokenizer_config(folder / "tokenizer.json");
  EXPECT_EQ(config.adds_bos, true);
  EXPECT_EQ(config.adds_eos, std::nullopt);
  EXPECT_EQ(config.bos_token, "<s>");
  EXPECT_EQ(config.eos_token, "</s>");
  EXPECT_THAT(config.eos_ids, ElementsAre(2, 5));
  folder.write("generation_config.json", R"({"eos_token_id": 7})");
  EXPECT_THAT(read_tokenizer_config(folder / "tokenizer.json").eos_ids, ElementsAre(7));
}

TEST(TokenizerConfig, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"add_bos_token": "yes"})");
  EXPECT_THAT(message_of<DataError>([&] { read_tokenizer_config(folder / "t.model"); }),
              HasSubstr("tokenizer_config.json: add_bos_token: got string; need boolean"));
}

}  // namespace
}  // namespace evenkeel::data
