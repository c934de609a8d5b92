#include "cli/model_run.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "support/gradients.h"
#include "support/tiny_run.h"
#include "train/trainer.h"

namespace evenkeel::cli {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::vector<std::string>& arguments) {
  Options options("eval", "x", arguments);
  ModelRunOptions run;
  run.declare(options);
  options.example("x");
  return testing::message_of<ConfigError>([&] {
    options.parse();
    run.check();
  });
}

TEST(ModelRunOptions, RefuseWhatIsOutOfRange) {
  EXPECT_THAT(
      refusal({"--sequence-length", "-1"}),
      HasSubstr("--sequence-length: got -1; need a whole number from 0 (as the model was trained) to 2147483647"));
  EXPECT_THAT(refusal({"--batch-size", "0"}),
              HasSubstr("--batch-size: got 0; need a whole number from 1 to 2147483647"));
  for (const char* number : {"2147483648", "99999999999999999999", "9999999B"})
    EXPECT_THAT(refusal({"--batch-size", number}),
                HasSubstr(std::string("--batch-size: got ") + number + "; need a whole number from 1 to 2147483647"));
  EXPECT_THAT(refusal({"--max-tokens", "-5"}), HasSubstr("--max-tokens: got -5"));
  EXPECT_THAT(refusal({"--mode", "test"}), HasSubstr("--mode: got 'test'; need eval or train"));
  EXPECT_THAT(refusal({"--dtype", "fp8"}), HasSubstr("--dtype: got 'fp8'; need fp32 or bf16"));
  EXPECT_NO_THROW(ModelRunOptions{}.check());
}

TEST(LoadModel, GivesTheWeightsInTheAskedType) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  const auto config = testing::tiny_config(folder.path(), {"phase.one.steps=1", "phase.two.steps=1"});
  train::TrainOptions options;
  options.run = folder / "run";
  options.device = "cpu";
  train::train_run(config, options);
  const auto source = open_checked((folder / "run").string());
  ModelRunOptions run;
  run.device = "cpu";
  const auto full = load_model(source, "m", run);
  run.dtype = "bf16";
  const auto narrow = load_model(source, "m", run);
  EXPECT_EQ(full.params.at("head.weight").scalar_type(), at::kFloat);
  EXPECT_EQ(narrow.params.at("head.weight").scalar_type(), at::kBFloat16);
  EXPECT_EQ(full.router_states.size(), 2u);
  EXPECT_FALSE(full.params.at("head.weight").requires_grad());
  run.dtype = "fp32";
  run.mapped = true;
  const auto stored = load_model(source, "m", run);  // the same weights where they lie
  EXPECT_EQ(stored.params.size(), 0u);
  ASSERT_NE(stored.stored, nullptr);
  for (size_t i = 0; i < full.params.size(); ++i)
    EXPECT_TRUE(testing::same_bits(stored.stored->parameter(i), full.params.tensor(i))) << full.params.name(i);
  EXPECT_GT(stored.group_bytes, 0);
  EXPECT_EQ(weight_bytes(full), 4.0 * static_cast<double>(full.params.n_elements()));
  EXPECT_EQ(weight_bytes(narrow) * 2, weight_bytes(full));
  EXPECT_GT(weight_bytes(stored), stored.group_bytes);  // and what a layer has in hand
}

TEST(NameBadWeight, NamesTheFirstThatIsNotFinite) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  const auto config = testing::tiny_config(folder.path(), {"phase.one.steps=1", "phase.two.steps=1"});
  train::TrainOptions options;
  options.run = folder / "run";
  options.device = "cpu";
  train::train_run(config, options);
  ModelRunOptions run;
  run.device = "cpu";
  auto model = load_model(open_checked((folder / "run").string()), "m", run);
  const NumericsError error("layer 0: got nan; need a number");
  EXPECT_NO_THROW(name_bad_weight(model, error));
  model.params.at("head.weight").data_ptr<float>()[3] = INFINITY;
  EXPECT_EQ(testing::message_of<NumericsError>([&] { name_bad_weight(model, error); }),
            "m: got values that are not finite in the weight head.weight; need finite ones (they led to: layer 0: got "
            "nan; need a number)");
}

