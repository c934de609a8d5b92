#include "data/loader.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/rng.h"
#include "support/files.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

constexpr int64_t kVocabulary = 60000;
constexpr int64_t S = 4;

// Sources whose token t is base + t: the first token of a row names its source and sample.
class Sources {
 public:
  SourceSpec add(const std::string& name, int64_t n_samples, double weight = 1, int64_t document_tokens = 7) {
    const int64_t n_tokens = n_samples * S + 1;
    IndexedDatasetWriter writer(folder_ / name, kVocabulary);
    for (int64_t first = 0; first < n_tokens; first += document_tokens) {
      std::vector<int32_t> ids;
      for (int64_t t = first; t < std::min(n_tokens, first + document_tokens); ++t)
        ids.push_back(static_cast<int32_t>(next_base_ + t));
      writer.add_document(ids);
    }
    writer.commit();
    bases_[name] = next_base_;
    next_base_ += n_tokens;
    return {name, (folder_ / name).string(), weight, "r.toml:" + name};
  }
  const TemporaryFolder& folder() const { return folder_; }
  int64_t base(const std::string& name) const { return bases_.at(name); }
  // (source, sample) of a row.
  std::pair<std::string, int64_t> sample_of(int64_t first_token) const {
    for (const auto& [name, base] : bases_) {
      const auto after = std::find_if(bases_.begin(), bases_.end(), [&](const auto& other) {
        return other.second > base && other.second <= first_token;
      });
      if (base <= first_token && after == bases_.end()) return {name, (first_token - base) / S};
    }
    throw std::logic_error("a token of no source");
  }

 private:
  TemporaryFolder folder_;
  std::map<std::string, int64_t> bases_;
  int64_t next_base_ = 0;

 public:
  Datasets datasets;
};

using Rows = std::vector<std::pair<std::string, int64_t>>;

Rows draw(const Sources& sources, Loader& loader, int64_t n_sequences, int64_t batch_size = 1) {
  Rows out;
  for (int64_t done = 0; done < n_sequences; done += batch_size) {
    const Batch batch = loader.next(std::min(batch_size, n_sequences - done));
    const int64_t* tokens = batch.tokens.const_data_ptr<int64_t>();
    const int64_t* targets = batch.targets.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < batch.tokens.size(0); ++row) {
      for (int64_t s = 0; s < S; ++s) {
        EXPECT_EQ(tokens[row * S + s], tokens[row * S] + s);
        EXPECT_EQ(targets[row * S + s], tokens[row * S + s] + 1);
      }
      out.push_back(sources.sample_of(tokens[row * S]));
    }
  }
  return out;
}
LoaderOptions options_of(uint64_t seed = 1) { return {{S, kVocabulary, seed}}; }
SamplerState next_phase(SamplerState state) {
  state.mixture.clear();
  state.replay_draws = 0;
  return state;
}
std::vector<int64_t> counts_of(const Loader& loader) {
  std::vector<int64_t> out;
  for (const auto& source : loader.state().mixture) out.push_back(source.count);
  return out;
}
// As a checkpoint keeps it.
SamplerState reread(const SamplerState& state) {
  return sampler_state_from_json(Json::parse(to_json(state).dump(), "state"));
}

void expect_whole_epochs(const Rows& rows, const std::string& name, int64_t n_samples) {
  std::set<int64_t> seen;
  for (const auto& [source, sample] : rows) {
    if (source != name) continue;
    ASSERT_TRUE(seen.insert(sample).second) << name << " " << sample << " twice within an epoch";
    if (static_cast<int64_t>(seen.size()) == n_samples) seen.clear();
  }
}

TEST(Loader, DrawsEverySampleOnceAnEpochInAnotherOrderEachTime) {
  Sources sources;
  Loader loader(options_of(), {.data = {sources.add("en", 20)}}, {}, sources.datasets);
  const auto rows = draw(sources, loader, 60, 7);
  expect_whole_epochs(rows, "en", 20);
  EXPECT_NE(Rows(rows.begin(), rows.begin() + 20), Rows(rows.begin() + 20, rows.begin() + 40));
  Loader other(options_of(2), {.data = {{"en", (sources.folder() / "en").string(), 1, ""}}}, {}, sources.datasets);
  EXPECT_NE(draw(sources, other, 20), Rows(rows.begin(), rows.begin() + 20));
}

