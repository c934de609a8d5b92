#include "analysis/counts.h"

#include <cmath>

#include <gmock/gmock.h>

#include "core/errors.h"
#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::analysis {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const Table* find_table(const AnalysisTables& result, const std::string& name) {
  for (const auto& table : result.tables)
    if (table.name == name) return &table.table;
  return nullptr;
}
Json cell(const Table& table, size_t row, const std::string& column) {
  return table.rows.at(row).at(table.column(column));
}

class Counts : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const Json& json) const { return folder_.write(name, json.dump()); }
  // The two domains in one file each.
  std::vector<fs::path> write_each(const char* shape) const {
    std::vector<fs::path> out;
    for (const auto& [name, json] : golden_.inputs.at(shape).as_object()) out.push_back(write(name + ".json", json));
    return out;
  }
  void near(const Table& table, size_t row, const std::string& column, const Json& need) const {
    testing::expect_close(cell(table, row, column).as_double(), need.as_double(), golden_.rtol, golden_.atol,
                          column + " of row " + std::to_string(row));
  }
  void check_load(const AnalysisTables& result, const std::vector<std::string>& columns,
                  bool numbered_layers = false) const {
    const auto* load = find_table(result, "load");
    ASSERT_NE(load, nullptr);
    ASSERT_EQ(load->rows.size(), 4u);
    for (size_t row = 0; row < 4; ++row) {  // layers, then domains
      const std::string name = cell(*load, row, "domain").as_string();
      const auto& need = golden_.outputs.at("load").at(name).at(row / 2);
      const int64_t layer = golden_.inputs.at("layers").at(row / 2).as_int();
      EXPECT_EQ(cell(*load, row, "layer").as_int(), numbered_layers ? static_cast<int64_t>(row / 2) : layer);
      for (const auto& column : columns) near(*load, row, column, need.at(column));
    }
    const auto* similar = find_table(result, "domain_similarity");
    for (size_t row = 0; row < 2; ++row)
      for (const char* column : {"correlation", "overlap"})
        near(*similar, row, column, golden_.outputs.at("similarity").at(row).at(column));
  }
  testing::TemporaryFolder folder_;
  testing::Golden golden_ = testing::read_golden("count_files.json");
};

TEST_F(Counts, DomainsMatchTheGoldenFile) {
  const auto result = analyze_counts(read_count_files({write("all.json", golden_.inputs.at("domains"))}, 0), 0);
  check_load(result, {"mri", "entropy", "cv", "max_share", "top1_max_share"});
  EXPECT_EQ(find_table(result, "token_specialization"), nullptr);
  EXPECT_EQ(*find_table(result, "load")->tokens, 101);
  EXPECT_EQ(result.notes.size(), 2u);
  EXPECT_THAT(result.notes,
              Contains(HasSubstr("load: no intervals, since counts do not say which tokens stood together")));
}

TEST_F(Counts, OneDomainAFileMatchesWhereTokensAreKnown) {
  check_load(analyze_counts(read_count_files(write_each("one"), 2), 0), {"mri", "entropy", "cv", "max_share"}, true);
  const auto unknown = analyze_counts(read_count_files(write_each("one"), 0), 0);
  check_load(unknown, {"entropy", "cv", "max_share"}, true);
  EXPECT_TRUE(cell(*find_table(unknown, "load"), 0, "mri").is_null());
  EXPECT_THAT(unknown.notes, Contains(HasSubstr("load: news states neither tokens nor k")));
}