TEST(WarnOfLength, SaysWhatTheModelIsMadeFor) {
  checkpoint::ModelSource source;
  source.kind = "checkpoint";
  source.longest_sequence = 64;
  const auto warning = [&](int64_t length) {
    ModelRunOptions options;
    options.sequence_length = length;
    ::testing::internal::CaptureStderr();
    warn_of_length(source, "runs/a", options);
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warning(0), "");
  EXPECT_EQ(warning(64), "");
  EXPECT_THAT(warning(65), HasSubstr("--sequence-length 65 is more than the 64 tokens that runs/a was trained with"));
  source.kind = "llama";
  EXPECT_THAT(warning(65), HasSubstr("64 tokens that runs/a is made for (max_position_embeddings)"));
}

TEST(OpenDatasets, NamesTheOptionAndTheVocabulary) {
  const testing::TemporaryFolder folder;
  const auto prefix = testing::write_tiny_data(folder, "a", 30);
  const std::vector<std::string> named = {"en=" + prefix}, bare = {prefix};
  EXPECT_EQ(open_datasets(named, false)[0].name, "en");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { open_datasets(bare, false); }), HasSubstr("--data: got '"));
  EXPECT_THAT(testing::message_of<DataError>([&] { check_vocabulary(open_datasets(named, false)[0].dataset, 3, 0); }),
              HasSubstr("need"));
}

TEST(TokenizerOrigin, IsThatOfTheDataOrNothing) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(tokenizer_origin(folder / "a").sha256, "");
  folder.write("a.json", "{\"tokenizer_sha256\": \"9f86\"}");
  EXPECT_EQ(tokenizer_origin(folder / "a").sha256, "") << "another program's";
  folder.write("a.json", R"({"format": "evenkeel.data.v1", "tokenizer_sha256": "9f86"})");
  EXPECT_EQ(tokenizer_origin(folder / "a").sha256, "9f86");
  folder.write("a.json", R"({"format": "evenkeel.data.v1", "tokenizer_sha256": null})");
  EXPECT_EQ(tokenizer_origin(folder / "a").sha256, "");
  folder.write("a.json",
               R"({"format": "evenkeel.data.v1", "tokenizer_sha256": "9f86", "tokenizer": "../tok/t.model"})");
  EXPECT_EQ(tokenizer_origin(folder / "a").path,
            (fs::absolute(folder / "a").parent_path().parent_path() / "tok" / "t.model").string());
  folder.write("a.json", R"({"format": "evenkeel.data.v1")");
  EXPECT_THROW(tokenizer_origin(folder / "a"), DataError);
}

TEST(FindTokenizer, TakesTheFirstFileOfTheHashThatTheDataWereMadeWith) {
  const testing::TemporaryFolder folder;
  folder.write("a.model", "one");
  folder.write("b.model", "two");
  fs::create_directories(folder / "hf");
  folder.write("hf/tokenizer.model", "two");
  const std::vector<std::string> candidates = {(folder / "absent.model").string(), (folder / "a.model").string(),
                                               (folder / "hf").string(), (folder / "b.model").string()};
  EXPECT_EQ(find_tokenizer(candidates, ""), candidates[1]);
  EXPECT_EQ(find_tokenizer(candidates, sha256_hex("two")), candidates[2] + "/tokenizer.model");
  EXPECT_EQ(find_tokenizer(candidates, sha256_hex("three")), "");
  folder.write("hf/tokenizer.json", "three");
  EXPECT_EQ(find_tokenizer(candidates, sha256_hex("three")), candidates[2] + "/tokenizer.json");
  EXPECT_EQ(find_tokenizer(candidates, sha256_hex("two")), candidates[2] + "/tokenizer.model");
  EXPECT_EQ(find_tokenizer({}, ""), "");
}

}  // namespace
}  // namespace evenkeel::cli
