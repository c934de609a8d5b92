#include "checkpoint/weights_folder.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "checkpoint/packed_weights.h"
#include "core/errors.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

namespace fs = std::filesystem;

class WeightsFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    plain_ = testing::random_tensor({3, 2}, 1).to(at::kHalf);
    blocks_ = testing::random_ids(2 * 3 * 2 * 16, 256, 2).view({2, 3, 2, 16}).to(at::kByte);
    scales_ = (testing::random_ids(2 * 3 * 2, 9, 3).view({2, 3, 2}) + 120).to(at::kByte);
    fp8_ = testing::random_ids(130 * 2, 120, 4).view({130, 2}).to(at::kByte).view(at::kFloat8_e4m3fn);
    fp8_scales_ = at::full({2, 1}, 0.5F);
    fp8_scales_[1] = 3;
  }
  void TearDown() override { fs::remove_all(folder_); }
  NamedTensors tensors() const {
    return {{"w", plain_}, {"e_blocks", blocks_}, {"e_scales", scales_}, {"q", fp8_}, {"q_scale_inv", fp8_scales_}};
  }
  WeightsFolder open(const NamedTensors& tensors) const {
    write_safetensors(folder_ / "model.safetensors", tensors, {});
    return WeightsFolder(folder_);
  }
  std::string refusal(NamedTensors tensors, const std::string& without = "") const {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first == without; });
    const auto message = testing::message_of<CheckpointError>([&] { open(tensors); });
    EXPECT_TRUE(message.starts_with(folder_.string() + ": tensor ")) << message;
    return message.substr((folder_.string() + ": tensor ").size());
  }

  const fs::path folder_ = fs::temp_directory_path() / ("evenkeel_weights_" + std::to_string(getpid()));
  at::Tensor plain_, blocks_, scales_, fp8_, fp8_scales_;
};

TEST_F(WeightsFolderTest, ShowsTensorsAsTheirClassHasThem) {
  const auto folder = open(tensors());
  std::string shown;
  for (const auto& [name, entry] : folder.entries()) {
    shown += name + " [";
    for (const int64_t size : entry.shape) shown += std::to_string(size) + ",";
    shown += "] ";
    EXPECT_EQ(entry.dtype, name == "w" ? at::kHalf : at::kBFloat16) << name;
  }
  EXPECT_EQ(shown, "e [2,64,3,] q [130,2,] w [3,2,] ");
  EXPECT_TRUE(testing::same_bits(folder.load("w"), plain_));
  EXPECT_TRUE(testing::same_bits(folder.load_rows("w", 1, 2), plain_.narrow(0, 1, 2)));
  EXPECT_TRUE(testing::same_bits(folder.load_inner_rows("w", 2, 1, 1), plain_[2].narrow(0, 1, 1)));
  const auto experts = decode_mxfp4(blocks_, scales_, "").transpose(1, 2);
  EXPECT_TRUE(testing::same_bits(folder.load("e"), experts));
  EXPECT_TRUE(testing::same_bits(folder.load_rows("e", 1, 1), experts.narrow(0, 1, 1)));
  EXPECT_TRUE(testing::same_bits(folder.load_inner_rows("e", 1, 5, 40), experts[1].narrow(0, 5, 40)));
  const auto matrix = decode_fp8(fp8_, fp8_scales_, "");
  EXPECT_TRUE(testing::same_bits(folder.load("q"), matrix));
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 130}, {129, 1}, {126, 4}, {3, 5}})
    EXPECT_TRUE(testing::same_bits(folder.load_rows("q", first, count), matrix.narrow(0, first, count))) << first;
  EXPECT_TRUE(testing::same_bits(folder.load_inner_rows("q", 129, 1, 1), matrix[129].narrow(0, 1, 1)));
  EXPECT_FALSE(folder.contains("e_blocks"));
  EXPECT_THROW(folder.load("none"), CheckpointError);
}

TEST_F(WeightsFolderTest, RefusesHalvesThatDoNotFit) {
  EXPECT_EQ(refusal(tensors(), "e_scales"), "'e_blocks': got no 'e_scales' beside it; need its scales");
  EXPECT_EQ(refusal(tensors(), "q_scale_inv"),
            "'q': got F8_E4M3 without 'q_scale_inv'; need its scales, or F32, BF16 or F16");
  auto changed = tensors();
  changed.emplace_back("e", plain_);
  EXPECT_EQ(refusal(changed), "'e_blocks': got it beside 'e'; need one of them");
  const auto with = [&](size_t index, const at::Tensor& tensor) {
    auto out = tensors();
    out[index].second = tensor;
    return refusal(out);
  };
  EXPECT_EQ(with(1, blocks_.to(at::kChar)), "'e_blocks': got I8 [2,3,2,16]; need U8 [experts, rows, columns / 32, 16]");
  EXPECT_EQ(with(2, scales_.narrow(2, 0, 1)),
            "'e_scales': got U8 [2,3,1]; need U8 [2,3,2], one for each of the blocks");
  EXPECT_EQ(with(4, at::ones({1, 1})),
            "'q_scale_inv': got F32 [1,1]; need F32, F8_E8M0 or U8 [2,1], one for each block of 128 x 128");
}

}  // namespace
}  // namespace evenkeel::checkpoint
