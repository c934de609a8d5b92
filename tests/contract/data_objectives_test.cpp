// What holds of every objective of the registry: text comes once an epoch, also where the objective changes, and what
// was drawn is drawn again, after a resume, by a replay, and in batches of any size.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader.h"
#include "support/gradients.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using testing::same_bits;

constexpr int64_t S = 24, kVocabulary = 60'000;
constexpr int32_t kTokens = 20 * S + 11;  // 20 samples, and 11 tokens that belong to none

// Keys of a kind beside its defaults, which fit sequences of 24: sentinels that no set has.
std::string table_of(const std::string& kind) {
  const bool has_sentinels = kind == "ul2" || kind == "span_corruption";
  return "{kind = \"" + kind + "\"" + (has_sentinels ? ", first_sentinel = 59000}" : "}");
}

class EveryObjective : public ::testing::Test {
 protected:
  // Token t of the set has the id first + t. Conversations of 5 tokens, of which the last two are scored.
  SourceSpec source(const std::string& name, int32_t first, const std::string& kind, double weight = 1) {
    const auto documents = testing::counted_documents(kTokens, 5, first);
    std::vector<std::vector<uint8_t>> scored;
    for (const auto& document : documents) {
      scored.emplace_back(document.size(), uint8_t{0});
      for (size_t i = 3; i < document.size(); ++i) scored.back()[i] = 1;
    }
    if (!std::filesystem::exists(folder_ / (name + ".idx")))
      testing::write_conversations(folder_, name, documents, scored);
    return {name, (folder_ / name).string(), weight, "r.toml:" + name,
            testing::objective_of(table_of(kind), {S, kVocabulary})};
  }
  Loader loader(const PhaseDraws& draws, SamplerState state = {}, bool document_ids = false) {
    return {{{S, kVocabulary, /*seed=*/7}, document_ids}, draws, std::move(state), datasets_};
  }
  Sampler sampler(const PhaseDraws& draws, SamplerState state = {}) {
    return {{S, kVocabulary, /*seed=*/7}, draws, std::move(state), datasets_};
  }
  testing::TemporaryFolder folder_;
  Datasets datasets_;
};

SamplerState next_phase(SamplerState state) {
  state.mixture.clear();
  state.replay_draws = 0;
  return state;
}
// As a checkpoint keeps it.
SamplerState reread(const SamplerState& state) {
  return sampler_state_from_json(Json::parse(to_json(state).dump(), "state"));
}

std::vector<std::string> kinds() {
  std::vector<std::string> out;
  for (const auto& kind : objective_kinds()) out.emplace_back(kind.name);
  return out;
}

void expect_same_batch(const Batch& got, const Batch& need, const std::string& what) {
  for (const auto part :
       {&Batch::tokens, &Batch::targets, &Batch::document_ids, &Batch::is_padding, &Batch::is_prefix}) {
    ASSERT_EQ((got.*part).defined(), (need.*part).defined()) << what;
    EXPECT_TRUE(!(need.*part).defined() || same_bits(got.*part, need.*part)) << what;
  }
  EXPECT_EQ(got.sources, need.sources) << what;
}

// The ids of the text of a draw, by the epoch of their places in the stream; of conversations, which have a text that
// reaches beyond their block, the first id of each.
void add_text(const Draw& draw, std::map<int64_t, std::multiset<int64_t>>& by_epoch, int64_t& position) {
  for (const auto& [id, piece] : draw.examples) {
    EXPECT_EQ(piece.begin, position);  // nothing is passed over
    position = piece.end;
    const auto text = draw.stream.read(piece, false);
    if (piece.in_file) {
      by_epoch[draw.stream.epoch_of(piece.end - 1)].insert(text.tokens[0]);
      continue;
    }
    for (size_t i = 0; i < text.tokens.size(); ++i)
      by_epoch[draw.stream.epoch_of(piece.begin + static_cast<int64_t>(i))].insert(text.tokens[i]);
  }
}

TEST_F(EveryObjective, HaveAllTextOnceAnEpoch) {
  for (const auto& kind : kinds())
    for (const bool shuffle : {false, true}) {
      Sampler drawing = sampler({.data = {source("a", 0, kind)}, .shuffle = shuffle});
      std::map<int64_t, std::multiset<int64_t>> by_epoch;
      int64_t position = 0;
      while (position < 3 * 20 * S) add_text(drawing.next(), by_epoch, position);
      std::multiset<int64_t> need;
      for (int64_t t = 0; t < 20 * S; ++t) need.insert(t);
      if (kind == "conversation") {
        need.clear();
        for (int64_t t = 0; t < kTokens; t += 5)
          if (t + 3 < kTokens) need.insert(t);  // the last one has a single token
      }
      for (int64_t epoch = 0; epoch < 3; ++epoch) EXPECT_EQ(by_epoch[epoch], need) << kind << " " << shuffle;
    }
}

