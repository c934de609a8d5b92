#include "train/new_rows.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include "checkpoint/model_source.h"
#include "checkpoint/router_states.h"
#include "core/file_io.h"
#include "data/tokenizer.h"
#include "data/tokenizer_extend.h"
#include "model/init.h"
#include "support/gradients.h"
#include "support/trained_runs.h"
#include "train/starting_state.h"

namespace evenkeel::train {
namespace {

using model::NewEmbeddings;
using ::testing::HasSubstr;
using testing::message_of;
using testing::same_bits;

class NewRowsTest : public testing::RunTest {
 protected:
  // The weights of a tiny model of 16 ids, and of one of 19 that begins with them.
  ops::Params grown(const NewRows& rows, const std::vector<std::string>& more = {}) {
    auto overrides = more;
    old_ = model::init_params(config(overrides).model, 3);
    overrides.push_back("model.vocab_size=19");
    config_ = config(overrides).model;
    return with_new_rows(config_, rows, old_, 7);
  }
  at::Tensor new_of(const ops::Params& params, const std::string& name) { return params.at(name).narrow(0, 16, 3); }
  ops::Params old_;
  model::ModelConfig config_;
};

TEST_F(NewRowsTest, LeaveAllOthersToTheBit) {
  const auto params = grown({NewEmbeddings::mean, 16});
  ASSERT_EQ(params.size(), old_.size());
  for (const auto& [name, value] : old_) {
    const bool grows = name == "embedding.weight" || name == "head.weight";
    EXPECT_EQ(params.at(name).size(0), value.size(0) + (grows ? 3 : 0)) << name;
    EXPECT_TRUE(same_bits(params.at(name).narrow(0, 0, value.size(0)), value)) << name;
  }
}

TEST_F(NewRowsTest, BeginAsTheRecipeSays) {
  const std::vector<std::vector<int32_t>> parts = {{3, 5, 5}, {}, {0}};
  const auto mean = grown({NewEmbeddings::mean, 16}), zero = grown({NewEmbeddings::zero, 16}),
             normal = grown({NewEmbeddings::normal, 16}), pieces = grown({NewEmbeddings::pieces, 16, parts});
  const auto fresh = model::init_params(config_, 7);
  for (const std::string name : {"embedding.weight", "head.weight"}) {
    const auto old = old_.at(name).to(at::kDouble);
    const auto of_all = old.mean({0}).to(at::kFloat);
    for (int64_t row = 0; row < 3; ++row) EXPECT_TRUE(same_bits(new_of(mean, name)[row], of_all)) << name;
    EXPECT_EQ(new_of(zero, name).abs().max().item<double>(), 0);
    EXPECT_TRUE(same_bits(new_of(normal, name), new_of(fresh, name))) << name;  // as a new model of 19 has them
    EXPECT_TRUE(same_bits(new_of(pieces, name)[0], ((old[3] + 2 * old[5]) / 3).to(at::kFloat))) << name;
    EXPECT_TRUE(same_bits(new_of(pieces, name)[1], of_all)) << name;
    EXPECT_TRUE(same_bits(new_of(pieces, name)[2], old_.at(name)[0])) << name;
  }
}

// Of 16 rows 13 have pieces; the new pieces are the next four, of which two are in rows that were padding.
TEST_F(NewRowsTest, OfNewPiecesMayHaveBeenPadding) {
  const std::vector<std::vector<int32_t>> parts = {{3, 5, 5}, {}, {}, {0}};
  for (const auto how : {NewEmbeddings::pieces, NewEmbeddings::mean, NewEmbeddings::zero, NewEmbeddings::normal}) {
    const auto params = grown({how, 16, how == NewEmbeddings::pieces ? parts : decltype(parts){}, 13, 2});
    const auto fresh = model::init_params(config_, 7);
    for (const std::string name : {"embedding.weight", "head.weight"}) {
      const auto& now = params.at(name);
      const auto old = old_.at(name);
      const auto of_pieces = old.narrow(0, 0, 13).to(at::kDouble).mean({0}).to(at::kFloat);
      EXPECT_EQ(now.size(0), 19);
      EXPECT_TRUE(same_bits(now.narrow(0, 0, 13), old.narrow(0, 0, 13))) << name;
      EXPECT_TRUE(same_bits(now[15], old[15])) << name;  // still padding
      for (const int64_t row : {13, 14, 16, 17, 18}) {
        auto need = of_pieces;
        if (how == NewEmbeddings::zero) need = at::zeros({old.size(1)});
        if (how == NewEmbeddings::normal) need = fresh.at(name)[row];
        if (how == NewEmbeddings::pieces && row == 13)
          need = ((old[3].to(at::kDouble) + 2 * old[5].to(at::kDouble)) / 3).to(at::kFloat);
        if (how == NewEmbeddings::pieces && row == 16) need = old[0];
        EXPECT_TRUE(same_bits(now[row], need)) << name << " " << row << " " << name_of(how);
      }
    }
  }
}

TEST_F(NewRowsTest, OfATiedHeadAreThoseOfTheEmbedding) {
  const auto params = grown({NewEmbeddings::mean, 16}, {"model.tie_embeddings=true"});
  EXPECT_EQ(params.find("head.weight"), nullptr);
  EXPECT_EQ(params.at("embedding.weight").size(0), 19);
}

TEST_F(NewRowsTest, StatesWithARowOfEachIdGetMore) {
  ops::Params old, initial;
  old.add("table", at::arange(4));
  initial.add("table", at::arange(6) + 10);
  old.add("bias", at::arange(3));
  initial.add("bias", at::arange(3) * 0);
  const auto out = with_new_ids({old}, {initial});
  EXPECT_TRUE(same_bits(out[0].at("table").narrow(0, 0, 4), at::arange(4)));
  EXPECT_TRUE(same_bits(out[0].at("table").narrow(0, 4, 2), at::arange(2) + 14));
  EXPECT_TRUE(same_bits(out[0].at("bias"), at::arange(3)));
}

TEST_F(NewRowsTest, ARunBeginsWithThem) {
  train("first");
  const std::string from = "model.from=\"" + (folder_ / "first").string() + "\"", still = "phase.one.schedule.lr_max=0";
  train("second", {from, "model.vocab_size=20", "model.new_embeddings=mean", still});
  const auto before = checkpoint::load_params(checkpoint::open_model(checkpoint("first", 10))),
             after = checkpoint::load_params(checkpoint::open_model(checkpoint("second", 6)));
  for (const auto& [name, value] : before)
    EXPECT_TRUE(same_bits(after.at(name).narrow(0, 0, value.size(0)), value)) << name;
  EXPECT_EQ(after.at("head.weight").size(0), 20);
  train("second", {from, "model.vocab_size=20", "model.new_embeddings=mean", still}, /*resume=*/true);
}

TEST_F(NewRowsTest, ARouterByIdsKeepsItsTable) {
  const std::vector<std::string> hash = {"model.balance={loss = []}", "model.router={kind = \"hash\"}",
                                         "model.top_k=1"};
  train("first", hash);
  auto overrides = hash;
  for (const auto& more : {"model.from=\"" + (folder_ / "first").string() + "\"", std::string("model.vocab_size=20"),
                           std::string("model.new_embeddings=zero")})
    overrides.push_back(more);
  const auto with = config(overrides);
  const auto state = initial_state(with, model::Transformer(with.model), at::kCPU);
  const auto first = checkpoint::load_router_states(checkpoint::open_model(checkpoint("first", 10)),
                                                    model::Transformer(config(hash).model));
  EXPECT_EQ(state.router_states.at(0).at("table").size(0), 20);
  EXPECT_TRUE(same_bits(state.router_states[0].at("table").narrow(0, 0, 16), first.at(0).at("table")));
}

TEST_F(NewRowsTest, AreRefusedWithoutAWordOrATokenizer) {
  train("first");
  const std::string from = "model.from=\"" + (folder_ / "first").string() + "\"";
  const auto message = [&](const std::vector<std::string>& more) {
    auto overrides = more;
    overrides.push_back(from);
    return message_of<ConfigError>([&] { config(overrides); });
  };
  EXPECT_THAT(message({"model.vocab_size=15"}), HasSubstr("model.vocab_size: got 15; need at least 16 as in"));
  EXPECT_THAT(message({"model.vocab_size=20"}), HasSubstr("one of mean, normal, zero, pieces"));
  EXPECT_THAT(message({"model.vocab_size=20", "model.new_embeddings=men"}), HasSubstr("'men'; need one of"));
  EXPECT_THAT(message({"model.vocab_size=20", "model.new_embeddings=mean", "model.d_expert=7"}), HasSubstr("need 6"));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"model.new_embeddings=mean"}); }), HasSubstr("need model.from"));
  InputData data;
  const auto no_row = config({from, "model.new_embeddings=mean"});
  EXPECT_THAT(message_of<ConfigError>([&] { data.open(no_row); }),
              HasSubstr("model.new_embeddings: got 'mean'; need a model.vocab_size"));
  const auto pieces = config({from, "model.vocab_size=20", "model.new_embeddings=pieces"});
  EXPECT_THAT(message_of<DataError>([&] { data.open(pieces); }), HasSubstr("of which no tokenizer is known"));
}

