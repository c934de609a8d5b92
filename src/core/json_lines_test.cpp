#include "core/json_lines.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WholeLines, LeaveOutATornOne) {
  EXPECT_THAT(whole_lines("a\n\nb\nc"), ElementsAre("a", "", "b"));
  EXPECT_TRUE(whole_lines("").empty());
  EXPECT_TRUE(whole_lines("torn").empty());
}

TEST(ReadJsonLines, ReadsEachAndNamesADamagedOne) {
  const testing::TemporaryFolder folder;
  const auto lines = read_json_lines(folder.write("good.jsonl", "{\"a\":1}\n[2]\n{\"a\":"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("a").as_int(), 1);
  EXPECT_EQ(lines[1].at(0).as_int(), 2);
  const auto bad = folder.write("bad.jsonl", "{}\n{\"a\"\n{}\n");
  EXPECT_THAT(testing::message_of<DataError>([&] { read_json_lines(bad); }), HasSubstr("bad.jsonl, line 2"));
  EXPECT_THROW(read_json_lines(folder / "absent.jsonl"), DataError);
}

TEST(LineReader, GivesWholeLinesAndFollowsAFileThatGrows) {
  const testing::TemporaryFolder folder;
  const std::string wide(3 << 20, 'x');  // longer than what is read at once
  const auto path = folder.write("a.jsonl", "one\n\n" + wide + "\ntorn");
  LineReader reader(path);
  EXPECT_EQ(reader.next(), "one");
  EXPECT_EQ(reader.end_byte(), 4);
  EXPECT_EQ(reader.next(), "");
  EXPECT_EQ(reader.next(), wide);
  EXPECT_EQ(reader.place(), path.string() + ", line 3");
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_EQ(reader.next(), std::nullopt);
  std::ofstream(path, std::ios::app) << " no more\nlast\n";
  EXPECT_EQ(reader.next(), "torn no more");
  EXPECT_EQ(reader.next(), "last");
  EXPECT_EQ(reader.end_byte(), static_cast<int64_t>(std::filesystem::file_size(path)));
  EXPECT_THROW(LineReader(folder / "absent"), DataError);
  EXPECT_THROW(LineReader(folder.path()), DataError);
}

TEST(WithPath, BecomesTheErrorThatIsAskedFor) {
  const auto message = [](auto&& use) {
    return testing::message_of<CheckpointError>([&] { with_path_as<CheckpointError>("d/a.json", Json(), use); });
  };
  EXPECT_EQ(message([] { return Json("x").as_int(); }), "d/a.json: got string; need integer");
  EXPECT_EQ(message([]() -> int { fail<DataError>("d/a.json: got 1; need 2"); }), "d/a.json: got 1; need 2");
  EXPECT_EQ(message([]() -> int { fail<CheckpointError>("c: got 1; need 2"); }), "c: got 1; need 2");
}

TEST(WithPath, NamesTheFileOfAValue) {
  const auto message = [](auto&& use) {
    return testing::message_of<DataError>([&] { with_path("d/a.json", Json(), use); });
  };
  EXPECT_EQ(message([] { return Json::object().at("step").as_int(); }), "d/a.json: got no key 'step'; need it");
  EXPECT_EQ(message([] { return Json("x").as_int(); }), "d/a.json: got string; need integer");
  EXPECT_EQ(message([]() -> int { fail<DataError>("b: got 1; need 2"); }), "b: got 1; need 2");
  EXPECT_EQ(with_path("d/a.json", Json(), [] { return 3; }), 3);
}

}  // namespace
}  // namespace evenkeel
