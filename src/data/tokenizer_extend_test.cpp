#include "data/tokenizer_extend.h"

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizer.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

const std::string kNew = "\u0436\u0443\u043a \u0436\u0443\u043a lokazem lokazem lokazem\n\nvelmizu velmizu velmizu\n";

std::string repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(TokenizerExtend, KeepsEveryOldPieceAndEncodesNewTextInFewerTokens) {
  for (const char* kind : {"unigram", "bpe"}) {
    const TemporaryFolder folder;
    const auto text = folder.write("new.txt", repeated(kNew, 5));
    const auto old = open_tokenizer(small_model(kind));
    const int64_t size = old->vocab_size() + 10;
    extend_tokenizer({small_model(kind), size}, {text}, folder / "out.model");
    const auto extended = open_tokenizer(folder / "out.model");
    EXPECT_EQ(extended->vocab_size(), size);
    for (int32_t id = 0; id < old->vocab_size(); ++id) ASSERT_EQ(extended->piece(id), old->piece(id)) << id;
    EXPECT_LT(2 * extended->encode(kNew, false).size(), old->encode(kNew, false).size()) << kind;
    EXPECT_EQ(extended->decode(extended->encode(kNew, false)), kNew);
    for (const auto& document : made_documents(50, 3))
      EXPECT_LE(extended->encode(document, false).size(), old->encode(document, false).size()) << document;
  }
}

TEST(TokenizerExtend, DoesNotDependOnTheThreads) {
  const TemporaryFolder folder;
  const auto text = folder.write("new.txt", joined(made_documents(300, 9), "\n"));
  const int64_t size = open_tokenizer(small_model())->vocab_size() + 40;
  for (const int64_t n_threads : {1, 3})
    extend_tokenizer({small_model(), size, n_threads}, {text}, folder / (std::to_string(n_threads) + ".model"));
  EXPECT_EQ(sha256_file(folder / "1.model"), sha256_file(folder / "3.model"));
}

TEST(TokenizerExtend, TheInputsKindDoesNotMatter) {
  const TemporaryFolder folder;
  const auto text = folder.write("new.txt", "lokazem lokazem\nlokazem\n");
  const auto records = folder.write("new.jsonl", "{\"text\": \"lokazem lokazem\\nlokazem\"}\n");
  const int64_t size = open_tokenizer(small_model())->vocab_size() + 2;
  extend_tokenizer({small_model(), size}, {text}, folder / "text.model");
  extend_tokenizer({small_model(), size}, {records}, folder / "records.model");
  EXPECT_EQ(sha256_file(folder / "text.model"), sha256_file(folder / "records.model"));
}

TEST(TokenizerExtend, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const auto text = folder.write("new.txt", "lokazem lokazem\n");
  const int64_t size = open_tokenizer(small_model())->vocab_size();
  const auto refused = [&](int64_t vocab_size, const fs::path& input, const std::string& out) {
    try {
      extend_tokenizer({small_model(), vocab_size}, {input}, folder / out);
    } catch (const std::exception& error) {
      EXPECT_FALSE(fs::exists(folder / "out.model"));
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(refused(size, text, "out.model"),
              HasSubstr("--vocab-size: got " + std::to_string(size) + "; need more than the " + std::to_string(size)));
  EXPECT_THAT(refused(INT64_C(1) << 31, text, "out.model"), HasSubstr("need at most 2147483647"));
  EXPECT_THAT(refused(size + 500, text, "out.model"), HasSubstr("; need at most "));
  EXPECT_THAT(refused(size + 500, folder.write("empty.txt", "\n\n"), "out.model"), HasSubstr("got no text in 1 input"));
  EXPECT_THAT(refused(size + 1, text, "new.txt"), HasSubstr("is the input"));
  folder.write("foreign.model", "mine");
  EXPECT_THAT(refused(size + 1, text, "foreign.model"), HasSubstr("evenkeel did not write"));
}

}  // namespace
}  // namespace evenkeel::data