// A model of 270 rows whose tokenizer has 268 pieces, and one that extends that by four.
class PaddedRowsTest : public testing::RunTest {
 protected:
  void SetUp() override {
    RunTest::SetUp();
    std::string text, more;
    for (int i = 0; i < 60; ++i) {
      text += "abcabd bcdabc dabcab\n";
      more += "xyzxyz yzxyzx zxyzxy\n";
    }
    data::train_tokenizer({.kind = "bpe", .vocab_size = 268}, {folder_.write("old.txt", text)}, folder_ / "old.model");
    data::extend_tokenizer({.tokenizer = folder_ / "old.model", .vocab_size = 272}, {folder_.write("new.txt", more)},
                           folder_ / "new.model");
    for (const char* set : {"a", "b", "a-heldout"}) describe(set, "old.model");
    train("first", {"model.vocab_size=270"});
  }
  // As `prepare` would.
  void describe(const std::string& set, const std::string& tokenizer) const {
    const Json json = Json::Object{{"format", "evenkeel.data.v1"},
                                   {"tokens", set == "a-heldout" ? 50 : 161},
                                   {"bytes", 5},
                                   {"tokenizer", tokenizer},
                                   {"tokenizer_sha256", sha256_file(folder_ / tokenizer)}};
    write_file_atomically((folder_ / set).string() + ".json", json.dump());
  }
  RunConfig grown(const std::string& vocab_size, const std::string& how) {
    return config({"model.from=\"" + (folder_ / "first").string() + "\"", "model.vocab_size=" + vocab_size,
                   "model.new_embeddings=" + how});
  }
  checkpoint::ModelSource first() const { return checkpoint::open_model(checkpoint("first", 10)); }
};

