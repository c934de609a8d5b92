// Span corruption, T5's objective (arXiv 1910.10683), for a decoder: spans of a text are taken out, and asked for.
#include "data/objectives/denoising.h"

namespace evenkeel::data {
namespace {

struct SpanCorruptionOptions {
  double mean_span = 3, density = 0.15;
  DenoisingOptions shared = {};
  static void visit_fields(auto& options, auto&& field) {
    field("mean_span", options.mean_span, {"mean length of the spans that are taken out", "tokens"});
    field("density", options.density, {"share of the text that is taken out", "fraction 0..1"});
    DenoisingOptions::visit_fields(options.shared, field);
  }
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, SpanCorruptionOptions options, const ConfigNode& config) {
  const auto [mean_span, density, shared] = options;
  const auto where = [&](const char* key) {
    return got_at(place_of(config, key), join_path(kObjectiveTable.path, key));
  };
  require<ConfigError>(mean_span >= 1, where("mean_span"), mean_span, "; need 1 or more");
  require<ConfigError>(density > 0 && density < 1, where("density"), density, "; need more than 0 and less than 1");
  const bool is_extreme = mean_span >= 12 || density >= 0.3;  // UL2's own words for X
  return make_denoising(place,
                        {.options = {{"kind", "span_corruption"}, {"mean_span", mean_span}, {"density", density}},
                         .denoisers = {{is_extreme ? DenoiserMode::X : DenoiserMode::R, mean_span, density}}},
                        shared, config);
}

}  // namespace

ObjectiveFactory span_corruption_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data