// One cursor counts the text for all of them: what one phase left over is what the next one begins with.
TEST_F(EveryObjective, GoOnInTheTextWhereAnotherStopped) {
  for (const bool shuffle : {false, true}) {
    SamplerState state;
    std::map<int64_t, std::multiset<int64_t>> by_epoch;
    int64_t position = 0;
    const std::vector<std::string> order = {"ul2", "causal", "span_corruption", "prefix_lm", "ul2", "causal"};
    for (size_t phase = 0; phase < order.size(); ++phase) {
      Sampler drawing = sampler({.data = {source("a", 0, order[phase])}, .shuffle = shuffle}, next_phase(state));
      for (int draws = 0; draws < 16; ++draws) add_text(drawing.next(), by_epoch, position);
      state = reread(drawing.state());
    }
    ASSERT_GT(position, 3 * 20 * S);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const std::set<int64_t> distinct(by_epoch[epoch].begin(), by_epoch[epoch].end());
      EXPECT_EQ(by_epoch[epoch].size(), static_cast<size_t>(20 * S));
      EXPECT_EQ(distinct.size(), static_cast<size_t>(20 * S));
      EXPECT_EQ(*distinct.rbegin(), 20 * S - 1);
    }
  }
}

// A causal example inside of a sample takes the rest of it and the beginning of the next one; each token is scored by
// the one that follows it in the file.
TEST_F(EveryObjective, CausalTextBeginsWhereTheCursorIs) {
  SamplerState state;
  {
    Loader spans = loader({.data = {source("a", 0, "span_corruption")}});
    spans.next(1);
    state = spans.state();
  }
  ASSERT_GT(state.cursors.begin()->second.tokens, 0);
  const int64_t position = state.cursors.begin()->second.samples * S + state.cursors.begin()->second.tokens;
  Sampler names = sampler({.data = {source("a", 0, "causal")}}, next_phase(state));
  const auto draw = names.next();
  ASSERT_EQ(draw.examples.size(), 1U);
  EXPECT_EQ(draw.examples[0].text.begin, position);
  Loader causal = loader({.data = {source("a", 0, "causal")}}, next_phase(state));
  const auto batch = causal.next(1);
  for (int64_t i = 0; i < S; ++i) {
    const int64_t at = position + i, token = draw.stream.block_of(at) * S + at % S;
    EXPECT_EQ(batch.tokens[0][i].item<int64_t>(), token);
    EXPECT_EQ(batch.targets[0][i].item<int64_t>(), token + 1);
  }
}

TEST_F(EveryObjective, ResumeAtEverySequence) {
  constexpr int64_t kSequences = 60;  // beyond the first epoch of each kind
  for (const auto& kind : kinds())
    for (const bool shuffle : {false, true}) {
      const PhaseDraws draws{.data = {source("a", 0, kind, 2), source("b", 1000, "causal", 1)}, .shuffle = shuffle};
      Loader whole = loader(draws);
      std::vector<Batch> batches;
      std::vector<SamplerState> states = {whole.state()};
      for (int64_t i = 0; i < kSequences; ++i) {
        batches.push_back(whole.next(1));
        states.push_back(reread(whole.state()));
      }
      for (int64_t stop = 0; stop + 1 < kSequences; ++stop) {
        Loader resumed = loader(draws, states[static_cast<size_t>(stop)]);
        const int64_t n = std::min<int64_t>(3, kSequences - stop);  // as one batch too
        const auto first = batches.begin() + stop;
        expect_same_batch(resumed.next(n), joined(std::vector<Batch>(first, first + n)), kind);
      }
    }
}

TEST_F(EveryObjective, CountTheSequencesOfAMixture) {
  PhaseDraws draws;
  int32_t first = 0;
  for (const auto& kind : kinds()) {
    draws.data.push_back(source(kind, first, kind, 1 + first / 2000.0));
    first += 1000;
  }
  double weights = 0;
  for (const auto& spec : draws.data) weights += spec.weight;
  Loader drawing = loader(draws);
  std::map<std::string, int64_t> counts;
  for (int64_t n = 1; n <= 200; ++n) {
    for (const auto& [name, count] : drawing.next(1).sources) counts[name] += count;
    for (const auto& spec : draws.data)
      EXPECT_LT(std::abs(static_cast<double>(counts[spec.name]) - spec.weight / weights * static_cast<double>(n)), 1.0)
          << spec.name;
  }
}