TEST(Loader, KeepsTheOrderOfTheFileWithoutShuffle) {
  Sources sources;
  Loader loader(options_of(), {.data = {sources.add("en", 5)}, .shuffle = false}, {}, sources.datasets);
  const auto rows = draw(sources, loader, 12, 5);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].second, static_cast<int64_t>(i % 5));
}

TEST(Loader, DoesNotDependOnTheSizeOfBatches) {
  Sources sources;
  const PhaseDraws draws{.data = {sources.add("en", 9, 2), sources.add("de", 5, 1)}};
  Loader one(options_of(), draws, {}, sources.datasets), seven(options_of(), draws, {}, sources.datasets);
  EXPECT_EQ(draw(sources, one, 70, 1), draw(sources, seven, 70, 7));
  EXPECT_EQ(to_json(one.state()), to_json(seven.state()));
}

TEST(Loader, CountsTheSequencesOfEachSource) {
  Sources sources;
  Loader loader(options_of(), {.data = {sources.add("en", 9, 3), sources.add("de", 5, 1)}}, {}, sources.datasets);
  const auto batch = loader.next(8);
  EXPECT_EQ(batch.sources, (std::map<std::string, int64_t>{{"en", 6}, {"de", 2}}));
}

// Random phases with random mixtures, stopped and resumed at random places.
TEST(Loader, LosesAndRepeatsNothingOverPhasesAndResumes) {
  RngStream rng(3, "loader");
  for (uint64_t trial = 0; trial < 12; ++trial) {
    Sources sources;
    std::vector<SourceSpec> specs;
    std::vector<int64_t> sizes;
    for (const auto* name : {"a", "b", "c"}) {
      sizes.push_back(static_cast<int64_t>(rng.below(17)) + 1);
      specs.push_back(sources.add(name, sizes.back()));
    }
    Rows all, without_stops;
    SamplerState state, unstopped;
    for (int phase = 0; phase < 4; ++phase) {
      PhaseDraws draws;
      for (const auto& spec : specs)
        if (rng.below(3) > 0 || (draws.data.empty() && spec.name == "c"))
          draws.data.push_back({spec.name, spec.path, 0.1 + rng.uniform(), ""});
      const auto n_draws = static_cast<int64_t>(rng.below(40)) + 2;
      const auto stop = static_cast<int64_t>(rng.below(static_cast<uint64_t>(n_draws)));
      std::vector<int64_t> counts;
      {
        Loader loader(options_of(trial), draws, next_phase(state), sources.datasets);
        for (const auto& row : draw(sources, loader, stop)) all.push_back(row);
        state = reread(loader.state());
      }
      Loader resumed(options_of(trial), draws, state, sources.datasets);
      for (const auto& row : draw(sources, resumed, n_draws - stop)) all.push_back(row);
      state = resumed.state();
      Loader whole(options_of(trial), draws, next_phase(unstopped), sources.datasets);
      for (const auto& row : draw(sources, whole, n_draws)) without_stops.push_back(row);
      unstopped = whole.state();
      double sum = 0;
      for (const auto& spec : draws.data) sum += spec.weight;
      for (size_t i = 0; i < draws.data.size(); ++i)
        EXPECT_LT(std::abs(static_cast<double>(state.mixture[i].count) -
                           draws.data[i].weight / sum * static_cast<double>(n_draws)),
                  1.0);
    }
    EXPECT_EQ(all, without_stops);
    for (size_t i = 0; i < specs.size(); ++i) expect_whole_epochs(all, specs[i].name, sizes[i]);
  }
}

TEST(Replay, FreshGoesOnWithSamplesNotDrawnBefore) {
  Sources sources;
  const auto en = sources.add("en", 40), de = sources.add("de", 40);
  Loader first(options_of(), {.data = {en}}, {}, sources.datasets);
  auto rows = draw(sources, first, 20);
  PhaseDraws second{.data = {de}, .replay = {en}, .replay_fraction = 0.25};
  Loader loader(options_of(), second, next_phase(first.state()), sources.datasets);
  for (const auto& row : draw(sources, loader, 40)) rows.push_back(row);
  EXPECT_EQ(counts_of(loader), (std::vector<int64_t>{30, 10}));  // the budget does not change
  expect_whole_epochs(rows, "en", 40);                           // 30 drawn, none twice
  expect_whole_epochs(rows, "de", 40);
}

