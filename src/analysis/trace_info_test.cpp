#include "analysis/trace_info.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel::analysis {
namespace {

using ::testing::HasSubstr;

TraceInfo sample() {
  TraceInfo info;
  info.name = "en";
  info.model = "runs/first";
  info.step = 120;
  info.mode = "train";
  info.capacity = "{\"rule\":\"switch\"}";
  info.tokenizer_sha256 = "9f86d0";
  info.tokenizer = "data/tok.model";
  info.n_experts = 64;
  info.top_k = 8;
  info.vocab_size = 50304;
  info.sequence_length = 2048;
  info.batch_size = 16;
  info.score = moe::Score::sigmoid;
  return info;
}

TEST(TraceInfo, MetadataReadBack) {
  const auto read = trace_info_from_metadata(trace_metadata(sample()), "f");
  EXPECT_EQ(trace_metadata(read), trace_metadata(sample()));
  EXPECT_TRUE(read.score == moe::Score::sigmoid);
  EXPECT_FALSE(read.is_dropless());
  EXPECT_EQ(read.step, 120);
  EXPECT_EQ(trace_metadata(sample()).at("format_version"), "1");
}

TEST(TraceInfo, WhatEvenkeelAddsMayBeAbsent) {
  auto metadata = trace_metadata(sample());
  for (const char* key : {"vocab_size", "sequence_length", "batch_size", "score", "tokenizer", "step"})
    metadata.erase(key);
  const auto read = trace_info_from_metadata(metadata, "f");
  EXPECT_EQ(read.vocab_size, 0);
  EXPECT_EQ(read.sequence_length, 0);
  EXPECT_EQ(read.batch_size, 1);
  EXPECT_EQ(read.tokenizer, "");
  EXPECT_EQ(read.step, std::nullopt);
  EXPECT_FALSE(trace_metadata(read).contains("step"));
  EXPECT_TRUE(read.score == moe::Score::softmax);
}

TEST(TraceInfo, ADenseModelHasNoExperts) {
  auto info = sample();
  info.n_experts = info.top_k = 0;
  EXPECT_EQ(trace_info_from_metadata(trace_metadata(info), "f").n_experts, 0);
}

TEST(TraceInfo, TracesThatDoNotCompareAreRefusedByNameAndValue) {
  const auto message = [](auto change, auto check) {
    const TraceInfo need = sample();
    TraceInfo got = need;
    change(got);
    return testing::message_of<DataError>([&] { check(got, need, "b.st", "a.st"); });
  };
  EXPECT_NO_THROW(check_one_model(sample(), sample(), "b.st", "a.st"));
  EXPECT_THAT(message([](TraceInfo& info) { info.mode = "eval"; }, check_one_pass),
              HasSubstr("b.st: metadata mode: got 'eval'; need 'train' as in a.st"));
  EXPECT_THAT(message([](TraceInfo& info) { info.sequence_length = 77; }, check_one_pass),
              HasSubstr("b.st: metadata sequence_length: got '77'; need '"));
  EXPECT_THAT(message([](TraceInfo& info) { info.tokenizer_sha256 = "other"; }, check_one_pass),
              HasSubstr("b.st: metadata tokenizer_sha256: got 'other'; need '"));
  EXPECT_THAT(
      message([](TraceInfo& info) { info.top_k = 1; }, check_one_pass),
      HasSubstr("b.st: got 0 MoE layers of 64 experts, 1 a token; need 0 of 64, 8, the same layers, as in a.st"));
  EXPECT_THAT(message([](TraceInfo& info) { info.model = "other\n"; }, check_one_model),
              ::testing::Not(HasSubstr("\n")));
  EXPECT_THAT(message([](TraceInfo& info) { info.step = 7; }, check_one_model),
              HasSubstr("b.st: metadata step: got '7'; need '"));
  EXPECT_THAT(message([](TraceInfo& info) { info.capacity = "{}"; }, check_one_model),
              HasSubstr("b.st: metadata capacity: got '{}'; need '"));
  // A reference is another model, and what a file does not say may be anything.
  TraceInfo other = sample();
  other.model = "other";
  other.step = 7;
  EXPECT_NO_THROW(check_one_pass(other, sample(), "b.st", "a.st"));
  TraceInfo unknown = sample();
  unknown.step = std::nullopt;
  unknown.sequence_length = 0;
  unknown.tokenizer_sha256.clear();
  EXPECT_NO_THROW(check_one_model(unknown, sample(), "b.st", "a.st"));
  EXPECT_NO_THROW(check_one_model(sample(), unknown, "b.st", "a.st"));
}

TEST(TraceInfo, RefusesWhatIsMissingOrOutOfRange) {
  for (const char* key :
       {"name", "model", "n_experts", "top_k", "mode", "capacity", "tokenizer_sha256", "format_version"}) {
    auto metadata = trace_metadata(sample());
    metadata.erase(key);
    EXPECT_THAT(testing::message_of<DataError>([&] { trace_info_from_metadata(metadata, "f.st"); }),
                HasSubstr("f.st: metadata: got no '" + std::string(key) + "'"));
  }
  const auto message = [&](const std::string& key, const std::string& value) {
    auto metadata = trace_metadata(sample());
    metadata[key] = value;
    return testing::message_of<DataError>([&] { trace_info_from_metadata(metadata, "f.st"); });
  };
  EXPECT_THAT(message("n_experts", "1000000000"),
              HasSubstr("metadata n_experts: got '1000000000'; need a whole number from 0 to 1048576"));
  EXPECT_THAT(message("n_experts", "-64"), HasSubstr("got '-64'"));
  EXPECT_THAT(message("n_experts", "64x"), HasSubstr("got '64x'"));
  EXPECT_THAT(message("n_experts", ""), HasSubstr("got ''"));
  EXPECT_THAT(message("top_k", "65"), HasSubstr("metadata top_k: got '65'; need a whole number from 1 to 64"));
  EXPECT_THAT(message("top_k", "0"), HasSubstr("need a whole number from 1"));
  EXPECT_THAT(message("mode", "test"), HasSubstr("metadata mode: got 'test'; need eval or train"));
  EXPECT_THAT(message("format_version", "2"), HasSubstr("metadata format_version: got '2'; need 1"));
  EXPECT_THAT(message("vocab_size", "99999999999"), HasSubstr("metadata vocab_size"));
  EXPECT_THAT(message("sequence_length", "-1"), HasSubstr("metadata sequence_length: got '-1'"));
  EXPECT_THAT(message("batch_size", "0"), HasSubstr("metadata batch_size: got '0'"));
  EXPECT_THAT(message("step", "-1"), HasSubstr("metadata step: got '-1'"));
  EXPECT_THAT(message("score", "tanh"), HasSubstr("metadata score: got 'tanh'; need softmax, sigmoid or sqrtsoftplus"));
}

}  // namespace
}  // namespace evenkeel::analysis
