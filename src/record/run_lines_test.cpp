#include "record/run_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::record {
namespace {

using ::testing::HasSubstr;

TEST(RunLine, IsWrittenAsDocumented) {
  StepRow row = testing::made_step(3, "a", {0.5});
  row.loss_terms = {{"cross_entropy", 2.5}, {"balance", 1.0}};
  row.sources = {{"old", 3}};
  row.gemm_fraction = 0.25;
  EXPECT_EQ(
      to_json(RunLine(row)).dump(),
      R"({"step":3,"phase":"a","phase_step":3,"tokens":96,"loss":3,"loss_terms":{"cross_entropy":2.5,"balance":1},"lr":0.001,"grad_norm":0,"seconds":0.5,"tokens_per_second":64,"gemm_fraction":0.25,)"
      R"("sources":{"old":3},"routing":[{"layer":0,"mri":0.5,"entropy":0.5,"cv":1,"dead":2,"dropped":0,"load":[0.5,0.5,0,0]}]})");
  EXPECT_EQ(row.cross_entropy(), 2.5);
  EXPECT_EQ(testing::made_step(1, "a", {}).cross_entropy(), 3.0);
  EvaluationRow evaluation = testing::made_evaluation(3, "a", {{"held", testing::made_result(2.0)}});
  evaluation.eval[0].second.loss_blocks = ClusterMeans{{2.0}, {7}};
  EXPECT_EQ(
      to_json(RunLine(evaluation)).dump(),
      R"({"step":3,"phase":"a","tokens":96,"eval":{"held":{"loss":2,"loss_se":null,"perplexity":20,"bits_per_byte":null,"tokens":null,"loss_blocks":{"tokens":[7],"loss":[2]},"mri_se":null,"routing":[]}}})");
  evaluation.eval[0].second.routing = testing::made_routing({0.5}, {});
  evaluation.eval[0].second.routing[0].mri_se = 0.25;
  EXPECT_EQ(to_json(RunLine(evaluation)).at("eval").at("held").at("routing").dump(),
            R"([{"layer":0,"mri":0.5,"entropy":0.9,"cv":0.5,"dead":1,"dropped":0,"mri_se":0.25}])");
  EXPECT_EQ(std::get<EvaluationRow>(run_line(to_json(RunLine(evaluation)), "t")).eval[0].second.routing[0].mri_se,
            0.25);
  EXPECT_EQ(
      to_json(RunLine(SaturationRow{3, "a", {{"held", {{1, 2, 0, 3, 0.75, 0.5}}}}})).dump(),
      R"({"step":3,"phase":"a","saturation":{"held":[{"layer":1,"k":2,"from":0,"to":3,"saturation":0.75,"chance":0.5}]}})");
}

TEST(RunLine, SaysTheObjectiveAndWhatItScores) {
  StepRow row = testing::made_step(1, "a", {});
  row.objective = "ul2";
  row.scored_share = 0.25;
  row.padding_share = 0.125;
  const Json json = to_json(RunLine(row));
  EXPECT_THAT(json.dump(), HasSubstr(R"("objective":"ul2","scored_share":0.25,"padding_share":0.125,"routing")"));
  EXPECT_EQ(std::get<StepRow>(run_line(json, "t")).padding_share, 0.125);
  auto evaluation = testing::made_evaluation(1, "a", {{"held", testing::made_result(2.0)}});
  evaluation.eval[0].second.objective = "prefix_lm";
  EXPECT_EQ(std::get<EvaluationRow>(run_line(to_json(RunLine(evaluation)), "t")).eval[0].second.objective, "prefix_lm");
}

TEST(RunLine, EachKindIsReadBack) {
  StepRow step = testing::made_step(2, "b", {0.5, 0.25});
  step.alarms = {{1, Alarm::Kind::one_expert, "one"}};
  const std::vector<RunLine> lines = {step, testing::made_evaluation(2, "b", {{"x", testing::made_result(1.5, {0.5})}}),
                                      SaturationRow{2, "b", {{"x", {}}}}};
  for (const auto& line : lines) {
    const Json json = to_json(line);
    const RunLine back = run_line(json, "t");
    EXPECT_EQ(back.index(), line.index());
    EXPECT_EQ(to_json(back), json);
    EXPECT_EQ(step_of(back), 2);
    EXPECT_EQ(phase_of(back), "b");
  }
  EXPECT_EQ(std::get<EvaluationRow>(lines[1]).find("x")->loss, 1.5);
  EXPECT_EQ(std::get<EvaluationRow>(lines[1]).find("y"), nullptr);
}

TEST(RunLine, OfAnEarlierVersionMayLackErrorsAndBlocks) {
  const auto line = run_line(
      Json::parse(R"({"step":1,"phase":"a","tokens":32,"eval":{"held":{"loss":2,"perplexity":7.4,"routing":[]}}})",
                  "t"),
      "t");
  EXPECT_EQ(std::get<EvaluationRow>(line).find("held")->loss_se, std::nullopt);
}

TEST(RunLine, SaysWhatIsWrongInIt) {
  const auto changed = [](const RunLine& line, const char* key, Json value) {
    Json json = to_json(line);
    value.is_string() && value.as_string() == "gone" ? json.erase(key) : void(json[key] = std::move(value));
    return json;
  };
  const auto message = [](const Json& json) {
    return testing::message_of<DataError>([&] { run_line(json, "m.jsonl, line 4"); });
  };
  const RunLine step = testing::made_step(2, "a", {0.5}),
                evaluation = testing::made_evaluation(2, "a", {{"held", testing::made_result(1)}});
  const auto changed_blocks = [](Json tokens, Json losses) {
    Json result = to_json(testing::made_result(1));
    result["loss_blocks"] = Json::Object{{"tokens", std::move(tokens)}, {"loss", std::move(losses)}};
    return result;
  };
  const auto changed_layer = [&](const char* key, Json value) {
    Json json = to_json(step);
    json["routing"].as_array()[0][key] = std::move(value);
    return json;
  };
  const std::pair<Json, const char*> wrong[] = {
      {Json::array(), "got array; need an object"},
      {changed(step, "step", "gone"), "got no 'step'"},
      {changed(step, "step", 2.5), "got number as 'step'; need an integer"},
      {changed(step, "phase", 1), "got integer as 'phase'; need a text"},
      {changed(step, "loss", "gone"), "got no 'loss'"},
      {changed(step, "loss", nullptr), "got null as 'loss'; need a number"},
      {changed(step, "routing", Json::object()), "got object as 'routing'; need an array"},
      {changed(step, "routing", Json::Array{1}), "got integer as an entry of 'routing'; need an object"},
      {changed(step, "routing", Json::Array{Json::Object{{"layer", 0}}}), "got no 'mri'"},
      {changed(evaluation, "eval", Json::array()), "got array as 'eval'; need an object"},
      {changed(evaluation, "eval", Json::Object{{"held", 3}}), "got integer as 'eval' of 'held'; need an object"},
      {changed(evaluation, "eval", Json::Object{{"held", Json::object()}}), "got no 'loss'"},
      {changed(evaluation, "eval", Json::Object{{"held", changed_blocks(Json::Array{1, 2}, Json::Array{0.5})}}),
       "got 1 losses of 2 blocks of 'held'; need one of each"},
      {changed(evaluation, "eval", Json::Object{{"held", changed_blocks(Json::Array{0}, Json::Array{0.5})}}),
       "got 0 as 'tokens'; need 1 or more"},
      {changed(step, "tokens", -3), "got -3 as 'tokens'; need 0 or more"},
      {changed(step, "phase_step", 0), "got 0 as 'phase_step'; need 1 or more"},
      {changed(step, "lr", -1e-3), "got -0.001 as 'lr'; need 0 or more"},
      {changed(step, "scored_share", 1.5), "got 1.5 as 'scored_share'; need 0 to 1"},
      {changed(step, "padding_share", -0.5), "got -0.5 as 'padding_share'; need 0 to 1"},
      {changed(step, "gemm_fraction", -0.5), "got -0.5 as 'gemm_fraction'; need 0 or more"},
      {changed(step, "sources", Json::Object{{"a", -1}}), "got -1 as 'sources' of 'a'; need 0 or more"},
      {changed_layer("mri", 1.5), "got 1.5 as 'mri'; need 0 to 1"},
      {changed_layer("entropy", 1.1), "got 1.1 as 'entropy'; need 0 to 1"},
      {changed_layer("dropped", -0.1), "got -0.1 as 'dropped'; need 0 to 1"},
      {changed_layer("load", Json::Array{0.5, -0.5, 1}), "got -0.5 as 'load'; need 0 to 1"},
      {changed_layer("layer", -1), "got -1 as 'layer'; need 0 or more"},
      {Json::parse(
           R"({"step":2,"phase":"a","saturation":{"held":[{"layer":0,"k":1,"from":0,"to":2,"saturation":1.5,"chance":0.1}]}})",
           "t"),
       "got 1.5 as 'saturation'; need 0 to 1"},
      {Json::Object{{"step", 2}, {"phase", "a"}, {"saturation", Json::Object{{"held", Json::object()}}}},
       "got object as 'saturation' of 'held'; need an array"},
  };
  for (const auto& [json, words] : wrong)
    EXPECT_THAT(message(json), HasSubstr(std::string("m.jsonl, line 4: ") + words)) << json.dump();
}

}  // namespace
}  // namespace evenkeel::record
