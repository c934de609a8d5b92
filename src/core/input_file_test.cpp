#include "core/input_file.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

TEST(InputFile, SaysWhereAFileEnds) {
  const testing::TemporaryFolder folder;
  const InputFile file(folder.write("f", "abcdef"));
  std::string out(3, ' ');
  EXPECT_TRUE(file.read(3, out.data(), 3));
  EXPECT_EQ(out, "def");
  EXPECT_FALSE(file.read(4, out.data(), 3));
  EXPECT_EQ(file.read_up_to(4, out.data(), 3), 2u);
  EXPECT_EQ(out, "eff");
  EXPECT_EQ(file.read_up_to(9, out.data(), 3), 0u);
  EXPECT_EQ(file.size_bytes(), 6);
}

TEST(InputFile, MayGrow) {
  const testing::TemporaryFolder folder;
  const InputFile file(folder.write("f", "ab"));
  std::ofstream(file.path(), std::ios::app) << "cd";
  std::string out(4, ' ');
  EXPECT_EQ(file.size_bytes(), 4);
  EXPECT_TRUE(file.read(0, out.data(), 4));
  EXPECT_EQ(out, "abcd");
}

TEST(InputFile, RefusesWhatIsNoFile) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(InputFile(folder / "absent"), DataError);
  EXPECT_THROW(InputFile(folder.path()), DataError);
}

}  // namespace
}  // namespace evenkeel
