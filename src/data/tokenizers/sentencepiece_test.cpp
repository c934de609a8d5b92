#include "data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

namespace spm = sentencepiece;
using testing::HasSubstr;

// Text that tokenizers like to change.
const std::vector<std::string> kTexts = {
    "",
    " ",
    "  two  spaces  ",
    "line\nline\n\n\nline\n",
    "\n",
    "tab\t\ttab\r\nCRLF\r",
    "kalo mi tan.",
    "<s></s><unk><0x0A>",
    "e\u0301 \u00e9 \ufb01 \u2460 \u3000 \u00a0 \u200d",
    "\u4f60\u597d \u0645\u0631\u062d\u0628\u0627 \U0001f600\U0001f468\u200d\U0001f469",
    "\u2585 \ufffd \ufeff",
    std::string("nul\0nul", 7),
    "123456 7.8e-9 $x_{i}^2$ \\frac{a}{b}",
};

TEST(SentencePieceTokenizer, RoundTripsEveryText) {
  for (const std::string kind : {"unigram", "bpe"}) {
    const auto tokenizer = open_tokenizer(small_model(kind));
    for (const auto& text : kTexts) EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true)), text) << kind;
    const std::string all = joined(kTexts, "\n") + joined(made_documents(200, 9), "\n\n");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(all, false)), all) << kind;
  }
}

TEST(SentencePieceTokenizer, KnowsItsPieces) {
  for (const std::string kind : {"unigram", "bpe"}) {
    const auto path = small_model(kind);
    const auto tokenizer = open_tokenizer(path);
    EXPECT_EQ(tokenizer->vocab_size(), 400);
    EXPECT_EQ(tokenizer->id_of("<unk>"), 0);
    EXPECT_EQ(tokenizer->id_of("<s>"), 1);
    EXPECT_EQ(tokenizer->id_of("</s>"), 2);
    EXPECT_EQ(tokenizer->id_of("\n"), 3);
    EXPECT_EQ(tokenizer->id_of("no such piece"), std::nullopt);
    EXPECT_EQ(tokenizer->begin_of_document(), 1);
    EXPECT_EQ(tokenizer->end_of_document(), 2);
    EXPECT_EQ(tokenizer->sha256(), sha256_file(path));
  }
}

TEST(SentencePieceTokenizer, GivesOneTokenPerLineEndAndNoSpecialOnes) {
  const auto tokenizer = open_tokenizer(small_model());
  EXPECT_EQ(tokenizer->encode("\n\n\n", true), (std::vector<int32_t>{3, 3, 3}));
  for (const auto& text : kTexts)
    for (const int32_t id : tokenizer->encode(text, true)) EXPECT_GE(id, 3) << text;  // unknown, BOS and EOS never
  EXPECT_EQ(tokenizer->encode("ka lo", true), tokenizer->encode("ka lo", false));
}

TEST(SentencePieceTokenizer, FollowsTheConfigurationBesideIt) {
  const TemporaryFolder folder;
  fs::copy(small_model(), folder / "tokenizer.model");
  const auto plain = open_tokenizer(folder / "tokenizer.model")->encode("ka lo", true);
  folder.write("tokenizer_config.json", R"({"add_bos_token": true, "add_eos_token": true})");
  const auto tokenizer = open_tokenizer(folder / "tokenizer.model");
  auto need = plain;
  need.insert(need.begin(), 1);
  need.push_back(2);
  EXPECT_EQ(tokenizer->encode("ka lo", true), need);
  EXPECT_EQ(tokenizer->encode("ka lo", false), plain);
}

TEST(SentencePieceTokenizer, RefusesWhatIsNoTextAndNoId) {
  const auto tokenizer = open_tokenizer(small_model());
  EXPECT_THAT(message_of<DataError>([&] { tokenizer->encode("ab\xff", false); }),
              HasSubstr("at byte 3, which is no UTF-8"));
  EXPECT_THAT(message_of<DataError>([&] { tokenizer->decode({3, 400}); }), HasSubstr("got id 400; need 0..399"));
  EXPECT_THROW(tokenizer->decode({-1}), DataError);
}

TEST(SentencePieceTokenizer, GivesTheIdsOfTheLibrary) {
  const std::string text = joined(made_documents(20, 11), "\n\n");
  spm::SentencePieceProcessor processor;
  for (const std::string kind : {"unigram", "bpe"}) {
    ASSERT_TRUE(processor.LoadFromSerializedProto(read_file(small_model(kind))).ok());
    EXPECT_EQ(open_tokenizer(small_model(kind))->encode(text, false), processor.EncodeAsIds(text)) << kind;
  }
}