TEST(Replay, SeenRepeatsTheEarlierPhaseExactly) {
  Sources sources;
  const auto en = sources.add("en", 40, 3), fr = sources.add("fr", 30, 1), de = sources.add("de", 50);
  Loader warm(options_of(), {.data = {en}}, {},
              sources.datasets);  // so that the earlier phase starts in the middle of an epoch
  draw(sources, warm, 11);
  const auto start = next_phase(warm.state());
  Loader first(options_of(), {.data = {en, fr}}, start, sources.datasets);
  const auto seen = draw(sources, first, 8);
  const PhaseDraws second{.data = {de},
                          .replay = {en, fr},
                          .replay_fraction = 0.5,
                          .replay_seen = true,
                          .past = {.start_cursors = start.cursors, .draws = 8, .seed = 1}};

  const auto replayed_of = [](const Rows& rows) {
    Rows out;
    for (const auto& row : rows)
      if (row.first != "de") out.push_back(row);
    return out;
  };
  Loader loader(options_of(), second, next_phase(first.state()), sources.datasets);
  const auto rows = draw(sources, loader, 40, 4);
  const auto replayed = replayed_of(rows);
  ASSERT_EQ(replayed.size(), 20u);
  for (size_t i = 0; i < replayed.size(); ++i) EXPECT_EQ(replayed[i], seen[i % 8]) << i;  // and again from its start
  EXPECT_EQ(loader.state().replay_draws, 20);
  // The cursors of the replayed sources stay, so that a later phase goes on with fresh samples.
  for (const auto& [content, cursor] : first.state().cursors) EXPECT_EQ(loader.state().cursors.at(content), cursor);

  for (const int64_t stop : {1, 7, 15, 16, 17, 33}) {
    Loader before(options_of(), second, next_phase(first.state()), sources.datasets);
    auto parts = draw(sources, before, stop);
    Loader after(options_of(), second, reread(before.state()), sources.datasets);
    for (const auto& row : draw(sources, after, 40 - stop)) parts.push_back(row);
    EXPECT_EQ(parts, rows) << "stopped after " << stop;
  }
}

TEST(Replay, SeenKeepsTheEarlierPhasesOrder) {
  Sources sources;
  const auto en = sources.add("en", 10), de = sources.add("de", 10);
  Loader loader(options_of(),
                {.data = {de},
                 .replay = {en},
                 .replay_fraction = 0.5,
                 .shuffle = true,
                 .replay_shuffle = false,
                 .replay_seen = true,
                 .past = {.draws = 3}},
                {}, sources.datasets);
  std::vector<int64_t> samples;
  for (const auto& [name, sample] : draw(sources, loader, 10))
    if (name == "en") samples.push_back(sample);
  EXPECT_EQ(samples, (std::vector<int64_t>{0, 1, 2, 0, 1}));
}

