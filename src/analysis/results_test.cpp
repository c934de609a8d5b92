#include "analysis/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/analyses/load_tables.h"

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LayerLoad made_load(int64_t layer, std::vector<int64_t> counts) {
  LayerLoad load;
  int64_t n_tokens = 0;
  for (const int64_t count : counts) n_tokens += count;
  load.windows = WindowSums{.count_squared = std::vector<int64_t>(counts.size()),
                            .count_times_tokens = std::vector<int64_t>(counts.size())};
  load.bootstrap.emplace(counts.size());
  std::vector<int64_t> fifth;
  for (const int64_t count : counts) fifth.push_back(count / 5);
  for (uint64_t window = 0; window < 5; ++window) {  // five windows that are alike
    load.windows->add(fifth, n_tokens / 5);
    load.bootstrap->add(WindowBootstrap::weights(1, 0, window), fifth);
  }
  load.assignments = {layer, static_cast<int64_t>(counts.size()), 1, n_tokens, 0, std::move(counts)};
  return load;
}

AnalysisTables made_tables() {
  AnalysisTables out;
  out.tables = load_tables({{"en", {made_load(0, {250, 250, 250, 250}), made_load(3, {700, 100, 100, 100})}},
                            {"de", {made_load(0, {260, 250, 250, 240}), made_load(3, {0, 300, 300, 400})}}});
  Table saturation;
  saturation.columns = {
      {"arm", ""},        {"layer", ""},      {"k", ""},      {"from", ""},           {"to", ""},
      {"data", ""},       {"saturation", ""}, {"chance", ""}, {"saturation_low", ""}, {"saturation_high", ""},
      {"load_chance", ""}};
  saturation.rows = {{"m", 0, 1, "r", "m", "en", 0.2, 0.25, Json(), Json(), 0.3},
                     {"m", 0, 2, "r", "m", "en", 0.6, 0.5, 0.55, 0.65, 0.5},
                     {"m", 3, 2, "r", "m", "en", 0.8, 0.5, 0.75, 0.85, 0.74},
                     {"m", 3, 2, "r", "m", "de", Json(), Json(), Json(), Json(), Json()}};
  out.tables.push_back({"saturation", saturation});
  out.tables.push_back({"long", saturation, /*csv_only=*/true});
  out.notes = {"drops: needs a capacity"};
  return out;
}

TEST(AnalysisHeadlines, NameTheWorstRowByHand) {
  const auto headlines = analysis_headlines(made_tables().tables);
  ASSERT_EQ(headlines.size(), 4u);
  // 1,000 tokens, k = 1, E = 4: chance is 0.25 + 1.03 sqrt(0.25 * 0.75 / 1000) * sqrt(4 / 3) = 0.266; 0.7 is 2.63 times
  // that.
  EXPECT_THAT(headlines[0],
              HasSubstr("Layer 3 is the least balanced, on en: 70.0 % of the tokens reach its busiest expert (95 %: "));
  EXPECT_THAT(headlines[0], HasSubstr("2.63 times what uniform random routing gives."));
  EXPECT_EQ(headlines[1], "Experts without a token: 1, in 1 of 4 pairs of layer and data set.");
  EXPECT_THAT(headlines[2], HasSubstr("The loads of en and de are farthest apart in layer 3: they overlap by 30.0 % "
                                      "(95 %: 30.0 % to 30.0 %)"));  // windows that are all alike
  EXPECT_EQ(headlines[3],
            "The model makes 70.0 % of the reference's choices again (choices by themselves, at the loads of the two: "
            "62.0 %); least beyond that in layer 3, 80.0 % (95 %: 75.0 % to 85.0 %) against 74.0 %.");
}

TEST(AnalysisHeadlines, CompareWithTheFirstOfSeveralReferences) {
  auto tables = made_tables().tables;
  for (auto& [name, table, csv_only] : tables)
    if (name == "saturation")
      table.rows.push_back({"m", 0, 2, "a later one", "m", "en", 0.9, 0.5, Json(), Json(), 0.5});
  EXPECT_EQ(analysis_headlines(tables)[3], analysis_headlines(made_tables().tables)[3]);
}

NamedTable vocabulary_of(std::vector<std::vector<Json>> rows) {
  Table table;
  table.columns = {{"layer", ""},    {"k", ""},         {"id_kind", ""}, {"minimum_count", ""}, {"mean", ""},
                   {"mean_low", ""}, {"mean_high", ""}, {"chance", ""},  {"load_chance", ""}};
  table.rows = std::move(rows);
  return {"vocabulary_specialization", std::move(table)};
}

