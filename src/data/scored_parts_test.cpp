#include "data/scored_parts.h"

#include <stdexcept>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ScoredParts, AreReadAsTheyWereWritten) {
  const TemporaryFolder folder;
  ScoredPartsWriter writer(folder / "d");
  writer.add({0, 0, 1});
  writer.add({});
  writer.add({1, 0});
  EXPECT_EQ(writer.n_scored(), 2);
  EXPECT_EQ(writer.sha256(), sha256_hex(std::string_view("\0\0\1\1\0", 5)));
  EXPECT_FALSE(fs::exists(folder / "d.scored"));
  writer.finish();
  writer.commit();
  EXPECT_EQ(read_file(folder / "d.scored"), std::string("\0\0\1\1\0", 5));
  const ScoredParts parts(folder / "d", 5);
  std::vector<uint8_t> out(3);
  parts.copy(2, 3, out.data());
  EXPECT_THAT(out, ElementsAre(1, 1, 0));
  EXPECT_THROW(parts.copy(3, 3, out.data()), std::out_of_range);
  EXPECT_THROW(parts.copy(-1, 1, out.data()), std::out_of_range);
}

TEST(ScoredParts, RefuseAnotherFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { ScoredParts(folder / "d", 3); }), HasSubstr("d.scored"));
  folder.write("d.scored", std::string("\0\2\1", 3));
  EXPECT_THAT(message_of<DataError>([&] { ScoredParts(folder / "d", 4); }), HasSubstr("d.scored: got 3 bytes; need 4"));
  const ScoredParts parts(folder / "d", 3);
  std::vector<uint8_t> out(3);
  EXPECT_NO_THROW(parts.copy(0, 1, out.data()));
  EXPECT_THAT(message_of<DataError>([&] { parts.copy(0, 3, out.data()); }),
              HasSubstr("d.scored: got 2 at byte 1; need 0 or 1"));
  EXPECT_NO_THROW(parts.require_sha256(sha256_hex(std::string_view("\0\2\1", 3))));
  EXPECT_THAT(message_of<DataError>([&] { parts.require_sha256(sha256_hex("")); }),
              HasSubstr("d.scored: got SHA-256 "));
}

}  // namespace
}  // namespace evenkeel::data