// Whatever the replayed phase replayed itself, and from which sources: its own samples come again, all, in their order.
TEST(Replay, SeenRepeatsTheOwnSamplesOfAPhaseThatReplayed) {
  Sources sources;
  const auto en = sources.add("en", 40, 7), fr = sources.add("fr", 30, 3), it = sources.add("it", 20, 2),
             de = sources.add("de", 50);
  const std::vector<std::vector<SourceSpec>> replays = {{en}, {en, fr}, {it, en}, {it}};
  for (const auto& replay : replays)
    for (const double fraction : {0.25, 0.5, 0.9})
      for (const bool is_seen : {false, true}) {
        Loader warm(options_of(), {.data = {en, it}}, {}, sources.datasets);
        draw(sources, warm, 13);
        const auto start = next_phase(warm.state());
        std::vector<SourceSpec> named = replay;
        for (auto& spec : named) spec.name = "replay/" + spec.name;
        PhaseDraws middle{.data = {en, fr}, .replay = named, .replay_fraction = fraction, .replay_seen = is_seen};
        if (is_seen) middle.past = {.draws = 9, .seed = 1};
        Loader second(options_of(), middle, start, sources.datasets);
        Rows own;
        for (int64_t i = 0; i < 60; ++i) {
          const Batch batch = second.next(1);
          if (batch.sources.begin()->first.starts_with("replay/")) continue;
          own.push_back(sources.sample_of(batch.tokens.const_data_ptr<int64_t>()[0]));
        }
        const PastDraws past{.start_cursors = start.cursors,
                             .draws = static_cast<int64_t>(own.size()),
                             .seed = 1,
                             .replay = second.sampler().replay(),
                             .replay_fraction = fraction,
                             .replay_seen = is_seen};
        const PhaseDraws last{
            .data = {de}, .replay = {en, fr}, .replay_fraction = 0.5, .replay_seen = true, .past = past};
        Loader third(options_of(), last, next_phase(second.state()), sources.datasets);
        Rows replayed;
        for (int64_t i = 0; i < 4; ++i) {  // with a resume between
          Loader resumed(options_of(), last, i == 0 ? next_phase(second.state()) : reread(third.state()),
                         sources.datasets);
          const auto rows = draw(sources, resumed, static_cast<int64_t>(own.size()) / 2 + 1);
          EXPECT_EQ(draw(sources, third, static_cast<int64_t>(own.size()) / 2 + 1), rows);
          for (const auto& row : rows)
            if (row.first != "de") replayed.push_back(row);
        }
        ASSERT_GE(replayed.size(), own.size());
        for (size_t i = 0; i < replayed.size(); ++i)
          EXPECT_EQ(replayed[i], own[i % own.size()])
              << i << " of fraction " << fraction << (is_seen ? ", seen" : ", fresh");
      }
}

TEST(Replay, SeenRepeatsAPhaseOfAnotherSeed) {
  Sources sources;
  const auto en = sources.add("en", 40), de = sources.add("de", 50);
  Loader first(options_of(5), {.data = {en}}, {}, sources.datasets);
  const auto seen = draw(sources, first, 8);
  Loader second(
      options_of(1),
      {.data = {de}, .replay = {en}, .replay_fraction = 0.5, .replay_seen = true, .past = {.draws = 8, .seed = 5}},
      next_phase(first.state()), sources.datasets);
  Rows replayed;
  for (const auto& row : draw(sources, second, 16))
    if (row.first == "en") replayed.push_back(row);
  EXPECT_EQ(replayed, seen);
}

TEST(Replay, SeenNeedsAPhaseThatDrew) {
  Sources sources;
  const auto en = sources.add("en", 4), de = sources.add("de", 4);
  const PastDraws only_replayed{.draws = 4, .replay = {{"content", 1}}, .replay_fraction = 1};
  for (const auto& past : {PastDraws{}, only_replayed})
    EXPECT_THAT(testing::message_of<ConfigError>([&] {
                  Loader(options_of(),
                         {.data = {de}, .replay = {en}, .replay_fraction = 0.5, .replay_seen = true, .past = past}, {},
                         sources.datasets);
                }),
                HasSubstr("need mode = \"fresh\""));
}

TEST(Loader, CursorsBelongToTheContentNotThePath) {
  Sources sources;
  const auto en = sources.add("en", 12);
  for (const auto* suffix : {".bin", ".idx"})
    fs::copy_file(en.path + suffix, (sources.folder() / "copy").string() + suffix);
  Loader first(options_of(), {.data = {en}}, {}, sources.datasets);
  auto rows = draw(sources, first, 5);
  Loader second(options_of(), {.data = {{"copy", (sources.folder() / "copy").string(), 1, ""}}},
                next_phase(first.state()), sources.datasets);
  for (const auto& row : draw(sources, second, 7)) rows.push_back(row);
  expect_whole_epochs(rows, "en", 12);
}

// The names of the sources, in the order of the draws.
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(row.first);
  return out;
}