TEST(SentencePieceTokenizer, FollowsModelsThatChangeSpacesAndHaveNoEnd) {
  const TemporaryFolder folder;
  const auto input = folder.write("a.txt", joined(made_documents(300), "\n"));
  const std::string prefix = (folder / "foreign").string();
  ASSERT_TRUE(spm::SentencePieceTrainer::Train({{"input", input.string()},
                                                {"model_prefix", prefix},
                                                {"vocab_size", "350"},
                                                {"byte_fallback", "true"},
                                                {"user_defined_symbols", "\n"},
                                                {"bos_id", "-1"},
                                                {"eos_id", "-1"},
                                                {"minloglevel", "2"}})
                  .ok());
  const auto tokenizer = open_tokenizer(prefix + ".model");
  spm::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.Load(prefix + ".model").ok());
  const std::string text = "ka lo\n mi  tan \nsu";
  EXPECT_EQ(tokenizer->encode(text, false), processor.EncodeAsIds(text));
  EXPECT_EQ(tokenizer->encode(text, false)[0], processor.EncodeAsIds(" ka")[0]);  // the space that it puts in front
  EXPECT_EQ(tokenizer->encode_text(text, true), processor.EncodeAsIds(text));
  // Behind something else the same model puts none there.
  std::vector<int32_t> after = tokenizer->encode("\nka", false), line_end = tokenizer->encode("\n", false);
  EXPECT_EQ(std::vector<int32_t>(after.begin() + static_cast<std::ptrdiff_t>(line_end.size()), after.end()),
            tokenizer->encode_text("ka", false));
  EXPECT_NE(tokenizer->encode_text("ka", false), tokenizer->encode_text("ka", true));
  EXPECT_EQ(tokenizer->begin_of_document(), std::nullopt);
  EXPECT_EQ(tokenizer->end_of_document(), std::nullopt);
}

TEST(SentencePieceTokenizer, PiecesShowTheirSpacesAndBytes) {
  // A model as Llama's: a space in front of a text, which decoding drops again, and bytes for unknown characters.
  const TemporaryFolder folder;
  const auto input = folder.write("a.txt", joined(made_documents(300), "\n"));
  const std::string prefix = (folder / "foreign").string();
  ASSERT_TRUE(spm::SentencePieceTrainer::Train({{"input", input.string()},
                                                {"model_prefix", prefix},
                                                {"vocab_size", "350"},
                                                {"byte_fallback", "true"},
                                                {"user_defined_symbols", "ka,\u2581ka"},
                                                {"minloglevel", "2"}})
                  .ok());
  const auto tokenizer = open_tokenizer(prefix + ".model");
  const auto inner = tokenizer->id_of("ka"), first = tokenizer->id_of("\u2581ka"), byte = tokenizer->id_of("<0xE2>"),
             start = tokenizer->id_of("<s>");
  ASSERT_TRUE(inner && first && byte && start);
  EXPECT_EQ(tokenizer->decode({*first}), tokenizer->decode({*inner}));  // why a piece is not what it decodes to
  EXPECT_EQ(tokenizer->piece(*inner), "ka");
  EXPECT_EQ(tokenizer->piece(*first), " ka");
  EXPECT_EQ(tokenizer->piece(*byte), "<0xE2>");
  EXPECT_EQ(tokenizer->piece(*start), "<s>");
  EXPECT_THROW(tokenizer->piece(-1), DataError);
  EXPECT_THROW(tokenizer->piece(350), DataError);
  const auto own = open_tokenizer(small_model());  // spaces and line ends are kept
  EXPECT_EQ(own->piece(3), "\n");
  for (int32_t id = 4 + 256; id < own->vocab_size(); ++id) EXPECT_EQ(own->piece(id), own->decode({id}));
}

// Words of a long line are cut from each other, which makes no difference: the ids are those of the words one by one.
TEST(SentencePieceTokenizer, CutsLongLinesAtWords) {
  const auto tokenizer = open_tokenizer(small_model("bpe"));
  std::string line;
  std::vector<int32_t> need;
  for (int64_t i = 0; line.size() < (size_t{5} << 20) / 2; ++i) {
    const std::string word =
        (i % 7 == 3 ? "  " : " ") + std::string(i % 3 == 0 ? "katan" : "velqu\u00e9") + std::to_string(i % 1000);
    const auto ids = tokenizer->encode(word, false);
    line += word;
    need.insert(need.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(tokenizer->encode(line, false), need);
}

TEST(SentencePieceTokenizer, LeavesModelsOfCharactersToTheLibrary) {
  const TemporaryFolder folder;
  const auto input = folder.write("a.txt", joined(made_documents(30), "\n"));
  const std::string prefix = (folder / "foreign").string();
  ASSERT_TRUE(spm::SentencePieceTrainer::Train({{"input", input.string()},
                                                {"model_prefix", prefix},
                                                {"model_type", "char"},
                                                {"vocab_size", "60"},
                                                {"minloglevel", "2"}})
                  .ok());
  const auto tokenizer = open_tokenizer(prefix + ".model");
  spm::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.Load(prefix + ".model").ok());
  EXPECT_EQ(tokenizer->encode("ka lo\n  mi", false), processor.EncodeAsIds("ka lo\n  mi"));
  EXPECT_THAT(message_of<DataError>([&] { tokenizer->encode(std::string((size_t{1} << 25) + 1, 'x'), false); }),
              HasSubstr("text: got 33554433 bytes of text, from \"xxx"));
}

TEST(OpenTokenizer, RefusesWhatIsNoModel) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(folder / "none.model"); }),
              HasSubstr("none.model: got no such file"));
  for (const std::string& bytes :
       std::vector<std::string>{"", "plain text", std::string(1000, '\0'), std::string(64, '\xff')}) {
    const auto path = folder.write("t.model", bytes);
    EXPECT_THAT(message_of<DataError>([&] { open_tokenizer(path); }), HasSubstr("that are no SentencePiece model"))
        << bytes;
  }
}

TEST(OpenTokenizer, NeverCrashesOnATruncatedModel) {
  const TemporaryFolder folder;
  const std::string model = read_file(small_model());
  for (size_t size = 0; size < model.size(); size += size < 64 ? 1 : 97) {
    const auto path = folder.write("t.model", model.substr(0, size));
    try {
      open_tokenizer(path)->encode("ka lo\n", false);  // a cut between two pieces leaves a smaller model
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace evenkeel::data