// Packed examples are documents of their own, what they leave over is one more, and has no target.
TEST_F(EveryObjective, PadWhatIsLeftOver) {
  for (const auto& kind : kinds())
    for (const bool document_ids : {false, true}) {
      Loader drawing = loader({.data = {source("a", 0, kind)}}, {}, document_ids);
      Sampler names = sampler({.data = {source("a", 0, kind)}});
      for (int row = 0; row < 30; ++row) {
        const Batch batch = drawing.next(1);
        const Draw draw = names.next();
        int64_t at = 0;
        for (size_t example = 0; draw.objective.packs() && example < draw.examples.size(); ++example)
          for (const int64_t end = at + draw.examples[example].text.length; at < end; ++at)
            ASSERT_EQ(batch.document_ids[0][at].item<int64_t>(), static_cast<int64_t>(example)) << kind;
        if (!draw.objective.packs()) at = S;
        ASSERT_EQ(batch.is_padding.defined(), at < S) << kind;
        for (; at < S; ++at) {
          EXPECT_TRUE(batch.is_padding[0][at].item<bool>());
          EXPECT_EQ(batch.targets[0][at].item<int64_t>(), -1);
          EXPECT_EQ(batch.document_ids[0][at].item<int64_t>(), static_cast<int64_t>(draw.examples.size()));
        }
        EXPECT_GT(batch.targets.ge(0).sum().item<int64_t>(), 0) << kind;
      }
    }
}

// What an earlier phase drew of its own comes again to the bit, whatever objective draws beside it now.
TEST_F(EveryObjective, ReplayWhatWasSeen) {
  for (const auto& kind : kinds()) {
    Loader warm = loader({.data = {source("a", 0, "ul2")}});
    for (int i = 0; i < 5; ++i) warm.next(1);
    const auto start = next_phase(warm.state());
    // The earlier phase replays fresh from one of its own sources, so that its cursor moves in between.
    SourceSpec again = source("b", 1000, "span_corruption");
    again.name = "replay/b";
    const PhaseDraws middle{
        .data = {source("a", 0, kind), source("b", 1000, "prefix_lm")}, .replay = {again}, .replay_fraction = 0.3};
    Loader second = loader(middle, start);
    std::vector<Batch> own;
    for (int i = 0; i < 40; ++i) {
      const Batch batch = second.next(1);
      if (!batch.sources.contains("replay/b")) own.push_back(batch);
    }
    const PastDraws past{.start_cursors = start.cursors,
                         .draws = static_cast<int64_t>(own.size()),
                         .seed = 7,
                         .replay = second.sampler().replay(),
                         .replay_fraction = 0.3};
    const PhaseDraws last{.data = {source("c", 2000, "ul2")},
                          .replay = {source("a", 0, kind), source("b", 1000, "prefix_lm")},
                          .replay_fraction = 0.5,
                          .replay_seen = true,
                          .past = past};
    auto state = next_phase(second.state());
    const auto cursors = state.cursors;
    size_t n_replayed = 0;
    for (int i = 0; i < 150; ++i) {  // more than twice what was seen, with a resume after each sequence
      Loader third = loader(last, state);
      const Batch batch = third.next(1);
      state = reread(third.state());
      if (batch.sources.contains("c")) continue;
      expect_same_batch(batch, own[n_replayed++ % own.size()], kind);
    }
    EXPECT_GT(n_replayed, 2 * own.size());
    for (const auto& [content, cursor] : cursors) EXPECT_EQ(state.cursors.at(content), cursor);
  }
}

// Replayed fresh, a source goes on behind what was drawn of it, with the objective that it has there.
TEST_F(EveryObjective, ReplayFreshText) {
  for (const auto& kind : kinds()) {
    if (kind == "conversation") continue;  // its places are those of conversations
    Sampler first = sampler({.data = {source("a", 0, kind)}});
    std::map<int64_t, std::multiset<int64_t>> by_epoch;
    int64_t position = 0;
    for (int i = 0; i < 7; ++i) add_text(first.next(), by_epoch, position);
    Sampler second =
        sampler({.data = {source("b", 1000, "causal")}, .replay = {source("a", 0, kind)}, .replay_fraction = 0.5},
                next_phase(reread(first.state())));
    while (position < 20 * S)
      if (const Draw draw = second.next(); draw.source == "a") add_text(draw, by_epoch, position);
    EXPECT_EQ(std::set<int64_t>(by_epoch[0].begin(), by_epoch[0].end()).size(), static_cast<size_t>(20 * S)) << kind;
    EXPECT_EQ(by_epoch[0].size(), static_cast<size_t>(20 * S)) << kind;
  }
}

// A set that is drawn in another order is no longer read once an epoch, also where the cursor is inside of a sample.
TEST_F(EveryObjective, RefuseAnotherOrderWithinAnEpoch) {
  Sampler first = sampler({.data = {source("a", 0, "span_corruption")}});
  first.next();
  EXPECT_THAT(testing::message_of<ConfigError>(
                  [&] { sampler({.data = {source("a", 0, "causal")}, .shuffle = false}, next_phase(first.state())); }),
              ::testing::HasSubstr("got shuffle = false for 'a', of which"));
}

}  // namespace
}  // namespace evenkeel::data