TEST_F(PaddedRowsTest, AreTakenForNewPieces) {
  describe("a", "new.model");
  const auto stays = new_rows(grown("270", "pieces"), first());
  EXPECT_EQ(stays.n_old, 270);
  EXPECT_EQ(stays.first, 268);
  EXPECT_EQ(stays.n_in_padding, 2);
  ASSERT_EQ(stays.parts.size(), 2U);
  for (const auto& ids : stays.parts) EXPECT_FALSE(ids.empty());
  const auto more = new_rows(grown("275", "pieces"), first());
  EXPECT_EQ(more.n_in_padding, 2);
  ASSERT_EQ(more.parts.size(), 7U);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(more.parts[i].empty(), i >= 4) << i;
  for (const char* how : {"mean", "zero", "normal"}) {
    EXPECT_EQ(new_rows(grown("270", how), first()).n_in_padding, 2) << how;
    EXPECT_EQ(new_rows(grown("275", how), first()).first, 268) << how;
  }
}

TEST_F(PaddedRowsTest, AreFilledInTheStateThatARunBeginsWith) {
  describe("a", "new.model");
  const auto with = grown("270", "pieces");
  const auto rows = new_rows(with, first());
  const auto state = initial_state(with, model::Transformer(with.model), at::kCPU);
  const auto old = checkpoint::load_params(first());
  for (const std::string name : {"embedding.weight", "head.weight"}) {
    const auto now = state.params.at(name).detach();
    EXPECT_TRUE(same_bits(now.narrow(0, 0, 268), old.at(name).narrow(0, 0, 268))) << name;
    for (int64_t i = 0; i < 2; ++i) {
      at::Tensor sum = at::zeros({now.size(1)}, at::kDouble);
      const auto& ids = rows.parts[static_cast<size_t>(i)];
      for (const int32_t id : ids) sum += old.at(name)[id].to(at::kDouble);
      // Of fp64 sums in another order, rounded to fp32.
      EXPECT_LE((now[268 + i].to(at::kDouble) - sum / static_cast<double>(ids.size())).abs().max().item<double>(), 1e-7)
          << name;
    }
  }
}

TEST_F(PaddedRowsTest, StayWhereNoPieceIsNew) {
  InputData data;
  EXPECT_THAT(message_of<ConfigError>([&] { data.open(grown("270", "pieces")); }),
              HasSubstr("got 'pieces'; need a model.vocab_size beside it that is more than 270 as in"));
  const auto more = new_rows(grown("275", "mean"), first());  // more rows, of no piece
  EXPECT_EQ(more.first, 268);
  EXPECT_EQ(more.n_in_padding, 0);
}

}  // namespace
}  // namespace evenkeel::train
