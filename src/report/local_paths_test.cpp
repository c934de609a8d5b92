#include "report/local_paths.h"

#include <gtest/gtest.h>

namespace evenkeel::report {
namespace {

TEST(WithoutFolders, CutsAbsolutePathsAndNothingElse) {
  const Json json = Json::parse(R"({"path":"/home/me/data/en","/key":["data/de","/","//","/en/",3,null,"a /b"]})", "t");
  EXPECT_EQ(without_folders(json).dump(), R"({"path":"en","/key":["data/de","/","","en",3,null,"a /b"]})");
}

TEST(WithoutFoldersIn, CutsTheQuotedStringsOfARecipe) {
  EXPECT_EQ(
      without_folders_in("data = [{name = \"en\", path = \"/home/me/en\"}, {path = '/x/de'}]\nfrom = \"../runs/a\"\n"),
      "data = [{name = \"en\", path = \"en\"}, {path = 'de'}]\nfrom = \"../runs/a\"\n");
  EXPECT_EQ(without_folders_in("# the reader's /home/me\npath = \"/a/b\"\n"),
            "# the reader's /home/me\npath = \"b\"\n");
  EXPECT_EQ(without_folders_in("torn = \"/a/b"), "torn = \"/a/b");
  EXPECT_EQ(without_folders_in(""), "");
}

}  // namespace
}  // namespace evenkeel::report
