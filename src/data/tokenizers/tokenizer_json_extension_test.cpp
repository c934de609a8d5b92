#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/output.h"
#include "data/test_support.h"
#include "data/tokenizers/extension.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kEnd = R"("added_tokens": [{"id": 3, "content": "<e>", "special": true, "normalized": false}], )";

std::string bpe_json(const std::string& merges) {
  return "{" + kEnd + R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": )" +
         merges + "}}";
}
const std::string kUnigram = "{" + kEnd + R"("model": {"type": "Unigram", "unk_id": 0,
    "vocab": [["<unk>", 0.0], ["a", -1.5], ["ab", -2.5]]}})";

std::vector<int32_t> ids_of(const std::string& content, const std::string& text) {
  const TemporaryFolder folder;
  return open_tokenizer(folder.write("tokenizer.json", content))->encode(text, false);
}

TEST(TokenizerJsonExtension, NewMergesComeLastAndAddedTokensKeepTheirIds) {
  for (const bool are_pairs : {false, true}) {
    const auto extension =
        open_tokenizer_json_extension("tokenizer.json", bpe_json(are_pairs ? R"([["a", "b"]])" : R"(["a b"])"));
    EXPECT_FALSE(extension->takes_characters());
    EXPECT_EQ(extension->join(2, 0), 4);
    EXPECT_EQ(extension->join(4, 4), 5);
    EXPECT_EQ(extension->join(0, 1), std::nullopt);  // ab
    EXPECT_EQ(extension->join(3, 0), std::nullopt);  // an added token
    const Json json = Json::parse(extension->content(), "test");
    EXPECT_EQ(json.at("model").at("vocab").dump(), R"({"a":0,"b":1,"ab":2,"<e>":3,"aba":4,"abaaba":5})");
    EXPECT_EQ(json.at("model").at("merges").dump(),
              are_pairs ? R"([["a","b"],["ab","a"],["aba","aba"]])" : R"(["a b","ab a","aba aba"])");
    EXPECT_THAT(ids_of(extension->content(), "abaaba<e>abab"), ElementsAre(5, 3, 2, 2));
  }
}

TEST(TokenizerJsonExtension, UnigramPiecesArePreferredToTheirParts) {
  const auto extension = open_tokenizer_json_extension("tokenizer.json", kUnigram);
  EXPECT_TRUE(extension->takes_characters());
  extension->add_characters({"b"});
  EXPECT_EQ(extension->join(0, 1), std::nullopt);  // the unknown token
  EXPECT_EQ(extension->join(2, 1), 5);
  const Json json = Json::parse(extension->content(), "test");
  const Json& vocab = json.at("model").at("vocab");
  ASSERT_EQ(vocab.size(), 6U);
  EXPECT_EQ(vocab.at(3).at(size_t{0}).as_string(), "<e>");
  EXPECT_EQ(vocab.at(3).at(1).as_double(), -2.5 - 1 - 3 * 2.5);  // below its three characters
  EXPECT_EQ(vocab.at(4).dump(), R"(["b",-2.5])");
  EXPECT_EQ(vocab.at(5).at(size_t{0}).as_string(), "aba");
  EXPECT_DOUBLE_EQ(vocab.at(5).at(1).as_double(), -2.5 - 1.5 + joined_bonus(5));
  EXPECT_THAT(ids_of(extension->content(), "aba<e>aab"), ElementsAre(5, 3, 1, 2));
}

TEST(TokenizerJsonExtension, SplitsWithoutAddedTokens) {
  const auto extension = open_tokenizer_json_extension("tokenizer.json", bpe_json(R"(["a b"])"));
  std::vector<std::string> parts;
  extension->split("ab a<e>b", [&](std::string_view part) { parts.emplace_back(part); });
  EXPECT_THAT(parts, ElementsAre("ab", " a", "b"));
}

TEST(TokenizerJsonExtension, BearsTheMark) {
  const TemporaryFolder folder;
  const auto extension = open_tokenizer_json_extension("tokenizer.json", kUnigram);
  EXPECT_FALSE(is_own({folder.write("a.json", kUnigram), OutputKind::tokenizer}));
  EXPECT_TRUE(is_own({folder.write("a.json", extension->content()), OutputKind::tokenizer}));
  EXPECT_FALSE(is_own({folder.write("a.json", "{"), OutputKind::tokenizer}));
}

TEST(TokenizerJsonExtension, NamesWhatCannotBeExtended) {
  const auto refused = [](const std::string& content) {
    return message_of<DataError>([&] { open_tokenizer_json_extension("tokenizer.json", content); });
  };
  EXPECT_THAT(
      refused(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})"),
      HasSubstr("tokenizer.json: got a tokenizer.json of kind BPE that is not byte-level, which cannot be extended"));
  EXPECT_THAT(refused(R"({"model": {"type": "WordLevel", "vocab": {}}})"), HasSubstr("of kind WordLevel"));
  EXPECT_THAT(refused("{" + kEnd + R"("pre_tokenizer": {"type": "ByteLevel"},
                       "model": {"type": "BPE", "vocab": {"a": 0, "b": 3, "c": 1}, "merges": []}})"),
              HasSubstr("got id 3 for"));
}

}  // namespace
}  // namespace evenkeel::data