TEST(AnalysisHeadlines, CompareFavouritesWithTheLayersOwnLoad) {
  // Layer 1 has the largest favourites, and less than its load gives; layer 0 stands above its own.
  const std::vector<Json> tied = {0, 1, "input", 10, 0.48, 0.46, 0.5, 0.236, 0.331},
                          by_load = {1, 1, "input", 10, 0.852, 0.84, 0.864, 0.236, 0.857},
                          all_ids = {1, 1, "input", 1, 0.95, 0.94, 0.96, 0.3, 0.5},
                          both = {1, 2, "input", 10, 0.99, 0.98, 1.0, 0.4, Json()};
  EXPECT_THAT(analysis_headlines({vocabulary_of({by_load, all_ids, both, tied})}),
              ElementsAre("Token ids are tied to experts most in layer 0: 48.0 % (95 %: 46.0 % to 50.0 %) of an id's "
                          "occurrences go to its favourite first, and 33.1 % if the choice did not depend on the id "
                          "(ids seen at least 10 times)."));
  EXPECT_THAT(analysis_headlines({vocabulary_of({by_load})}),
              ElementsAre("In no layer are token ids tied to experts beyond its load; nearest to it is layer 1: 85.2 % "
                          "(95 %: 84.0 % to 86.4 %) of an id's occurrences go to its favourite first, and 85.7 % if "
                          "the choice did not depend on the id (ids seen at least 10 times)."));
  EXPECT_THAT(analysis_headlines({vocabulary_of({both})}), ElementsAre());
}

TEST(AnalysisHeadlines, SayThatARouterHasCollapsed) {
  const auto headlines = [](std::vector<int64_t> counts) {
    return analysis_headlines(load_tables({{"en", {made_load(2, std::move(counts))}}}));
  };
  EXPECT_EQ(headlines({985, 5, 5, 5})[0],
            "The router has collapsed on en in layer 2: 98.5 % of the tokens have one and the same expert.");
  EXPECT_THAT(headlines({975, 10, 10, 5})[0], HasSubstr("is the least balanced"));
  EXPECT_THAT(headlines({30, 0, 0, 0})[0], HasSubstr("is the least balanced"));  // too few tokens
  EXPECT_THAT(headlines({1000})[0], HasSubstr("is the least balanced"));         // no choice
  const auto layers = load_tables({{"en", {made_load(0, {985, 5, 5, 5}), made_load(3, {0, 1000, 0, 0})}},
                                   {"de", {made_load(0, {250, 250, 250, 250}), made_load(3, {0, 1000, 0, 0})}}});
  const auto both = analysis_headlines(layers);
  EXPECT_EQ(both[0], "The router has collapsed on de in layer 3: 100.0 % of the tokens have one and the same expert.");
  EXPECT_EQ(both[1],
            "The router has collapsed on en in layers 0, 3: 98.5 % to 100.0 % of the tokens have one and the same "
            "expert.");
}

TEST(AnalysisHeadlines, SayNothingWithoutTables) { EXPECT_TRUE(analysis_headlines({}).empty()); }

TEST(AnalysisResults, HasTheKeysOfTheContract) {
  const AnalysisRun run{"runs/first", Json::Object{{"name", "runs/first"}}, Json::Array{Json::Object{{"name", "en"}}},
                        Json::Object{{"seed", 1}}};
  const Json results = analysis_results(run, made_tables());
  std::vector<std::string> keys, tables;
  for (const auto& [key, value] : results.as_object()) keys.push_back(key);
  for (const auto& [key, value] : results.at("tables").as_object()) tables.push_back(key);
  EXPECT_THAT(keys, ElementsAre("schema", "kind", "title", "headlines", "definitions", "model", "data", "options",
                                "arms", "tables", "notes"));
  EXPECT_THAT(tables, ElementsAre("load", "domain_specialization", "domain_similarity",
                                  "saturation"));  // not the one of CSV alone
  EXPECT_EQ(results.at("kind").as_string(), "analysis");
  EXPECT_EQ(results.at("title").as_string(), "Routing of runs/first");
  EXPECT_EQ(results.at("notes").at(0).as_string(), "drops: needs a capacity");
  for (const auto& [term, definition] : results.at("definitions").as_object())
    EXPECT_FALSE(definition.at("text").as_string().empty()) << term;
  EXPECT_EQ(Json::parse(results.dump(1), "again").dump(), results.dump());
}

}  // namespace
}  // namespace evenkeel::analysis
