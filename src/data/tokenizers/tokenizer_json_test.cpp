#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/registry.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// A small byte-level tokenizer with a template; `more` goes on after its model.
std::string small_json(const std::string& more = "") {
  return "{\"added_tokens\": [{\"id\": 6, \"content\": \"<s>\", \"special\": true, \"normalized\": false},"
         " {\"id\": 7, \"content\": \"</s>\", \"special\": true, \"normalized\": false}],"
         " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"decoder\": {\"type\": "
         "\"ByteLevel\"},"
         " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"\u0120\": 2, \"\u0120a\": 3, \"\u00c3\": "
         "4, \"\u00a9\": 5},"
         " \"merges\": [\"\u0120 a\"]}" +
         more + "}";
}
const std::string kTemplate =
    R"(, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
       "special_tokens": {"<s>": {"ids": [6]}}})";

TEST(TokenizerJson, EncodesAndDecodes) {
  const TemporaryFolder folder;
  const auto tokenizer = open_tokenizer(folder.write("tokenizer.json", small_json(kTemplate)));
  EXPECT_EQ(tokenizer->encode("a a<s>b\u00e9", true), (std::vector<int32_t>{6, 0, 3, 6, 1, 4, 5}));
  EXPECT_EQ(tokenizer->encode("a a", false), (std::vector<int32_t>{0, 3}));
  EXPECT_EQ(tokenizer->decode({6, 0, 3, 4, 5, 4}), "a a\u00e9\ufffd");
  EXPECT_EQ(tokenizer->vocab_size(), 8);
  EXPECT_EQ(tokenizer->piece(3), " a");
  EXPECT_EQ(tokenizer->piece(4), "<0xC3>");
  EXPECT_EQ(tokenizer->piece(7), "</s>");
  EXPECT_EQ(tokenizer->id_of("</s>"), 7);
  EXPECT_EQ(tokenizer->id_of("none"), std::nullopt);
  EXPECT_THROW(tokenizer->decode({8}), DataError);
  EXPECT_EQ(tokenizer->sha256(), sha256_file(folder / "tokenizer.json"));
}

TEST(TokenizerJson, TakesTheEndOfTextFromTheFilesBeside) {
  const TemporaryFolder folder;
  const auto path = folder.write("tokenizer.json", small_json());
  EXPECT_EQ(open_tokenizer(path)->end_of_document(), std::nullopt);
  folder.write("generation_config.json", R"({"eos_token_id": [6, 7]})");
  EXPECT_EQ(open_tokenizer(path)->end_of_document(), 6);
  folder.write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_EQ(open_tokenizer(path)->end_of_document(), 7);
}

TEST(TokenizerJson, TakesBosFromTheConfigurationOrTheTemplate) {
  const TemporaryFolder folder;
  const auto path = folder.write("tokenizer.json", small_json());
  EXPECT_EQ(open_tokenizer(path)->begin_of_document(), std::nullopt);
  folder.write("tokenizer.json", small_json(kTemplate));
  EXPECT_EQ(open_tokenizer(path)->begin_of_document(), 6);
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "</s>"}})");
  EXPECT_EQ(open_tokenizer(path)->begin_of_document(), 7);
  folder.write("tokenizer_config.json", R"({"bos_token": "<bos>"})");  // which the vocabulary lacks
  EXPECT_EQ(open_tokenizer(path)->begin_of_document(), std::nullopt);
  folder.write("tokenizer_config.json", R"({"bos_token": null})");
  EXPECT_EQ(open_tokenizer(path)->begin_of_document(), 6);
}

TEST(TokenizerJson, SaysWhichIsFollowedOfTwoThatDiffer) {
  const TemporaryFolder folder;
  const auto path = folder.write("tokenizer.json", small_json(kTemplate));
  folder.write("tokenizer_config.json", R"({"add_bos_token": false, "bos_token": "<s>"})");
  testing::internal::CaptureStderr();
  const auto ids = open_tokenizer(path)->encode("a", true);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("its post_processor adds the token of add_bos_token and is followed, though "
                        "tokenizer_config.json says false"));
  EXPECT_EQ(ids, (std::vector<int32_t>{6, 0}));
}

TEST(TokenizerJson, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& json) {
    return message_of<DataError>([&] { open_tokenizer(folder.write("tokenizer.json", json)); });
  };
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": []})";
  EXPECT_THAT(refused("{"), HasSubstr("tokenizer.json: got text that is not JSON"));
  EXPECT_THAT(refused("{}"), HasSubstr("tokenizer.json: got no key 'model'; need it"));
  EXPECT_THAT(
      refused(R"({"model": {"type": "WordPiece"}})"),
      HasSubstr("tokenizer.json: model.type: got \"WordPiece\", which evenkeel lacks; need one of: BPE, Unigram"));
  EXPECT_THAT(refused("{" + model + R"(, "normalizer": {"type": "Nmt"}})"),
              HasSubstr("normalizer.type: got \"Nmt\", which evenkeel lacks"));
  EXPECT_THAT(refused("{" + model + R"(, "added_tokens": [{"id": 5, "content": "x"}]})"),
              HasSubstr("added_tokens[0]: got id 5 for \"x\"; need 1, its place in or after the vocabulary"));
  EXPECT_THAT(
      refused("{" + model + R"(, "post_processor": {"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 9]}})"),
      HasSubstr("post_processor: got id 9; need ids below 1"));
  EXPECT_THAT(refused(R"({"model": )" + std::string(100'000, '[')), HasSubstr("nested deeper than 200"));
  EXPECT_THAT(refused("{\"model\": \"\xff\"}"), HasSubstr("got text that is not JSON"));
}

}  // namespace
}  // namespace evenkeel::data
