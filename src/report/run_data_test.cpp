#include "report/run_data.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "record/metrics_file.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::report {
namespace {

class RunDataTest : public ::testing::Test {
 protected:
  // Steps 1 .. n_steps of phase "one", then two of "two"; step s has loss s / 7 and expert 0 the share s / 16384.
  void write(int n_steps, const std::string& resolved =
                              R"({"train":{"batch_size":64,"sequence_length":256},"model":{"top_k":1}})") const {
    std::vector<record::RunLine> lines;
    for (int64_t step = 1; step <= n_steps + 2; ++step) {
      const double share = static_cast<double>(step) / 16384;
      auto row = testing::made_step(step, step <= n_steps ? "one" : "two", {share});
      row.tokens = 16384 * step;
      row.loss = 9;
      row.loss_terms = {{"cross_entropy", static_cast<double>(step) / 7}};
      row.lr = 0.25;
      row.routing[0].layer = 3;
      testing::set_load(row.routing[0], {share, 1 - share});
      lines.emplace_back(row);
      if (step == 1)
        lines.emplace_back(record::EvaluationRow{1, "one", 16384, {{"held", testing::made_result(2.5, {0.5})}}});
      if (step == 1) lines.emplace_back(record::SaturationRow{1, "one", {{"held", {}}}});
    }
    folder_.write("metrics.jsonl", testing::text_of(lines) + "{\"torn");
    folder_.write("resolved.json", resolved);
  }
  Json read() { return run_data(folder_.path(), {}, columns_); }
  // Undoes what the pool did to a column of shares, plain values, single-precision ones or a progression.
  std::vector<double> values(const Json& column) const {
    if (const Json* at = column.find("at")) return values(columns_.pool().at(static_cast<size_t>(at->as_int())));
    std::vector<double> out;
    if (const Json* from = column.find("from")) {
      for (int64_t i = 0; i < column.at("n").as_int(); ++i)
        out.push_back(static_cast<double>(from->as_int() + i * column.at("by").as_int()));
      return out;
    }
    const Json* counts = column.find("counts");
    for (const auto& value : (counts != nullptr ? *counts : column).as_array())
      out.push_back(value.as_double() / (counts != nullptr ? column.at("per").as_double() : 1));
    return out;
  }
  testing::TemporaryFolder folder_;
  ColumnPool columns_;
};

TEST_F(RunDataTest, HoldsEveryStepExactly) {
  write(20);
  const Json data = read();
  ASSERT_EQ(data.at("phases").size(), 2u);
  const Json& one = data.at("phases").at(0);
  EXPECT_EQ(one.at("name").as_string(), "one");
  EXPECT_EQ(one.at("columns").at("step").dump(), R"({"from":1,"by":1,"n":20})");
  EXPECT_EQ(one.at("columns").at("tokens").dump(), R"({"from":16384,"by":16384,"n":20})");
  EXPECT_EQ(one.at("columns").at("lr").dump(), R"({"same":0.25,"n":20})");
  EXPECT_EQ(one.at("columns").at("tokens_per_second").dump(), R"({"same":64,"n":20})");
  EXPECT_EQ(run_data(folder_.path(), {.has_speed = false}, columns_)
                .at("phases")
                .at(0)
                .at("columns")
                .find("tokens_per_second"),
            nullptr);
  const Json& layer = one.at("layers").at(0);
  EXPECT_EQ(layer.at("layer").as_int(), 3);
  EXPECT_EQ(layer.find("cv"), nullptr);  // no chart shows it
  const auto loss = values(one.at("columns").at("loss")), mri = values(layer.at("mri")),
             entropy = values(layer.at("entropy")), load = values(layer.at("load"));
  ASSERT_EQ(load.size(), 40u);
  for (size_t i = 0; i < 20; ++i) {
    const double step = static_cast<double>(i) + 1;
    EXPECT_EQ(loss[i], step / 7.0);
    EXPECT_EQ(mri[i], step / 16384);
    const double share = step / 16384;
    EXPECT_DOUBLE_EQ(entropy[i], -(share * std::log(share) + (1 - share) * std::log(1 - share)) / std::log(2));
    EXPECT_EQ(load[2 * i], step / 16384);
    EXPECT_EQ(load[2 * i + 1], 1 - step / 16384);
  }
  EXPECT_EQ(data.at("phases").at(1).at("columns").at("step").dump(), R"({"from":21,"by":1,"n":2})");
  EXPECT_EQ(
      data.at("evals").dump(),
      R"([{"step":1,"phase":"one","tokens":16384,"eval":{"held":{"loss":2.5,"loss_se":null,"perplexity":25,"bits_per_byte":null,"tokens":null,"mri_se":null}}}])");
  EXPECT_EQ(data.at("saturation").size(), 1u);
  EXPECT_TRUE(data.at("recipe").is_null());
}

TEST_F(RunDataTest, OnlyLoadsAreThinned) {
  write(998);
  const Json data = read();
  const Json &one = data.at("phases").at(0), &two = data.at("phases").at(1);
  EXPECT_EQ(values(one.at("columns").at("loss")).size(), 998u);
  EXPECT_EQ(values(one.at("layers").at(0).at("mri")).size(), 998u);
  EXPECT_EQ(one.at("load_rows").dump(), R"({"from":0,"by":5,"n":200})");  // every fifth of 1,000
  EXPECT_EQ(values(one.at("layers").at(0).at("load")).size(), 400u);
  EXPECT_EQ(values(one.at("layers").at(0).at("load"))[2], 6 / 16384.0);
  EXPECT_EQ(two.at("load_rows").dump(), "[1]");  // and the last
}

// Every third step of 9,002, the first and the last of each phase, and 240 loads at most.
TEST_F(RunDataTest, ALongRunIsThinned) {
  write(9000);
  const Json data = read();
  EXPECT_EQ(data.at("stride").as_int(), 3);
  const Json &one = data.at("phases").at(0), &two = data.at("phases").at(1);
  const auto loss = values(one.at("columns").at("loss"));
  const auto steps = values(one.at("columns").at("step"));
  ASSERT_EQ(steps.size(), loss.size());
  EXPECT_EQ(steps.front(), 1);
  EXPECT_EQ(steps[1], 4);
  EXPECT_EQ(steps.back(), 9000);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(loss[i], steps[i] / 7.0);
  EXPECT_LT(steps.size(), 3300u);
  const auto rows = values(one.at("load_rows")), load = values(one.at("layers").at(0).at("load"));
  ASSERT_EQ(load.size(), 2 * rows.size());
  EXPECT_LE(rows.size(), 240u);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(load[2 * i], steps.at(static_cast<size_t>(rows[i])) / 16384);
  EXPECT_EQ(values(two.at("columns").at("step")), (std::vector<double>{9001, 9002}));
  EXPECT_EQ(two.at("load_rows").dump(), "[1]");
}

// Of very many experts fewer steps have their loads, which stand in a file of their own.
TEST_F(RunDataTest, ReadsLoadsFromTheirOwnFile) {
  record::MetricsFile file(folder_ / "metrics.jsonl", 0, 300 * 200);
  for (int64_t step = 1; step <= 60; ++step) {
    auto row = testing::made_step(step, "one", std::vector<double>(300, 0.5));
    for (auto& layer : row.routing) testing::set_load(layer, std::vector<double>(200, 1.0 / 200));
    for (auto& layer : row.routing) layer.n_assignments = 200;
    file.write(row);
  }
  folder_.write("resolved.json", R"({"model":{"n_layers":300,"n_experts":200}})");
  const Json data = read();
  const Json& one = data.at("phases").at(0);
  EXPECT_EQ(one.at("columns").at("step").dump(), R"({"from":1,"by":1,"n":60})");
  EXPECT_EQ(values(one.at("load_rows")),
            (std::vector<double>{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 59}));
  EXPECT_EQ(one.at("layers").at(299).at("load").dump(), R"({"same":0.005,"n":3200})");
}

TEST_F(RunDataTest, SharesAreCountsOnlyWhereTheRecipeTellsOfWhat) {
  write(300);
  ColumnPool with;
  const Json known = run_data(folder_.path(), {}, with);
  EXPECT_NE(with.pool().dump().find(R"({"per":16384,"counts":[1,2,3,)"), std::string::npos);
  write(300, "{}");
  ColumnPool without;
  const Json unknown = run_data(folder_.path(), {}, without);
  EXPECT_EQ(without.pool().dump().find("\"per\""), std::string::npos);
  EXPECT_GT(without.pool().size(), 0u);
}

TEST_F(RunDataTest, FoldersOfTheMachineStayAtHome) {
  write(2, R"({"train":{},"phase":[{"data":[{"name":"en","path":"/home/me/en"}]}]})");
  folder_.write("recipe.toml", "path = \"/home/me/en\"\n");
  const Json data = read();
  EXPECT_EQ(data.at("resolved").dump(), R"({"train":{},"phase":[{"data":[{"name":"en","path":"en"}]}]})");
  EXPECT_EQ(data.at("recipe").as_string(), "path = \"en\"\n");
}

TEST_F(RunDataTest, ADenseRunHasNoLayers) {
  folder_.write("resolved.json", "{}");
  folder_.write("metrics.jsonl", testing::text_of(testing::made_step(1, "one", {})));
  const Json data = read();
  EXPECT_EQ(data.at("phases").at(0).at("layers").size(), 0u);
  EXPECT_EQ(data.at("phases").at(0).at("load_rows").size(), 0u);
  EXPECT_EQ(data.at("phases").at(0).at("columns").at("loss").dump(), "[3]");
  folder_.write("metrics.jsonl", "");
  EXPECT_EQ(read().at("phases").size(), 0u);
}

TEST_F(RunDataTest, RefusesWhatIsNoRun) {
  EXPECT_THROW(read(), DataError);
  write(1, "{");
  EXPECT_THAT(testing::message_of<DataError>([&] { read(); }), ::testing::HasSubstr("resolved.json"));
  write(1);
  folder_.write("metrics.jsonl", "{\"step\":1}\n");
  EXPECT_THAT(testing::message_of<DataError>([&] { read(); }),
              ::testing::HasSubstr("metrics.jsonl, line 1: got no 'phase'"));
}

}  // namespace
}  // namespace evenkeel::report
