#include "data/token_files/to_pair.h"

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Documents = std::vector<std::vector<int64_t>>;
using Paths = std::vector<fs::path>;

class ToPairTest : public testing::Test {
 protected:
  fs::path npy(const std::string& name, const std::vector<uint16_t>& ids) {
    return folder_.write(name, npy_start("<u2", "(" + std::to_string(ids.size()) + ",)") + bytes_of(ids));
  }
  fs::path llmc(const std::string& name, const std::vector<uint16_t>& ids) {
    return folder_.write(name, llmc_start(20240520, 1, static_cast<int32_t>(ids.size())) + bytes_of(ids));
  }
  Converted convert(const Paths& inputs, const ToPairOptions& options = {}) {
    return tokens_to_pair(inputs, folder_ / "out", options);
  }
  Documents documents() { return documents_of_pair(folder_ / "out"); }
  // The message of the refusal, after which nothing new is there.
  template <class E>
  std::string refusal(const Paths& inputs, const ToPairOptions& options = {}) {
    const auto before = folder_.names();
    const std::string message = message_of<E>([&] { convert(inputs, options); });
    EXPECT_EQ(folder_.names(), before);
    return message;
  }
  static ToPairOptions with_eod(int64_t eod, std::optional<DocumentMark> mark = {}) {
    ToPairOptions out;
    out.eod = eod;
    out.mark = mark;
    return out;
  }
  TemporaryFolder folder_;
};

TEST_F(ToPairTest, AFileIsADocumentWhereNoIdSetsThemApart) {
  const auto made = convert({npy("b.npy", {3, 0, 4}), npy("a.npy", {5})});
  EXPECT_EQ(documents(), (Documents{{3, 0, 4}, {5}}));
  EXPECT_EQ(made.description, read_json(folder_ / "out.json"));
  EXPECT_EQ(made.description.at("documents_by").as_string(), "none");
  EXPECT_THAT(made.warnings, IsEmpty());
}

TEST_F(ToPairTest, CutsAsTheWritersOfTheKindDo) {
  convert({npy("a.npy", {1, 0, 2, 0})}, with_eod(0));
  EXPECT_EQ(documents(), (Documents{{1, 0}, {2, 0}}));
  convert({llmc("a.bin", {0, 1, 0, 2})}, with_eod(0));
  EXPECT_EQ(documents(), (Documents{{0, 1}, {0, 2}}));
  const auto made = convert({npy("a.npy", {0, 1, 0, 2})}, with_eod(0, DocumentMark::begins));
  EXPECT_EQ(documents(), (Documents{{0, 1}, {0, 2}}));
  EXPECT_EQ(made.description.at("documents_by").as_string(), "begins");
}

TEST_F(ToPairTest, FilesOfSeveralTrainersNeedAWord) {
  const Paths inputs = {npy("a.npy", {1, 0}), llmc("b.bin", {0, 2})};
  EXPECT_THAT(refusal<ConfigError>(inputs, with_eod(0)), HasSubstr("need ends or begins"));
  convert(inputs, with_eod(0, DocumentMark::ends));
  EXPECT_EQ(documents(), (Documents{{1, 0}, {0}, {2}}));
  convert(inputs);  // without an id there is nothing to decide
  EXPECT_EQ(documents(), (Documents{{1, 0}, {0, 2}}));
}

TEST_F(ToPairTest, WarnsWhereTheIdStandsAtTheOtherEnd) {
  EXPECT_THAT(convert({npy("a.npy", {0, 1, 0, 2})}, with_eod(0)).warnings,
              ElementsAre("the stream begins with id 0 and was cut as if each document ends with it; is it --documents "
                          "begins?"));
  EXPECT_THAT(convert({llmc("a.bin", {1, 0, 2, 0})}, with_eod(0)).warnings,
              ElementsAre(HasSubstr("is it --documents ends?")));
  EXPECT_THAT(convert({npy("a.npy", {0, 1, 0})}, with_eod(0)).warnings, IsEmpty());
  EXPECT_THAT(convert({npy("a.npy", {1, 0, 2})}, with_eod(0)).warnings, IsEmpty());  // the last document is cut
}

TEST_F(ToPairTest, DescribesWhatItRead) {
  const auto path = npy("a.npy", {1, 0, 2, 0});
  const Json made = convert({path}, with_eod(0)).description;
  EXPECT_EQ(made.at("tokens").as_int(), 4);
  EXPECT_EQ(made.at("documents").as_int(), 2);
  EXPECT_EQ(made.at("sequences").as_int(), 2);
  EXPECT_EQ(made.at("eod").as_int(), 0);
  for (const char* key : {"bytes", "tokenizer", "tokenizer_sha256", "vocab_size"})
    EXPECT_TRUE(made.at(key).is_null()) << key;
  const Json& input = made.at("inputs").at(size_t{0});
  EXPECT_EQ(input.at("path").as_string(), path.string());
  EXPECT_EQ(input.at("bytes").as_int(), 128 + 8);
  EXPECT_EQ(input.at("sha256").as_string(), sha256_file(path));
  EXPECT_EQ(IndexedDataset::open(folder_ / "out").text_bytes(), 0);
}

