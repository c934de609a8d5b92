#include "checkpoint/families.h"

#include <ATen/ops/equal.h>

#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class Families : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    make_llama();
  }
};

TEST_F(Families, AreListed) {
  const auto names = family_names();
  EXPECT_EQ(names.size(), 15U);
  EXPECT_EQ(std::count(names.begin(), names.end(), "mixtral"), 1);
}

TEST_F(Families, KnowAHuggingFaceFolder) {
  EXPECT_FALSE(is_hf_folder(folder_));
  write();
  EXPECT_TRUE(is_hf_folder(folder_));
  std::ofstream(folder_ / "config.json") << "{}";
  EXPECT_FALSE(is_hf_folder(folder_));
  EXPECT_FALSE(is_hf_folder(folder_ / "absent"));
}

TEST_F(Families, NameTheKnownOnesWhenAskedForAnother) {
  set("model_type", "mamba");
  expect_refusal({"model_type", "\"mamba\"", "llama, olmo2, olmoe"});
  set("model_type", nullptr);
  expect_refusal({"model_type", "llama, olmo2, olmoe"});
}

TEST_F(Families, WidenStoredTypesExactly) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    for (auto& [name, value] : tensors_) value = value.to(dtype);
    const auto params = read();
    for (const auto& [name, value] : params) EXPECT_EQ(value.scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(at::equal(params.at("head.weight"), tensor("lm_head.weight").to(at::kFloat)));
    EXPECT_TRUE(at::equal(params.at("layers.0.attention.qkv.weight").narrow(0, 16, 8),
                          tensor("model.layers.0.self_attn.k_proj.weight").to(at::kFloat)));
  }
}

TEST_F(Families, RefuseOtherStoredTypes) {
  tensor("model.norm.weight") = tensor("model.norm.weight").to(at::kDouble);
  expect_refusal({"model.norm.weight", "got F64", "F32, BF16 or F16"});
}

TEST_F(Families, RefuseMissingTensors) {
  for (const std::string name : {"model.norm.weight", "lm_head.weight", "model.layers.1.self_attn.v_proj.weight"}) {
    remove(name);
    expect_refusal({name, "got no tensor"});
    make_llama();
  }
}

TEST_F(Families, RefuseWrongShapesPartByPart) {
  tensor("model.layers.0.self_attn.q_proj.weight") = at::randn({8, 8});
  tensor("model.layers.0.self_attn.k_proj.weight") = at::randn({16, 8});  // the sum of the rows is right
  expect_refusal({"self_attn.q_proj.weight", "[8, 8]", "[16, 8]"});
}

TEST_F(Families, RefuseTensorsLeftOver) {
  set("num_hidden_layers", 1);
  expect_refusal({"9 tensors", "model.layers.1.", "..."});
}

TEST_F(Families, ReadTiedEmbeddings) {
  set("tie_word_embeddings", true);
  remove("lm_head.weight");
  const auto params = read();
  EXPECT_EQ(params.find("head.weight"), nullptr);
  tensors_.emplace_back("lm_head.weight", tensor("model.embed_tokens.weight").clone());
  EXPECT_EQ(read().find("head.weight"), nullptr);
  tensor("lm_head.weight")[0][0] += 1;
  expect_refusal({"lm_head.weight", "tie_word_embeddings"});
  remove("model.embed_tokens.weight");  // of the two the one that is there
  EXPECT_TRUE(at::equal(read().at("embedding.weight"), tensor("lm_head.weight")));
}

TEST_F(Families, KeepWhatIsStoredOfATiedHead) {
  set("tie_word_embeddings", true);
  auto& embedding = tensor("model.embed_tokens.weight");
  embedding = embedding.to(at::kBFloat16).to(at::kFloat);
  tensor("lm_head.weight") = embedding.to(at::kBFloat16);  // the same values in another type
  expect_there_and_back();
  tensor("lm_head.weight") = embedding.to(at::kInt);
  expect_refusal({"lm_head.weight", "got I32", "F32, BF16 or F16"});
  tensor("lm_head.weight") = at::randn({8, 11});
  expect_refusal({"lm_head.weight", "[8, 11]", "[11, 8]"});
  tensor("lm_head.weight") = embedding;
  remove("model.embed_tokens.weight");
  expect_there_and_back();
}

TEST(RowBlocks, AreWholeRunsOfTheOrderAndCoverAllRowsOnce) {
  Piece piece{.name = "q", .shape = {6, int64_t{3} << 20}, .order = {1, 0}};
  const auto blocks_of = [&] {
    std::vector<std::pair<int64_t, int64_t>> out;
    for_row_blocks(piece, [&](const RowBlock& block) {
      EXPECT_EQ(block.expert, -1);
      out.emplace_back(block.first, block.count);
    });
    return out;
  };
  EXPECT_EQ(blocks_of(), (std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 2}, {4, 2}}));
  piece.order.clear();
  piece.shape = {5, int64_t{2} << 20};  // two rows are 16 MiB of fp32
  EXPECT_EQ(blocks_of(), (std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 2}, {4, 1}}));
  piece.shape = {7};
  EXPECT_EQ(blocks_of(), (std::vector<std::pair<int64_t, int64_t>>{{0, 7}}));
  piece.shape = {0, 3};
  EXPECT_TRUE(blocks_of().empty());
  piece.shape = {3, 0};
  EXPECT_EQ(blocks_of(), (std::vector<std::pair<int64_t, int64_t>>{{0, 3}}));
}

TEST(RowBlocks, AreOfOneExpertAndOfAllItsRowsWhereTheseAreColumns) {
  Piece piece{.name = "gate", .shape = {3, int64_t{2} << 20}, .expert = 5};
  const auto blocks_of = [&] {
    std::vector<std::vector<int64_t>> out;
    for_row_blocks(piece, [&](const RowBlock& block) { out.push_back({block.expert, block.first, block.count}); });
    return out;
  };
  using Blocks = std::vector<std::vector<int64_t>>;
  EXPECT_EQ(blocks_of(), (Blocks{{5, 0, 2}, {5, 2, 1}}));
  piece = {.name = "stack", .shape = {2, 3, int64_t{2} << 20}, .is_stacked = true};
  EXPECT_EQ(blocks_of(), (Blocks{{0, 0, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 1}}));
  piece.is_transposed = true;
  piece.shape = {2, int64_t{2} << 20, 3};
  EXPECT_EQ(blocks_of(), (Blocks{{0, 0, 3}, {1, 0, 3}}));
  piece.is_stacked = false;
  piece.shape = {int64_t{2} << 20, 3};
  EXPECT_EQ(blocks_of(), (Blocks{{-1, 0, 3}}));
}

}  // namespace
}  // namespace evenkeel::checkpoint
