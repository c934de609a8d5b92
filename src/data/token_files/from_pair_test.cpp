#include "data/token_files/from_pair.h"

#include "core/errors.h"
#include "core/file_io.h"
#include "data/token_files/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FromPairTest : public testing::Test {
 protected:
  FromPairTest() { write({{5, 70'000, 0}, {7, 0}}, 100'000); }
  void write(const std::vector<std::vector<int32_t>>& documents, int64_t vocabulary) {
    IndexedDatasetWriter writer(folder_ / "en", vocabulary);
    for (const auto& ids : documents) writer.add_document(ids);
    writer.commit();
  }
  WrittenTokens convert(const std::string& name, const FromPairOptions& options = {}) {
    return pair_to_tokens(folder_ / "en", folder_ / name, options);
  }
  template <class E>
  std::string refusal(const std::string& name, const FromPairOptions& options = {}) {
    const auto before = folder_.names();
    const std::string message = message_of<E>([&] { convert(name, options); });
    EXPECT_EQ(folder_.names(), before);
    return message;
  }
  TemporaryFolder folder_;
};

TEST_F(FromPairTest, WritesEveryKind) {
  const auto ids = bytes_of<uint32_t>({5, 70'000, 0, 7, 0});
  EXPECT_EQ(convert("a.npy").n_tokens, 5);
  EXPECT_EQ(read_file(folder_ / "a.npy"), npy_start("<u4", "(5,)") + ids);
  convert("b.bin", {"llmc", {}});
  EXPECT_EQ(read_file(folder_ / "b.bin"), llmc_start(20240801, 7, 5) + ids);
  convert("c.bin", {"raw", TokenType::i64});
  EXPECT_EQ(read_file(folder_ / "c.bin"), bytes_of<int64_t>({5, 70'000, 0, 7, 0}));
  convert("d.npy", {"raw", TokenType::i32});  // what is said goes before what the suffix means
  EXPECT_EQ(read_file(folder_ / "d.npy"), bytes_of<int32_t>({5, 70'000, 0, 7, 0}));
}

TEST_F(FromPairTest, TakesTheNarrowestTypeOfTheTwo) {
  EXPECT_EQ(convert("a.npy").type, TokenType::u32);
  write({{65'535}}, 100'000);
  EXPECT_EQ(convert("b.npy").type, TokenType::u16);
  write({{65'536}}, 100'000);
  EXPECT_EQ(convert("c.npy").type, TokenType::u32);
}

TEST_F(FromPairTest, RefusesATypeThatDoesNotHoldTheIds) {
  EXPECT_THAT(refusal<DataError>("a.npy", {"", TokenType::u16}),
              HasSubstr("en.bin: got id 70000 at token 1; need 0..65535 for ids of u16"));
  EXPECT_THAT(refusal<DataError>("a.npy", {"", TokenType::u8}), HasSubstr("need 0..255 for ids of u8"));
  EXPECT_THAT(refusal<ConfigError>("a.bin", {"llmc", TokenType::i32}), HasSubstr("--dtype: got i32"));
}

TEST_F(FromPairTest, NeedsToKnowTheKindAndTheType) {
  EXPECT_THAT(refusal<ConfigError>("a.bin"), HasSubstr("need --to with one of: npy, llmc, raw"));
  EXPECT_THAT(refusal<ConfigError>("a"), HasSubstr("need --to with"));
  EXPECT_THAT(refusal<ConfigError>("a.bin", {"parquet", {}}),
              HasSubstr("--to: got 'parquet'; need one of: npy, llmc, raw"));
  EXPECT_THAT(refusal<ConfigError>("a.bin", {"raw", {}}), HasSubstr("--to raw: got no --dtype"));
}

TEST_F(FromPairTest, RefusesAnEmptyPair) {
  write({}, 100);
  EXPECT_THAT(refusal<DataError>("a.npy"), HasSubstr("en: got a pair without tokens; need some"));
}

TEST_F(FromPairTest, ReplacesNothing) {
  EXPECT_THAT(refusal<ConfigError>("en.bin", {"llmc", {}}), HasSubstr("en.bin"));
  folder_.write("a.npy", "mine");
  EXPECT_THAT(refusal<ConfigError>("a.npy"), HasSubstr("a.npy: got a file that evenkeel did not write"));
  EXPECT_EQ(read_file(folder_ / "a.npy"), "mine");
}

// More tokens than a piece: what is read back is what the pair holds.
TEST_F(FromPairTest, WritesPieceByPiece) {
  std::vector<int32_t> ids(1'200'001);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 60'013);
  write({ids}, 100'000);
  convert("a.npy");
  const TokenFile file(folder_ / "a.npy", std::nullopt);
  EXPECT_EQ(file.layout().type, TokenType::u16);
  EXPECT_TRUE(ids_of(file) == ids);
}

}  // namespace
}  // namespace evenkeel::data
