#include "data/input_paths.h"

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ExpandInputs : public testing::Test {
 protected:
  ExpandInputs() {
    for (const char* folder : {"a", "a/b", "a/b/c", ".hidden", "d.txt"}) fs::create_directory(folder_ / folder);
    for (const char* file : {"2.txt", "10.txt", "1.txt", "a/3.txt", "a/b/4.txt", "a/b/c/5.txt", "a/6.json", ".7.txt",
                             ".hidden/8.txt", "[x].txt"})
      folder_.write(file, "text");
    fs::create_directory_symlink(folder_ / "a", folder_ / "a/b/loop");
  }
  // Names relative to the folder.
  std::vector<std::string> expanded(const std::vector<std::string>& patterns) const {
    std::vector<std::string> arguments, out;
    for (const auto& pattern : patterns) arguments.push_back((folder_ / pattern).string());
    for (const auto& path : expand_inputs(arguments)) out.push_back(path.lexically_relative(folder_ / "").string());
    return out;
  }
  TemporaryFolder folder_;
};

TEST_F(ExpandInputs, MatchesNamesInSortedOrder) {
  EXPECT_THAT(expanded({"*.txt"}), ElementsAre("1.txt", "10.txt", "2.txt", "[x].txt"));  // d.txt is a folder
  EXPECT_THAT(expanded({"?.txt"}), ElementsAre("1.txt", "2.txt"));
  EXPECT_THAT(expanded({"[2-9].txt"}), ElementsAre("2.txt"));
  EXPECT_THAT(expanded({".*.txt"}), ElementsAre(".7.txt"));
  EXPECT_THAT(expanded({"*/*.txt"}), ElementsAre("a/3.txt"));
  EXPECT_THAT(expanded({"a/[b]/*"}), ElementsAre("a/b/4.txt"));
}

TEST_F(ExpandInputs, GoesIntoFolders) {
  EXPECT_THAT(expanded({"a/**/*.txt"}), ElementsAre("a/3.txt", "a/b/4.txt", "a/b/c/5.txt"));
  EXPECT_THAT(expanded({"**/?.txt"}), ElementsAre("1.txt", "2.txt", "a/3.txt", "a/b/4.txt", "a/b/c/5.txt"));
  EXPECT_THAT(expanded({"**/b/**/**/*.txt"}), ElementsAre("a/b/4.txt", "a/b/c/5.txt"));
  EXPECT_THAT(expanded({"a/**"}), ElementsAre("a/3.txt", "a/6.json", "a/b/4.txt", "a/b/c/5.txt"));
}

TEST_F(ExpandInputs, TakesWhatIsNoPatternAsItIs) {
  EXPECT_THAT(expanded({"2.txt", "1.txt", "missing.txt"}), ElementsAre("2.txt", "1.txt", "missing.txt"));
  EXPECT_THAT(expanded({"[x].txt"}), ElementsAre("[x].txt"));  // a file of that name comes before the pattern
  EXPECT_THAT(expanded({"2.txt", "a/*.txt", "1.txt"}), ElementsAre("2.txt", "a/3.txt", "1.txt"));
}

TEST_F(ExpandInputs, RefusesFoldersAndPatternsThatMatchNothing) {
  const auto refusal = [&](const std::string& pattern) {
    return message_of<DataError>([&] { expanded({"1.txt", pattern}); });
  };
  EXPECT_THAT(refusal("*.jsonl"), HasSubstr("*.jsonl: got no file that matches this pattern; need one at least"));
  EXPECT_THAT(refusal("missing/*.txt"), HasSubstr("missing/*.txt: got no file that matches"));
  EXPECT_THAT(refusal("1.txt/*"), HasSubstr("got no file that matches"));
  EXPECT_THAT(refusal("a"), HasSubstr("a: got a folder; need files, as in '"));
  EXPECT_THAT(refusal("a"), HasSubstr("a/**/*.jsonl'"));
}

}  // namespace
}  // namespace evenkeel::data