TEST_F(ToPairTest, KnowsTheVocabularyOfTheTokenizer) {
  const auto tokenizer = open_tokenizer(small_model());
  ToPairOptions options;
  options.tokenizer = tokenizer.get();
  const Json made = convert({npy("a.npy", {1, 2})}, options).description;
  EXPECT_EQ(made.at("vocab_size").as_int(), tokenizer->vocab_size());
  EXPECT_EQ(made.at("tokenizer").as_string(), fs::proximate(small_model(), folder_ / "").string());
  EXPECT_EQ(made.at("tokenizer_sha256").as_string(), tokenizer->sha256());
  EXPECT_THAT(refusal<DataError>({npy("a.npy", {1, 60000})}, options), HasSubstr("got id 60000 at token 1; need 0.."));
  options.vocab_size = 9;
  EXPECT_THAT(refusal<ConfigError>({npy("a.npy", {1})}, options), HasSubstr("--vocab-size: got one beside"));
}

TEST_F(ToPairTest, RefusesIdsOutsideTheVocabulary) {
  ToPairOptions options;
  options.vocab_size = 5;
  EXPECT_THAT(refusal<DataError>({npy("a.npy", {4}), npy("b.npy", {4, 5})}, options),
              HasSubstr("b.npy: got id 5 at token 1; need 0..4 (vocab_size 5)"));
  const auto raw = [&](int64_t id) { return folder_.write("c.bin", bytes_of<int64_t>({7, id})); };
  ToPairOptions wide;
  wide.dtype = TokenType::i64;
  EXPECT_THAT(refusal<DataError>({raw(-1)}, wide), HasSubstr("c.bin: got id -1 at token 1; need 0..2147483647"));
  EXPECT_THAT(refusal<DataError>({raw(INT64_C(1) << 31)}, wide), HasSubstr("got id 2147483648 at token 1"));
  convert({raw((INT64_C(1) << 31) - 1)}, wide);
  EXPECT_EQ(documents(), (Documents{{7, (INT64_C(1) << 31) - 1}}));
}

TEST_F(ToPairTest, RefusesAnIdThatSetsNothingApart) {
  const auto path = npy("a.npy", {1, 2, 9});
  EXPECT_THAT(refusal<DataError>({path}, with_eod(0)), HasSubstr("--eod: got id 0, which stands nowhere"));
  EXPECT_THAT(refusal<ConfigError>({path}, with_eod(10)), HasSubstr("--eod: got id 10; need 0..9, the largest id"));
  EXPECT_THAT(refusal<ConfigError>({path}, with_eod(9, DocumentMark::none)),
              HasSubstr("--documents: got none beside --eod 9"));
  ToPairOptions options;
  options.mark = DocumentMark::ends;
  EXPECT_THAT(refusal<ConfigError>({path}, options), HasSubstr("--documents: got ends without an id; need --eod ID"));
}

TEST_F(ToPairTest, RefusesNothing) {
  EXPECT_THAT(refusal<ConfigError>({}), HasSubstr("got no input"));
  EXPECT_THAT(refusal<DataError>({npy("a.npy", {}), llmc("b.bin", {})}), HasSubstr("a.npy: got no tokens in 2 inputs"));
  convert({npy("a.npy", {}), npy("c.npy", {3})});
  EXPECT_EQ(documents(), (Documents{{3}}));
}

TEST_F(ToPairTest, RefusesANameThatIsNoPrefix) {
  const auto path = npy("a.npy", {1});
  for (const std::string suffix : {".npy", ".bin", ".idx", ".json"})
    EXPECT_THAT(message_of<ConfigError>([&] { tokens_to_pair({path}, folder_ / ("b" + suffix), {}); }),
                HasSubstr("need its PREFIX, as in " + (folder_ / "b").string()));
  folder_.write("own.bin", bytes_of<uint16_t>({1}));
  ToPairOptions options;
  options.dtype = TokenType::u16;
  EXPECT_THAT(message_of<ConfigError>([&] { tokens_to_pair({folder_ / "own.bin"}, folder_ / "own", options); }),
              HasSubstr("own.bin"));
  EXPECT_THAT(folder_.names(), ElementsAre("a.npy", "own.bin"));
}

TEST_F(ToPairTest, TellsWhatItRead) {
  const auto windows = folder_.write("w.npy", npy_start("<u2", "(2, 2)") + bytes_of<uint16_t>({1, 2, 3, 0}));
  const auto said = convert({npy("a.npy", {4, 0, 1}), windows}, with_eod(0)).sentences;
  EXPECT_THAT(
      said,
      ElementsAre("read 2 inputs: 2 of npy (u16)", "1 input with windows, 2 in all: one after another, in their order",
                  "each document ends with id 0, as such files have it (--documents says otherwise)",
                  "1 input in the middle of a document: it goes on from the input before",
                  "without --tokenizer the pair does not say whose ids they are", HasSubstr("tokens in 2 documents")));
}

}  // namespace
}  // namespace evenkeel::data
