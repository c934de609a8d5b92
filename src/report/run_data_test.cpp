#include "report/run_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel::report {
namespace {

class RunDataTest : public ::testing::Test {
 protected:
  // Steps 1 .. n_steps of phase "one", then two of "two"; step s has loss s / 7 and expert 0 the share s / 1024.
  void write(int n_steps, const std::string& resolved = R"({"train":{"batch_size":4,"sequence_length":256},"model":{"top_k":1}})") const {
    std::string lines;
    for (int step = 1; step <= n_steps + 2; ++step) {
      const double share = step / 1024.0;
      Json layer = Json::Object{{"layer", 3}, {"mri", share}, {"entropy", 1 / (1.0 + step)}, {"cv", 0.5}, {"dead", 0}, {"dropped", 0.0}, {"load", Json::Array{share, 1 - share}}};
      Json line = Json::Object{{"step", step}, {"phase", step <= n_steps ? "one" : "two"}, {"tokens", 1024 * step}, {"loss", 9.0}, {"loss_terms", Json::Object{{"cross_entropy", step / 7.0}}}, {"lr", 0.25}};
      line["routing"] = Json::Array{layer};
      lines += line.dump() + "\n";
      if (step > 1) continue;
      lines += R"({"step":1,"phase":"one","tokens":5,"eval":{"held":{"loss":2.5,"routing":[{"layer":3,"mri":0.5}]}}})"
               "\n";
      lines += R"({"step":1,"phase":"one","saturation":{"held":[]}})"
               "\n";
    }
    lines += "{\"torn";
    folder_.write("metrics.jsonl", lines);
    folder_.write("resolved.json", resolved);
  }
  Json read() { return run_data(folder_.path(), {}, columns_); }
  // Undoes what the pool did to a column of shares or plain values.
  std::vector<double> values(const Json& column) const {
    if (const Json* at = column.find("at")) return values(columns_.pool().at(static_cast<size_t>(at->as_int())));
    std::vector<double> out;
    const Json* counts = column.find("counts");
    for (const auto& value : (counts != nullptr ? *counts : column).as_array()) out.push_back(value.as_double() / (counts != nullptr ? column.at("per").as_double() : 1));
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
  EXPECT_EQ(one.at("columns").at("tokens").dump(), R"({"from":1024,"by":1024,"n":20})");
  EXPECT_EQ(one.at("columns").at("lr").dump(), R"({"same":0.25,"n":20})");
  EXPECT_EQ(one.at("columns").at("tokens_per_second").dump(), R"({"same":null,"n":20})");
  EXPECT_EQ(run_data(folder_.path(), {.has_speed = false}, columns_).at("phases").at(0).at("columns").find("tokens_per_second"), nullptr);
  const Json& layer = one.at("layers").at(0);
  EXPECT_EQ(layer.at("layer").as_int(), 3);
  EXPECT_EQ(layer.find("cv"), nullptr);  // no chart shows it
  const auto loss = values(one.at("columns").at("loss")), mri = values(layer.at("mri")), entropy = values(layer.at("entropy")), load = values(layer.at("load"));
  ASSERT_EQ(load.size(), 40u);
  for (size_t i = 0; i < 20; ++i) {
    const double step = static_cast<double>(i) + 1;
    EXPECT_EQ(loss[i], step / 7.0);
    EXPECT_EQ(mri[i], step / 1024);
    EXPECT_EQ(entropy[i], 1 / (1 + step));
    EXPECT_EQ(load[2 * i], step / 1024);
    EXPECT_EQ(load[2 * i + 1], 1 - step / 1024);
  }
  EXPECT_EQ(data.at("phases").at(1).at("columns").at("step").dump(), R"({"from":21,"by":1,"n":2})");
  EXPECT_EQ(data.at("evals").dump(), R"([{"step":1,"phase":"one","tokens":5,"eval":{"held":{"loss":2.5}}}])");
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
  EXPECT_EQ(values(one.at("layers").at(0).at("load"))[2], 6 / 1024.0);
  EXPECT_EQ(two.at("load_rows").dump(), "[1]");  // and the last
}

TEST_F(RunDataTest, SharesAreCountsOnlyWhereTheRecipeTellsOfWhat) {
  write(300);
  ColumnPool with;
  const Json known = run_data(folder_.path(), {}, with);
  EXPECT_NE(with.pool().dump().find(R"({"per":1024,"counts":[1,2,3,)"), std::string::npos);
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
  folder_.write("metrics.jsonl", R"({"step":1,"phase":"one","loss":2.5,"routing":[]})"
                                 "\n");
  const Json data = read();
  EXPECT_EQ(data.at("phases").at(0).at("layers").size(), 0u);
  EXPECT_EQ(data.at("phases").at(0).at("load_rows").size(), 0u);
  EXPECT_EQ(data.at("phases").at(0).at("columns").at("loss").dump(), "[2.5]");
  folder_.write("metrics.jsonl", "");
  EXPECT_EQ(read().at("phases").size(), 0u);
}

TEST_F(RunDataTest, RefusesWhatIsNoRun) {
  EXPECT_THROW(read(), DataError);
  write(1, "{");
  EXPECT_THAT(testing::message_of<DataError>([&] { read(); }), ::testing::HasSubstr("resolved.json"));
  write(1);
  folder_.write("metrics.jsonl", R"({"step":1,"phase":"one","loss":2.5})"
                                 "\n"
                                 R"({"step":3,"phase":"one","loss":2.5})"
                                 "\n");
  EXPECT_THAT(testing::message_of<DataError>([&] { read(); }), ::testing::HasSubstr("metrics.jsonl, line 2: got step 3 after step 1; need every step of the run in order"));
  folder_.write("metrics.jsonl", "{\"step\":1}\n");
  EXPECT_THAT(testing::message_of<DataError>([&] { read(); }), ::testing::HasSubstr("metrics.jsonl, line 1: got a line without a phase"));
}

}  // namespace
}  // namespace evenkeel::report
