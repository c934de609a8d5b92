#include "ops/params.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace evenkeel::ops {
namespace {

TEST(Params, KeepsTheOrderOfInsertionAndCountsElements) {
  Params params;
  params.add("b", at::zeros({2, 3}));
  params.add("a", at::zeros({5}));
  std::string names;
  for (const auto& [name, tensor] : params) names += name;
  EXPECT_EQ(names, "ba");
  EXPECT_EQ(params.size(), 2u);
  EXPECT_EQ(params.n_elements(), 11);
  EXPECT_EQ(params.at("a").size(0), 5);
  EXPECT_EQ(params.find("c"), nullptr);
}

TEST(Params, GivesTensorsInAnyOrderOfNames) {
  Params params;
  for (const char* name : {"a", "b", "c"}) params.add(name, at::zeros({1}));
  for (const auto& names : {std::vector<std::string>{"a", "b", "c"}, {"c", "a"}, {"a", "c"}, {}}) {
    const auto tensors = params.in_order(names);
    ASSERT_EQ(tensors.size(), names.size());
    for (size_t i = 0; i < names.size(); ++i) EXPECT_TRUE(tensors[i].is_same(params.at(names[i]))) << names[i];
  }
  EXPECT_THROW(params.in_order({"a", "d"}), std::logic_error);
}

TEST(Params, RefusesASecondTensorOfAName) {
  Params params;
  params.add("a", at::zeros({1}));
  EXPECT_THROW(params.add("a", at::zeros({1})), std::logic_error);
  EXPECT_THROW(params.at("b"), std::logic_error);
}

}  // namespace
}  // namespace evenkeel::ops