TEST(Loader, AChangedMixtureCountsFromTheChangeOn) {
  Sources sources;
  const auto a = sources.add("a", 90), b = sources.add("b", 90), c = sources.add("c", 90);
  const auto weighted = [](SourceSpec spec, double weight) {
    spec.weight = weight;
    return spec;
  };
  Loader before(options_of(), {.data = {a, b}}, {}, sources.datasets);
  auto rows = draw(sources, before, 40);
  const auto state = reread(before.state());
  const auto drawn = [&](const std::vector<SourceSpec>& data, int64_t n, const std::string& name) {
    Loader loader(options_of(), {.data = data}, state, sources.datasets);
    EXPECT_TRUE(loader.sampler().counts_anew());
    const auto names = names_of(draw(sources, loader, n));
    return std::count(names.begin(), names.end(), name);
  };
  // Within one of the share for every n, as Tijdeman's bound has it.
  for (const int64_t n : {10, 20, 40}) {
    EXPECT_NEAR(static_cast<double>(drawn({weighted(a, 9), b}, n, "b")), 0.1 * static_cast<double>(n), 1.0);
    EXPECT_NEAR(static_cast<double>(drawn({b, weighted(a, 9)}, n, "b")), 0.1 * static_cast<double>(n), 1.0);
    EXPECT_NEAR(static_cast<double>(drawn({a, b, weighted(c, 2)}, n, "c")), 0.5 * static_cast<double>(n), 1.0);
    EXPECT_EQ(drawn({b}, n, "b"), n);
  }
  // Samples go on where each content was.
  Loader after(options_of(), {.data = {weighted(b, 3), a}}, state, sources.datasets);
  for (const auto& row : draw(sources, after, 40)) rows.push_back(row);
  expect_whole_epochs(rows, "a", 90);
  expect_whole_epochs(rows, "b", 90);
}

TEST(Loader, TheOrderOfSourcesInTheRecipeIsNoChange) {
  Sources sources;
  const auto a = sources.add("a", 90, 3), b = sources.add("b", 90, 1), c = sources.add("c", 90, 2);
  Loader before(options_of(), {.data = {a, b, c}}, {}, sources.datasets);
  draw(sources, before, 17);
  Loader same(options_of(), {.data = {a, b, c}}, reread(before.state()), sources.datasets),
      swapped(options_of(), {.data = {c, a, b}}, reread(before.state()), sources.datasets);
  EXPECT_FALSE(same.sampler().counts_anew());
  EXPECT_FALSE(swapped.sampler().counts_anew());
  auto expected = names_of(draw(sources, same, 13)), found = names_of(draw(sources, swapped, 13));
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
}

