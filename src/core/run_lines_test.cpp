#include "core/run_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::HasSubstr;

TEST(ReadRunLines, NamesTheLineAndWhatIsWrongInIt) {
  const testing::TemporaryFolder folder;
  const std::string good =
      R"({"step":1,"phase":"a","loss":2.5,"tokens":32,"routing":[{"layer":0,"mri":0.5}]})"
      "\n"
      R"({"step":1,"phase":"a","eval":{"held":{"loss":2,"routing":[{"layer":0,"mri":0.5}]}}})"
      "\n"
      R"({"step":1,"phase":"a","saturation":{"held":[]}})"
      "\n";
  EXPECT_EQ(read_run_lines(folder.write("good.jsonl", good)).size(), 3u);
  const auto message = [&](const std::string& line) {
    const auto path = folder.write("bad.jsonl", good + line + "\n");
    return testing::message_of<DataError>([&] { read_run_lines(path); });
  };
  const std::pair<const char*, const char*> wrong[] = {
      {R"([1])", "got array; need an object"},
      {R"({"phase":"a","loss":1})", "got a line without a step"},
      {R"({"step":2.5,"phase":"a","loss":1})", "got a line without a step"},
      {R"({"step":2,"phase":1,"loss":1})", "got a line without a phase"},
      {R"({"step":2,"phase":"a"})", "got no 'loss'"},
      {R"({"step":2,"phase":"a","loss":null})", "got null as 'loss'; need a number"},
      {R"({"step":2,"phase":"a","loss":1,"routing":{}})", "got object as 'routing'; need an array"},
      {R"({"step":2,"phase":"a","loss":1,"routing":[1]})", "got integer as a layer of 'routing'; need an object"},
      {R"({"step":2,"phase":"a","loss":1,"routing":[{"layer":0}]})", "got no 'mri'"},
      {R"({"step":2,"phase":"a","eval":[]})", "got array as 'eval'; need an object"},
      {R"({"step":2,"phase":"a","eval":{"held":3}})", "got integer as the evaluation of 'held'; need an object"},
      {R"({"step":2,"phase":"a","eval":{"held":{}}})", "got no 'loss'"},
      {R"({"step":2,"phase":"a","loss":1,"routing":[{"layer":0,"mri":1,"load":3}]})", "got integer as 'load'; need an array"},
      {R"({"step":2,"phase":"a","loss":1,"routing":[{"layer":0,"mri":1,"load":["x"]}]})", "got string as a share of 'load'; need a number"},
      {R"({"step":2,"phase":"a","saturation":{"held":{}}})", "got object as the saturation of 'held'; need an array"},
  };
  for (const auto& [line, words] : wrong) EXPECT_THAT(message(line), HasSubstr(std::string("bad.jsonl, line 4: ") + words)) << line;
}

// The message on the last of these lines; "" where all are good.
std::string refusal(const std::vector<std::string>& texts) {
  RunLines lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Json line = Json::parse(texts[i], "text");
    if (i + 1 == texts.size()) return testing::message_of<DataError>([&] { lines.add(line, "here"); });
    lines.add(line, "here");
  }
  return "";
}
const std::string kOne = R"({"step":1,"phase":"a","loss":1})", kTwo = R"({"step":2,"phase":"a","loss":1})", kThree = R"({"step":3,"phase":"a","loss":1})";
std::string eval_of(int64_t step) { return R"({"step":)" + std::to_string(step) + R"(,"phase":"a","eval":{}})"; }
std::string saturation_of(int64_t step) { return R"({"step":)" + std::to_string(step) + R"(,"phase":"a","saturation":{}})"; }

TEST(RunLines, TakeStepsInOrderAndWhatWasMeasuredAfterEach) {
  RunLines lines;
  for (const auto& text : {eval_of(0), kOne, kTwo, eval_of(2), saturation_of(2), kThree, eval_of(3)}) lines.add(Json::parse(text, "text"), "here");
  EXPECT_EQ(lines.step(), 3);
}

TEST(RunLines, RefuseAStepThatIsMissingOrStandsTwice) {
  EXPECT_EQ(refusal({kOne, kThree}), "here: got step 3 after step 1; need every step of the run in order");
  EXPECT_EQ(refusal({kTwo}), "here: got step 2 after step 0; need every step of the run in order");
  EXPECT_EQ(refusal({kOne, kTwo, kOne}), "here: got step 1 after step 2; need every step of the run in order");
  EXPECT_EQ(refusal({kOne, kTwo, kTwo}), "here: got step 2 a second time; need it once");
  EXPECT_EQ(refusal({kOne, eval_of(1), kOne}), "here: got step 1 a second time; need it once");
  EXPECT_EQ(refusal({kOne, eval_of(2)}), "here: got the evaluation of step 2 after step 1; need the line of step 2 before it");
  EXPECT_EQ(refusal({kOne, eval_of(1), saturation_of(1), eval_of(1)}), "here: got the evaluation of step 1 a second time; need it once");
  EXPECT_EQ(refusal({kOne, saturation_of(1), saturation_of(1)}), "here: got the saturation of step 1 a second time; need it once");
  EXPECT_EQ(refusal({R"({"step":0,"phase":"a","loss":1})"}), "here: got step 0; need 1 as the first step of the run");
}

TEST(RunLines, AllHaveTheSameLayersAndExperts) {
  const auto with = [](int64_t step, const std::string& routing) { return R"({"step":)" + std::to_string(step) + R"(,"phase":"a","loss":1,"routing":)" + routing + "}"; };
  const std::string four = R"([{"layer":1,"mri":1,"load":[0.5,0.5,0,0]}])";
  EXPECT_EQ(refusal({with(1, four), with(2, R"([{"layer":1,"mri":1,"load":[0.5,0.5,0]}])")}), "here: got 3 shares in the 'load' of layer 1; need 4, as in the lines before");
  EXPECT_EQ(refusal({with(1, four), with(2, "[]")}), "here: got 0 layers of 'routing'; need 1, as in the lines before");
  EXPECT_EQ(refusal({with(1, four), R"({"step":1,"phase":"a","eval":{"held":{"loss":1,"routing":[{"layer":1,"mri":1,"load":[1]}]}}})"}), "here: got 1 share in the 'load' of layer 1; need 4, as in the lines before");
}

}  // namespace
}  // namespace evenkeel
