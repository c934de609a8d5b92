// docs/routers.md says of every registered router what its traits say, and names each of its options.
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "support/router_forms.h"
#include "support/source_folder.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

std::string document() { return read_file(testing::source_folder() / "docs" / "routers.md"); }

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(' '), end = text.find_last_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// The cells of each row of the table under "## Which router?", by the `name` in its first cell.
std::map<std::string, std::vector<std::string>> comparison() {
  std::map<std::string, std::vector<std::string>> out;
  const std::string text = document();
  const size_t begin = text.find("## Which router?"), end = text.find("\n## ", begin + 1);
  if (begin == std::string::npos) return out;
  std::istringstream lines(text.substr(begin, end - begin));
  for (std::string line; std::getline(lines, line);) {
    const size_t open = line.find('`'), close = line.find('`', open + 1);
    if (!line.starts_with("| [") || close == std::string::npos) continue;
    std::vector<std::string> cells;
    std::istringstream parts(line.substr(1));
    for (std::string cell; std::getline(parts, cell, '|');) cells.push_back(trimmed(cell));
    out[line.substr(open + 1, close - open - 1)] = cells;
  }
  return out;
}

const char* word_of(Scope scope) {
  switch (scope) {
    case Scope::token: return "token";
    case Scope::sequence: return "sequence";
    case Scope::micro_batch: return "micro-batch";
    case Scope::step: return "step";
  }
  return "";
}
std::string yes_or_no(bool value) { return value ? "yes" : "no"; }

class RouterDocument : public ::testing::TestWithParam<std::string> {
 protected:
  const testing::TestedRouter tested_{{GetParam(), ""}, 4, 1};
};

TEST_P(RouterDocument, ComparesWhatTheTraitsSay) {
  const auto rows = comparison();
  ASSERT_TRUE(rows.contains(GetParam())) << "need a row under \"Which router?\"";
  const auto& cells = rows.at(GetParam());
  ASSERT_EQ(cells.size(), 8u) << "router, scope, causal, even loads, experts a token, balance loss, state, source";
  const auto& traits = tested_.traits;
  EXPECT_THAT(cells[0], HasSubstr("](#" + GetParam()));
  EXPECT_EQ(cells[1], std::string(word_of(traits.train_scope)) + ", " + word_of(traits.eval_scope));
  EXPECT_EQ(cells[2], yes_or_no(traits.causal_train) + ", " + yes_or_no(traits.causal_eval));
  EXPECT_EQ(cells[3], yes_or_no(traits.balanced_train) + ", " + yes_or_no(traits.balanced_eval));
  EXPECT_EQ(cells[4], traits.max_top_k == 1 ? "1" : traits.exactly_k ? "k" : "0 to E");
  EXPECT_EQ(cells[5], !traits.has_matrix ? "none possible" : yes_or_no(traits.needs_balance));
  EXPECT_EQ(cells[6] == "none", tested_.state.size() == 0);
  for (const auto& [name, tensor] : tested_.state) EXPECT_THAT(cells[6], HasSubstr("`" + name + "`"));
  EXPECT_FALSE(cells[7].empty());
}

std::string section_of(const std::string& router) {
  const std::string text = document();
  const size_t begin = text.find("## `" + router + "`");
  return begin == std::string::npos ? "" : text.substr(begin, text.find("\n## ", begin + 1) - begin);
}

// What token-choice routers share stands once, under top_k; the others point there.
TEST_P(RouterDocument, HasASectionThatNamesEveryOption) {
  const std::string section = section_of(GetParam()), shared = section_of("top_k");
  ASSERT_NE(section, "") << "need a section";
  const bool points_there = section.find("](#top_k-the-k-largest-scores)") != std::string::npos;
  const Json options = tested_.router->options();
  for (const auto& [key, value] : options.as_object()) {
    const std::string name = "`" + key + "`";
    const bool is_named =
        section.find(name) != std::string::npos || (points_there && shared.find(name) != std::string::npos);
    EXPECT_TRUE(key == "kind" || is_named) << key;
  }
}

TEST(RouterComparison, HasNoRowForARouterThatDoesNotExist) {
  for (const auto& [name, cells] : comparison()) {
    bool is_registered = false;
    for (const auto& kind : router_kinds()) is_registered = is_registered || name == kind.name;
    EXPECT_TRUE(is_registered) << name;
  }
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }
std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& kind : router_kinds()) out.push_back(kind.name);
  return out;
}
INSTANTIATE_TEST_SUITE_P(AllRouters, RouterDocument, ::testing::ValuesIn(names()), name_of);

}  // namespace
}  // namespace evenkeel::moe
