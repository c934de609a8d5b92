#include "data/conversations/conversation_encoder.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Letters and line ends, of which two are one token; a space in front of any text with `prefix`.
fs::path made_tokenizer(const TemporaryFolder& folder, const std::string& prefix) {
  Json vocab = Json::object();
  for (const char* token : {"\n", "\n\n", "_", "_h", ":"})
    vocab[token] = static_cast<int64_t>(vocab.is_null() ? 0 : vocab.size());
  for (char c = 'a'; c <= 'z'; ++c) vocab[std::string(1, c)] = static_cast<int64_t>(vocab.size());
  const auto n = static_cast<int64_t>(vocab.size());
  Json added = Json::array();
  for (const char* token : {"<|im_start|>", "<|im_end|>", "<eos>", "<bos>"})
    added.push_back(Json::Object{
        {"id", n + static_cast<int64_t>(added.is_null() ? 0 : added.size())}, {"content", token}, {"special", true}});
  Json document = Json::object();
  document["added_tokens"] = added;
  if (!prefix.empty()) document["normalizer"] = Json::Object{{"type", "Prepend"}, {"prepend", prefix}};
  document["model"] = Json::Object{
      {"type", "BPE"}, {"vocab", vocab}, {"merges", Json::Array{Json::Array{"\n", "\n"}, Json::Array{"_", "h"}}}};
  return folder.write("tokenizer.json", document.dump());
}

class ConversationEncoderTest : public testing::Test {
 protected:
  // "h i" for ids that are not scored, "«h»" for those that are.
  std::string encoded(const std::string& name, const std::string& messages) {
    const ConversationEncoder encoder(*tokenizer_, chat_template_named(name), frame_);
    const auto out = encoder.encode(encoder.document(Json::parse(messages, "test")));
    EXPECT_EQ(out.ids.size(), out.scored.size());
    std::string shown;
    for (size_t i = 0; i < out.ids.size(); ++i) {
      std::string piece = tokenizer_->piece(out.ids[i]);
      for (size_t at = 0; (at = piece.find('\n')) != piece.npos;) piece.replace(at, 1, "\\");
      shown += (shown.empty() ? "" : " ") + (out.scored[i] != 0 ? "«" + piece + "»" : piece);
    }
    text_bytes_ = out.text_bytes;
    return shown;
  }
  void open(const std::string& prefix) {
    tokenizer_ = open_tokenizer(made_tokenizer(folder_, prefix));
    frame_.eod = tokenizer_->id_of("<eos>");
  }
  TemporaryFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Frame frame_;
  int64_t text_bytes_ = 0;
};

const char* const kTalk = R"([{"role": "user", "content": "h"}, {"role": "assistant", "content": "hi"}])";

TEST_F(ConversationEncoderTest, ScoresTheAnswerAndItsEnd) {
  open("");
  EXPECT_EQ(encoded("chatml", kTalk),
            "<|im_start|> u s e r \\ h <|im_end|> \\ <|im_start|> a s s i s t a n t \\ «h» «i» «<|im_end|>» \\ <eos>");
  EXPECT_EQ(text_bytes_, 6 + 1 + 10 + 2 + 1);  // "user\nh", "\n", "assistant\n", "hi", "\n"
  EXPECT_EQ(encoded("plain", kTalk), "u s e r : \\ h \\ a s s i s t a n t : \\ «h» «i» «<eos>»");
  frame_.bos = tokenizer_->id_of("<bos>");
  EXPECT_THAT(encoded("plain", kTalk), testing::StartsWith("<bos> u s e r"));
}

TEST_F(ConversationEncoderTest, EndsADocumentOnce) {
  open("");
  EXPECT_THAT(encoded("plain", R"([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}])"),
              testing::EndsWith("«a» «<eos>» \\ u s e r : \\ b <eos>"));
  frame_.eod = std::nullopt;
  EXPECT_THAT(encoded("chatml", kTalk), testing::EndsWith("«<|im_end|>» \\"));
  EXPECT_THAT(message_of<DataError>([&] { encoded("plain", kTalk); }), HasSubstr("--template plain: got --eod none"));
}

TEST_F(ConversationEncoderTest, NoTokenSpansTheBeginningOfAnAnswer) {
  const char* const talk = R"([{"role": "user", "content": "\nh"}, {"role": "assistant", "content": "\nh"}])";
  open("");
  EXPECT_EQ(
      encoded("chatml", talk),
      "<|im_start|> u s e r \\\\ h <|im_end|> \\ <|im_start|> a s s i s t a n t \\ «\\» «h» «<|im_end|>» \\ <eos>");
  open("_");  // what goes on has no space in front, what stands behind a control token has one
  EXPECT_EQ(encoded("chatml", talk),
            "<|im_start|> _ u s e r \\\\ h <|im_end|> _ \\ <|im_start|> _ a s s i s t a n t \\ «\\» «h» «<|im_end|>» _ "
            "\\ <eos>");
}

TEST_F(ConversationEncoderTest, AContentIsText) {
  open("");
  const auto control = *tokenizer_->id_of("<|im_end|>");
  EXPECT_THAT(tokenizer_->encode("h<|im_end|>", false), testing::Contains(control));
  EXPECT_THAT(tokenizer_->encode_text("h<|im_end|>", true), testing::Not(testing::Contains(control)));
  const auto talk = R"([{"role": "assistant", "content": "i<|im_end|>m"}])";
  EXPECT_EQ(encoded("chatml", talk),
            "<|im_start|> a s s i s t a n t \\ «i» «i» «m» «_» «e» «n» «d» «m» «<|im_end|>» \\ <eos>");
}

TEST_F(ConversationEncoderTest, RefusesATokenizerWithoutTheTokens) {
  open("");
  EXPECT_THAT(message_of<DataError>([&] { encoded("llama3", kTalk); }),
              HasSubstr("tokenizer.json, which has no token '<|begin_of_text|>'"));
  EXPECT_THAT(message_of<DataError>([&] { encoded("chatml", R"([{"role": "user", "content": "h"}])"); }),
              HasSubstr("got a conversation without a message of the assistant"));
}

}  // namespace
}  // namespace evenkeel::data
