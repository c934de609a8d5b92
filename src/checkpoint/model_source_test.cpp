#include "checkpoint/model_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "model/init.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using evenkeel::testing::message_of;
using evenkeel::testing::same_bits;
using evenkeel::testing::TemporaryFolder;
using ::testing::HasSubstr;

model::ModelConfig tiny_model(const std::string& extra = "") {
  return model::read_model_config(parse_toml(
      "vocab_size = 11\nd_model = 8\nn_layers = 1\nn_heads = 2\nn_experts = 3\ntop_k = 2\nd_expert = 4\n" + extra, "m",
      ""));
}

class ModelSourceTest : public ::testing::Test {
 protected:
  // A whole checkpoint of `step` with the tensors of init_params, changed by `change`.
  fs::path save(int64_t step, const std::function<void(NamedTensors&)>& change = {},
                const std::string& state = "") const {
    NamedTensors tensors;
    for (const auto& [name, tensor] : model::init_params(config_, 1)) tensors.emplace_back(name, tensor);
    if (change) change(tensors);
    const auto path = folder_ / "run" / "checkpoints" / step_folder_name(step);
    make_folders(path.parent_path());
    save_folder(path, [&](const fs::path& temporary) {
      write_safetensors(temporary / "model.safetensors", tensors, {});
      Json json = Json::object();
      json["model"] = model::model_config_json(config_);
      json["sequence_length"] = 64;
      write_file_atomically(temporary / "state.json", state.empty() ? json.dump() : state);
    });
    return path;
  }
  TemporaryFolder folder_;
  model::ModelConfig config_ = tiny_model();
};

TEST_F(ModelSourceTest, ARunIsItsLastCheckpointUnlessAStepIsNamed) {
  save(3);
  save(12);
  const fs::path run = folder_ / "run";
  EXPECT_EQ(find_checkpoint(run, std::nullopt).filename(), "step-00000012");
  EXPECT_EQ(find_checkpoint(run, 3).filename(), "step-00000003");
  const fs::path third = run / "checkpoints" / "step-00000003";
  EXPECT_EQ(find_checkpoint(third, std::nullopt), third);
  EXPECT_EQ(find_checkpoint(third, 3), third);
  EXPECT_THAT(message_of<CheckpointError>([&] { find_checkpoint(third, 4); }),
              HasSubstr("need a run to choose a step from"));
  EXPECT_THAT(message_of<CheckpointError>([&] { find_checkpoint(run, 4); }),
              HasSubstr("got step 4; need one of the saved steps: 3, 12"));
}

TEST_F(ModelSourceTest, ADamagedStateIsNamedOnce) {
  const auto message = [&](const std::string& state) {
    const auto path = save(3, {}, state);
    const auto text = message_of<CheckpointError>([&] { open_model(path); });
    EXPECT_EQ(text.find("state.json"), text.rfind("state.json")) << text;
    EXPECT_THAT(text, ::testing::StartsWith((path / "state.json").string() + ": got ")) << text;
    return text;
  };
  EXPECT_THAT(message("{"), HasSubstr("text that is not JSON"));
  EXPECT_THAT(message("{}"), HasSubstr("got no key 'model'"));
}

TEST_F(ModelSourceTest, AnIdentityIsOfTheContentNotOfThePlace) {
  const auto third = save(3);
  const auto fourth = save(4, [](NamedTensors& tensors) { tensors[0].second.add_(1); });
  const auto moved = folder_ / "moved";
  fs::copy(third, moved);
  EXPECT_EQ(folder_record(moved), folder_record(third));
  EXPECT_FALSE(folder_record(fourth) == folder_record(third));
  EXPECT_EQ(folder_identity_v1(moved), folder_identity_v1(third));
  const auto hash_of = [&](const fs::path& folder) { return folder_record(folder).at("hash").as_string(); };
  const auto write_hf = [&](const std::string& name, const std::string& config, const std::string& bytes) {
    make_folders(folder_ / name);
    write_file_atomically(folder_ / name / "config.json", config);
    write_file_atomically(folder_ / name / "model.safetensors", bytes);
    return hash_of(folder_ / name);
  };
  const std::string llama = R"({"model_type": "llama"})";
  const std::string first = write_hf("a", llama, "1234");
  EXPECT_EQ(write_hf("b", llama, "1234"), first);
  EXPECT_NE(write_hf("c", llama, "1235"), first) << "the size is the same, the bytes are not";
  EXPECT_NE(write_hf("d", R"({"model_type": "olmoe"})", "1234"), first);

  // Known sizes and times stand in for the reading.
  Json known = folder_record(folder_ / "a");
  known["hash"] = "remembered";
  EXPECT_EQ(folder_record(folder_ / "a", &known).at("hash").as_string(), "remembered");
  write_hf("a", llama, "12345");
  EXPECT_NE(folder_record(folder_ / "a", &known).at("hash").as_string(), "remembered");
}