TEST_F(Counts, ByTokenIdMatchTheGoldenFile) {
  const auto result = analyze_counts(read_count_files(write_each("ids"), 0), 5);
  check_load(result, {"mri", "entropy", "cv", "max_share"});
  const auto* tokens = find_table(result, "token_specialization");
  ASSERT_NE(tokens, nullptr);
  for (size_t row = 0; row < 4; ++row) {  // domains, then layers
    const auto& need = golden_.outputs.at("token_std").at(cell(*tokens, row, "domain").as_string()).at(row % 2);
    for (const char* column : {"ids", "std", "baseline_std"}) near(*tokens, row, column, need.at(column));
    EXPECT_EQ(cell(*tokens, row, "minimum_count").as_int(), 5);
  }
  const auto* vocabulary = find_table(result, "vocabulary_specialization");
  for (size_t row = 0; row < 4; ++row) {  // layers, then minimum counts
    const auto& need = golden_.outputs.at("vocabulary").at(row / 2).at(row % 2 == 0 ? "1" : "5");
    for (const char* column : {"ids", "mean", "mean_by_occurrence"}) near(*vocabulary, row, column, need.at(column));
    EXPECT_TRUE(cell(*vocabulary, row, "load_chance").is_null());  // k = 2
    EXPECT_EQ(cell(*vocabulary, row, "k").as_int(), 2);
    EXPECT_EQ(cell(*vocabulary, row, "id_kind").as_string(), "input");
  }
}

TEST_F(Counts, TheRulesOfTheSourcesHoldWithoutAMinimum) {
  const auto result = analyze_counts(read_count_files(write_each("ids"), 0), 0);
  EXPECT_EQ(cell(*find_table(result, "token_specialization"), 0, "minimum_count").as_int(), 129);
  EXPECT_TRUE(cell(*find_table(result, "token_specialization"), 0, "std").is_null());  // no id is seen as often
  EXPECT_EQ(cell(*find_table(result, "vocabulary_specialization"), 1, "minimum_count").as_int(), 10);
}

TEST_F(Counts, CompareIdsWithTheLoadOfTheirLayer) {
  // Id 4 once at expert 0, id 6 twice; shares 2/3 and 1/3.
  const auto path = write(
      "ids.json",
      Json::parse(
          R"({"model": "made", "layers": [0], "top_k": 1, "n_experts": 2, "domain": "poems", "layer_expert_token_counts": [{"0": {"4": 1, "6": 1}, "1": {"6": 1}}]})",
          "ids"));
  const auto result = analyze_counts(read_count_files({path}, 0), 1);
  // Once: std 1/2. Twice: 1/2 with 5 of 9, else even.
  EXPECT_NEAR(cell(*find_table(result, "token_specialization"), 0, "load_std").as_double(),
              (0.5 + std::sqrt(5.0 / 9 / 4)) / 2, 1e-12);
  // Once: 1. Twice: 1 with 5 of 9, else 1/2, over 4,096 draws.
  EXPECT_NEAR(cell(*find_table(result, "vocabulary_specialization"), 0, "load_chance").as_double(), (1 + 7.0 / 9) / 2,
              4 * 0.25 / std::sqrt(4096.0) / 2);
}

TEST_F(Counts, FilesMustHaveOneK) {
  const auto path = write("all.json", golden_.inputs.at("domains"));  // k = 2
  const auto other = write(
      "poems.json",
      Json::parse(
          R"({"model": "made", "n_experts": 5, "layers": [0], "domains": {"poems": {"topk": [[1, 0, 0, 0, 0]], "top1": [[1, 0, 0, 0, 0]]}}})",
          "poems"));
  EXPECT_THAT(testing::message_of<DataError>([&] {
                read_count_files({path, other}, 0);
              }),
              HasSubstr(other.string() + ": poems: got 1 experts a token; need 2 as in " + path.string()));
}

TEST_F(Counts, FilesMustBeOfOneModelAndOfDifferentDomains) {
  const auto path = write("all.json", golden_.inputs.at("domains"));
  auto other = golden_.inputs.at("one").at("news");
  EXPECT_THAT(testing::message_of<DataError>([&] {
                read_count_files({path, write("news.json", other)}, 0);
              }),
              HasSubstr("got the domain 'news', which " + path.string() + " has too"));
  other["domain"] = "poems";
  EXPECT_EQ(read_count_files({path, write("poems.json", other)}, 0).size(), 3u);
  other["model"] = "another";
  EXPECT_THAT(testing::message_of<DataError>([&] {
                read_count_files({path, write("poems.json", other)}, 0);
              }),
              HasSubstr("got 5 experts of the model 'another'; need 5 of 'made' as in " + path.string()));
}

}  // namespace
}  // namespace evenkeel::analysis
