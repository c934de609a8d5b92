#include "model/layer_part.h"

#include <gtest/gtest.h>

namespace evenkeel::model {
namespace {

class Part : public LayerPart {
 public:
  Part() {
    EXPECT_EQ(add("matrix", {6, 4}, Role::ffn_in), 0u);
    EXPECT_EQ(add("norm", {4}, Role::norm), 1u);
    EXPECT_EQ(add({"experts", {3, 2, 5}, Role::ffn_out, 0.5, {true, {{"a", 1}, {"b", 1}}}}), 2u);
  }
  ActivationFloats activations() const override { return {}; }

 private:
  double other_flops_per_token(int64_t sequence_length) const override {
    return 7.0 * static_cast<double>(sequence_length);
  }
};

TEST(LayerPart, CountsWhatATokenPasses) {
  const Part part;
  ASSERT_EQ(part.parameters().size(), 3u);
  EXPECT_EQ(part.parameters()[2].name, "experts");
  EXPECT_EQ(part.parameters()[2].n_elements(), 30);
  EXPECT_EQ(part.parameters()[2].n_active(), 15);
  EXPECT_EQ(part.parameters()[0].n_active(), 24);
  EXPECT_EQ(part.flops_per_token(10), 2 * (24 + 15) + 70);  // a norm is no product
}

// What is listed wrongly is our own mistake.
class Misfit : public LayerPart {
 public:
  Misfit() { add({"matrix", {6, 4}, Role::ffn_in, 1, {false, {{"a", 3}, {"b", 2}}}}); }
  ActivationFloats activations() const override { return {}; }
};
TEST(LayerPart, RefusesPartsThatAreNotItsRows) { EXPECT_THROW(Misfit(), std::logic_error); }

// A share that is no binary fraction still gives whole numbers.
TEST(LayerPart, RoundsTheActiveElements) {
  EXPECT_EQ((ParamSpec{"x", {6, 168}, Role::ffn_in, 2.0 / 6, {}}.n_active()), 2 * 168);
}

}  // namespace
}  // namespace evenkeel::model
