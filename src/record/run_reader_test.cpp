#include "record/run_reader.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::record {
namespace {

using ::testing::HasSubstr;
using testing::made_step;
using testing::message_of;
using testing::one_layer_evaluation;
using testing::one_layer_step;
using testing::TemporaryFolder;
using testing::text_of;

TEST(RunReader, FollowsAFileThatGrows) {
  const TemporaryFolder folder;
  const std::string second = text_of(one_layer_step(2));
  const auto path =
      folder.write("metrics.jsonl", text_of({one_layer_evaluation(0), one_layer_step(1)}) + second.substr(0, 20));
  RunReader reader(path);
  EXPECT_EQ(step_of(*reader.next()), 0);
  EXPECT_EQ(step_of(*reader.next()), 1);
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.step(), 1);
  std::ofstream(path, std::ios::app) << second.substr(20) << text_of(one_layer_evaluation(2));
  EXPECT_EQ(step_of(*reader.next()), 2);
  EXPECT_TRUE(std::holds_alternative<EvaluationRow>(*reader.next()));
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.end_byte(), static_cast<int64_t>(std::filesystem::file_size(path)));
}

TEST(RunReader, NamesTheLineThatIsDamagedOrMissing) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    const auto path = folder.write("m.jsonl", text);
    return message_of<DataError>([&] { read_run_lines(path); });
  };
  const std::string one = text_of(one_layer_step(1));
  EXPECT_THAT(message(one + "{\"step\":\n" + text_of(one_layer_step(3))),
              HasSubstr("m.jsonl, line 2: got text that is not JSON"));
  EXPECT_THAT(message(one + "{\"loss\":2}\n"), HasSubstr("m.jsonl, line 2: got no 'step'"));
  EXPECT_THAT(message(one + text_of({one_layer_evaluation(1), one_layer_step(3)})),
              HasSubstr("line 3: got step 3 after step 1"));
  EXPECT_THAT(message(text_of(one_layer_step(2))), HasSubstr("line 1: got step 2 after step 0"));
  EXPECT_THAT(message(text_of({one_layer_step(1), one_layer_step(2), one_layer_step(1)})),
              HasSubstr("line 3: got step 1 after step 2"));
  EXPECT_THAT(message(text_of({one_layer_step(1), one_layer_step(1)})),
              HasSubstr("line 2: got step 1 a second time; need it once"));
  EXPECT_THAT(message(text_of({one_layer_step(1), one_layer_evaluation(2)})),
              HasSubstr("line 2: got the evaluation of step 2 after step 1; need the line of step 2 before it"));
  EXPECT_THAT(message(text_of({one_layer_step(1), one_layer_evaluation(1), one_layer_evaluation(1)})),
              HasSubstr("line 3: got the evaluation of step 1 a second time"));
  EXPECT_THAT(message(text_of(one_layer_step(0))), HasSubstr("line 1: got step 0; need 1 as the first"));
  EXPECT_THAT(message(text_of({one_layer_step(1), RunLine(made_step(2, "a", {0.5, 0.5}))})),
              HasSubstr("line 2: got 2 layers of 'routing'; need 1, as in the lines before"));
  StepRow short_load = made_step(2, "a", {0.5});
  testing::set_load(short_load.routing[0], {0.5, 0.5, 0});
  EXPECT_THAT(message(text_of({one_layer_step(1), RunLine(short_load)})),
              HasSubstr("line 2: got 3 shares in the 'load' of layer 0; need 4, as in the lines before"));
  EXPECT_THROW(RunReader(folder / "absent.jsonl"), DataError);
}

TEST(RunReader, NamesTheLineThatDoesNotGoOnFromTheOneBefore) {
  const TemporaryFolder folder;
  const auto message = [&](const RunLine& line, const std::vector<RunLine>& before) {
    std::string text;
    for (const auto& one : before) text += text_of(one);
    const auto path = folder.write("m.jsonl", text + text_of(line));
    return message_of<DataError>([&] { read_run_lines(path); });
  };
  const auto step = [](int64_t n, const std::string& phase, int64_t phase_step) {
    StepRow row = made_step(n, phase, {0.5, 0.5});
    row.phase_step = phase_step;
    return row;
  };
  const RunLine first = step(1, "a", 1);
  read_run_lines(folder.write("b", text_of(first) + text_of(step(2, "b", 1)) + text_of(step(3, "c", 2))));
  EXPECT_THAT(message(step(2, "a", 1), {first}), HasSubstr("line 2: got 1 as 'phase_step' of phase 'a'; need 2"));
  EXPECT_THAT(message(step(2, "b", 3), {first}), HasSubstr("line 2: got 3 as 'phase_step' of phase 'b'; need 1"));
  EXPECT_THAT(message(step(1, "a", 2), {}), HasSubstr("line 1: got 2 as 'phase_step' of phase 'a'; need 1"));
  auto fallen = step(2, "a", 2);
  fallen.tokens = 31;
  EXPECT_THAT(message(fallen, {first}), HasSubstr("line 2: got 31 as 'tokens' after 32; need"));
  auto evaluation = testing::made_evaluation(1, "a", {{"held", testing::made_result(2, {0.5, 0.5})}});
  evaluation.tokens = 33;
  EXPECT_THAT(message(evaluation, {first}), HasSubstr("line 2: got the evaluation of step 1 at 33 tokens; need 32"));
  auto swapped = step(1, "a", 1);
  std::swap(swapped.routing[0], swapped.routing[1]);
  EXPECT_THAT(message(swapped, {}), HasSubstr("line 1: got the layers [1,0] in 'routing'; need each once, in order"));
  auto other = step(2, "a", 2);
  other.routing[1].layer = 99;
  EXPECT_THAT(message(other, {first}),
              HasSubstr("line 2: got the layers [0,99] in 'routing'; need [0,1], as in the lines before"));
  auto dead = step(2, "a", 2);
  dead.routing[1].dead = 9;
  EXPECT_THAT(message(dead, {first}), HasSubstr("line 2: got 9 as 'dead' of layer 1; need 2"));
}

TEST(LastStep, IsThatOfTheLastWholeLine) {
  const TemporaryFolder folder;
  const auto last = [&](const std::string& text) { return last_step_in(folder.write("m.jsonl", text)); };
  EXPECT_EQ(last(""), 0);
  EXPECT_THROW(last_step_in(folder / "absent"), DataError);
  EXPECT_EQ(last("{\"st"), 0);
  EXPECT_EQ(last(text_of(one_layer_step(1)) + "{\"step\":2}\n"), 0);
  EXPECT_EQ(last(text_of(one_layer_step(1))), 1);
  EXPECT_EQ(last(text_of({one_layer_step(1), one_layer_step(2)}) + "{\"step\":3"), 2);
  StepRow wide = made_step(3, "a", std::vector<double>(4000, 0.5));  // a line longer than what is read at once
  EXPECT_EQ(last(text_of({one_layer_step(1), one_layer_step(2), wide})), 3);
  EXPECT_EQ(last(text_of(wide)), 3);
}

}  // namespace
}  // namespace evenkeel::record
