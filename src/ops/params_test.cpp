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

TEST(Params, RefusesASecondTensorOfAName) {
  Params params;
  params.add("a", at::zeros({1}));
  EXPECT_THROW(params.add("a", at::zeros({1})), std::logic_error);
  EXPECT_THROW(params.at("b"), std::logic_error);
}

}  // namespace
}  // namespace evenkeel::ops