// Equal in size and in every place that the key of the order looks at.
TEST(Loader, SetsThatAreNearlyAlikeHaveCursorsOfTheirOwn) {
  Sources sources;
  SourceSpec a{"a", (sources.folder() / "a").string(), 1, ""};
  IndexedDatasetWriter writer(a.path, kVocabulary);
  std::vector<int32_t> ids(140'000);  // above the 256 KiB of which every byte is looked at
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 50'000);
  writer.add_document(ids);
  writer.commit();
  auto twin = a;
  twin.name = "twin";
  twin.path = (sources.folder() / "twin").string();
  std::string bytes = read_file(a.path + ".bin");
  bytes[4200] ^= 1;  // between the first two samples of 4,096 bytes
  write_file_atomically(twin.path + ".bin", bytes);
  fs::copy_file(a.path + ".idx", twin.path + ".idx");
  ASSERT_EQ(sources.datasets.open(a.path).order_key(), sources.datasets.open(twin.path).order_key());
  Loader loader(options_of(), {.data = {a, twin}}, {}, sources.datasets);
  for (int i = 0; i < 4; ++i) loader.next(1);
  ASSERT_EQ(loader.state().cursors.size(), 2U);
  for (const auto& [content, cursor] : loader.state().cursors) EXPECT_EQ(cursor, (TextCursor{2, 0, 2}));
}

TEST(Loader, RefusesAnotherOrderWithinAnEpoch) {
  Sources sources;
  const auto en = sources.add("en", 12), de = sources.add("de", 40);
  Loader first(options_of(), {.data = {en}}, {}, sources.datasets);
  draw(sources, first, 5);
  const auto in_order = [&](const SamplerState& state) {
    Loader(options_of(), {.data = {en}, .shuffle = false}, next_phase(state), sources.datasets);
  };
  EXPECT_THAT(testing::message_of<ConfigError>([&] { in_order(first.state()); }),
              HasSubstr("r.toml:en: got shuffle = false for 'en', of which 5 of 12 samples"));
  // Replayed fresh, it goes on in the order of its phase.
  Loader replay(options_of(),
                {.data = {de}, .replay = {en}, .replay_fraction = 0.5, .shuffle = false, .replay_shuffle = true},
                next_phase(first.state()), sources.datasets);
  EXPECT_THROW(Loader(options_of(),
                      {.data = {de}, .replay = {en}, .replay_fraction = 0.5, .shuffle = true, .replay_shuffle = false},
                      next_phase(first.state()), sources.datasets),
               ConfigError);
  draw(sources, first, 7);  // the end of an epoch
  EXPECT_NO_THROW(in_order(first.state()));
}

// As an earlier version left it: cursors by the key of the order, counts by their place.
TEST(Loader, GoesOnFromACheckpointOfAnEarlierVersion) {
  Sources sources;
  const auto a = sources.add("a", 30, 3), b = sources.add("b", 20, 1);
  Loader whole(options_of(), {.data = {a, b}}, {}, sources.datasets);
  draw(sources, whole, 9);
  Json old = to_json(whole.state());
  Json cursors = Json::object(), counts = Json::array();
  for (const auto& spec : {a, b}) {
    const auto& dataset = sources.datasets.open(spec.path);
    cursors[dataset.order_key()] = whole.state().cursors.at(dataset.contents().hash).samples;
  }
  for (const int64_t count : counts_of(whole)) counts.push_back(count);
  old["cursors"] = cursors;
  old["mixture_counts"] = counts;
  old.erase("mixture");
  old.erase("shuffled");
  Loader resumed(options_of(), {.data = {a, b}}, sampler_state_from_json(Json::parse(old.dump(), "state")),
                 sources.datasets);
  EXPECT_EQ(draw(sources, resumed, 30), draw(sources, whole, 30));
  EXPECT_EQ(to_json(resumed.state()), to_json(whole.state()));
}

TEST(Loader, NumbersTheDocumentsOfARow) {
  Sources sources;
  auto options = options_of();
  options.document_ids = true;
  Loader loader(options, {.data = {sources.add("en", 4, 1, /*document_tokens=*/3)}, .shuffle = false}, {},
                sources.datasets);
  const auto batch = loader.next(4);  // documents of tokens 0-2, 3-5, 6-8, 9-11, 12-14, 15-16; rows of 4
  const int32_t* ids = batch.document_ids.const_data_ptr<int32_t>();
  EXPECT_EQ(std::vector<int32_t>(ids, ids + 16),
            (std::vector<int32_t>{0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1}));
}

TEST(Loader, RefusesSourcesThatDoNotFit) {
  Sources sources;
  auto en = sources.add("en", 3);
  auto options = options_of();
  options.sequence_length = 13;  // en has 13 tokens: 12 inputs and their targets at most
  EXPECT_THAT(testing::message_of<DataError>([&] { Loader(options, {.data = {en}}, {}, sources.datasets); }),
              HasSubstr("r.toml:en: got"));
  options.sequence_length = 12;
  EXPECT_EQ(Loader(options, {.data = {en}}, {}, sources.datasets).next(1).sources.at("en"), 1);
  options.vocab_size = 12;
  EXPECT_THROW(Loader(options, {.data = {en}}, {}, sources.datasets), DataError);
  auto weightless = en;
  weightless.weight = 0;
  EXPECT_THROW(Loader(options_of(), {.data = {weightless}}, {}, sources.datasets), ConfigError);
  auto absent = en;
  absent.path += "x";
  EXPECT_THROW(Loader(options_of(), {.data = {absent}}, {}, sources.datasets), DataError);
  SamplerState of_two;
  of_two.mixture = {{.count = 1}, {.count = 1}};  // of an earlier version
  EXPECT_THROW(Loader(options_of(), {.data = {en}}, of_two, sources.datasets), CheckpointError);
  EXPECT_THROW(sampler_state_from_json(Json::object()), DataError);
}

}  // namespace
}  // namespace evenkeel::data
