#include "checkpoint/open_weights.h"

#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "model/init.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using evenkeel::testing::message_of;
using evenkeel::testing::same_bits;
using ::testing::HasSubstr;

// A model.safetensors of a checkpoint, most of it in bf16. Of folders see HfFolderTest::read, in every family's test.
class OpenWeights : public HfFolderTest {
 protected:
  ModelSource save(const std::string& left_out = "") {
    ModelSource out;
    out.folder = folder_;
    out.kind = "checkpoint";
    out.config = model::read_model_config(
        parse_toml("vocab_size = 11\nd_model = 8\nn_layers = 2\nn_heads = 2\nn_experts = 3\ntop_k = 2\nd_expert = "
                   "4\nexpert_bias = true\nactivation = \"swiglu_clamped\"",
                   "m", ""));
    NamedTensors tensors;
    for (const auto& [name, tensor] : model::init_params(out.config, 1))
      if (name != left_out) tensors.emplace_back(name, name == "final_norm.weight" ? tensor : tensor.to(at::kBFloat16));
    write_safetensors(folder_ / "model.safetensors", tensors, {});
    return out;
  }
};

TEST_F(OpenWeights, GiveThoseOfACheckpointWholeAndByExpert) {
  const auto source = save();
  const auto need = load_params(source);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto stored = open_weights(source, {dtype, at::kCPU});
    EXPECT_EQ(stored->device(), at::kCPU);
    int64_t n_experts = 0;
    for (size_t i = 0; i < need.size(); ++i) {
      EXPECT_TRUE(same_bits(stored->parameter(i), need.tensor(i).to(dtype))) << need.name(i);
      for (int64_t e = 0; need.name(i).find(".experts.") != std::string::npos && e < 3; ++e, ++n_experts)
        EXPECT_TRUE(same_bits(stored->expert(i, e), need.tensor(i)[e].to(dtype))) << need.name(i);
    }
    EXPECT_EQ(n_experts, 2 * 4 * 3);
  }
}

TEST_F(OpenWeights, NameWhatACheckpointLacks) {
  const auto source = save("layers.1.experts.down");
  EXPECT_THAT(message_of<CheckpointError>([&] { open_weights(source, {}); }),
              HasSubstr("model.safetensors: got no tensor 'layers.1.experts.down'; need it"));
}

// In a type that is not the stored one, of tensors that are stacked of others.
TEST_F(OpenWeights, GiveThoseOfAFolderInTheAskedType) {
  make_llama();
  const auto need = read();
  ModelSource source;
  source.folder = folder_;
  const auto stored = open_weights(source, {at::kBFloat16, at::kCPU});
  for (size_t i = 0; i < need.size(); ++i)
    EXPECT_TRUE(same_bits(stored->parameter(i), need.tensor(i).to(at::kBFloat16))) << need.name(i);
}

}  // namespace
}  // namespace evenkeel::checkpoint