TEST_F(ModelSourceTest, SaysWhetherDocumentsWereSeparate) {
  const std::string model = model::model_config_json(config_).dump();
  const auto with = [&](const std::string& more) { return R"({"sequence_length":64,"model":)" + model + more + "}"; };
  EXPECT_TRUE(open_model(save(1, {}, with(R"(,"separate_documents":true)"))).separate_documents);
  EXPECT_FALSE(open_model(save(2, {}, with(R"(,"separate_documents":false)"))).separate_documents);
  EXPECT_FALSE(open_model(save(3, {}, with(""))).separate_documents);  // kept since format v1 was in use
  EXPECT_THROW(open_model(save(4, {}, with(R"(,"separate_documents":1)"))), CheckpointError);
}

// Who copies a step from a page and trains for another number of steps.
TEST_F(ModelSourceTest, NamesTheCheckpointsThatAreThere) {
  for (const char* name : {"step-00000052", "step-00000032"}) make_folders(folder_ / "run" / "checkpoints" / name);
  EXPECT_THAT(
      message_of<CheckpointError>([&] { open_model(folder_ / "run" / "checkpoints" / "step-00000977"); }),
      HasSubstr(
          "no such folder; need a checkpoint, run or Hugging Face folder; the run has step-00000032, step-00000052"));
}

TEST_F(ModelSourceTest, RefusesFoldersWithoutACheckpoint) {
  EXPECT_THAT(message_of<CheckpointError>([&] { find_checkpoint(folder_ / "nowhere", std::nullopt); }),
              HasSubstr("no such folder"));
  EXPECT_THAT(message_of<CheckpointError>([&] { find_checkpoint(folder_.path(), std::nullopt); }),
              HasSubstr("without a whole checkpoint"));
  EXPECT_THAT(message_of<CheckpointError>([&] { find_checkpoint(folder_.path(), 3); }),
              HasSubstr("need one of the saved steps: none"));
}

TEST_F(ModelSourceTest, OpensACheckpointWithItsModelAndLength) {
  save(12);
  const auto source = open_model(folder_ / "run");
  EXPECT_EQ(source.kind, "checkpoint");
  EXPECT_EQ(source.folder.filename(), "step-00000012");
  EXPECT_EQ(source.sequence_length, 64);
  EXPECT_EQ(model::model_config_json(source.config), model::model_config_json(config_));
  const auto params = load_params(source);
  for (const auto& [name, tensor] : model::init_params(config_, 1))
    EXPECT_TRUE(same_bits(params.at(name), tensor)) << name;
}

TEST_F(ModelSourceTest, WiderTypesAreReadAsFp32) {
  const auto path = save(1, [](NamedTensors& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kBFloat16);
  });
  const auto params = load_params(open_model(path));
  for (const auto& [name, tensor] : model::init_params(config_, 1))
    EXPECT_TRUE(same_bits(params.at(name), tensor.to(at::kBFloat16).to(at::kFloat))) << name;
}

TEST_F(ModelSourceTest, RefusesTensorsThatAreNotTheModels) {
  const auto refusal = [&](const std::function<void(NamedTensors&)>& change) {
    const auto path = save(1, change);
    return message_of<CheckpointError>([&] { load_params(open_model(path)); });
  };
  EXPECT_THAT(refusal([](auto& tensors) { tensors.pop_back(); }), HasSubstr("got no tensor 'head.weight'"));
  EXPECT_THAT(refusal([](auto& tensors) { tensors.back().second = tensors.back().second.t().contiguous(); }),
              HasSubstr("got 'head.weight' of shape [8,11]; need [11,8]"));
  EXPECT_THAT(refusal([](auto& tensors) { tensors.emplace_back("extra", tensors[0].second); }),
              HasSubstr("tensors; need the"));
}

TEST_F(ModelSourceTest, RefusesADamagedCheckpoint) {
  const auto path = save(1);
  std::string bytes = read_file(path / "model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(path / "model.safetensors", bytes);
  EXPECT_THROW(open_model(path), CheckpointError);
  EXPECT_NO_THROW(open_model(path, std::nullopt, /*deep=*/false));  // names and sizes agree
  EXPECT_THROW(open_model(save(2, {}, "{")), CheckpointError);
  EXPECT_THROW(open_model(save(2, {}, R"({"sequence_length": 64})")), CheckpointError);
}

using HfSource = HfFolderTest;
TEST_F(HfSource, AHuggingFaceFolderIsReadByItsFamily) {
  make_llama();
  write();
  const auto source = open_model(folder_);
  EXPECT_EQ(source.kind, "llama");
  EXPECT_EQ(source.sequence_length, 64);  // max_position_embeddings
  EXPECT_TRUE(source.state.is_null());
  EXPECT_TRUE(same_bits(load_params(source).at("embedding.weight"), tensor("model.embed_tokens.weight")));
  EXPECT_THAT(message_of<CheckpointError>([&] { open_model(folder_, 3); }),
              HasSubstr("a Hugging Face folder and a step"));
  set("max_position_embeddings", 131072);
  write();
  EXPECT_EQ(open_model(folder_).sequence_length, 2048);
  EXPECT_EQ(open_model(folder_).longest_sequence, 131072);
}

}  // namespace
}  // namespace evenkeel::checkpoint
