// UL2 (arXiv 2205.05131) for a decoder: each example is of one of several denoisers, drawn by their rates.
#include "core/named.h"
#include "data/objectives/denoising.h"

namespace evenkeel::data {

namespace {

// openmoe: the six denoisers that OpenMoE trained with (arXiv 2402.01739, table 2). ul2: the seven of UL2's paper.
enum class Ul2Mixture { openmoe, ul2 };
constexpr Named<Ul2Mixture> kMixtures[] = {{"openmoe", Ul2Mixture::openmoe}, {"ul2", Ul2Mixture::ul2}};
std::span<const Named<Ul2Mixture>> names_of(Ul2Mixture) { return kMixtures; }

std::vector<Denoiser> denoisers_of(Ul2Mixture mixture) {
  using enum DenoiserMode;
  if (mixture == Ul2Mixture::openmoe)
    return {{.mode = R, .mean_span = 3, .density = 0.15, .rate = 0.1},
            {.mode = R, .mean_span = 8, .density = 0.15, .rate = 0.1},
            {.mode = X, .mean_span = 3, .density = 0.5, .rate = 0.1},
            {.mode = X, .mean_span = 8, .density = 0.5, .rate = 0.1},
            {.mode = X, .mean_span = 64, .density = 0.5, .rate = 0.1},
            {.mode = S, .density = 0.5, .is_split_anywhere = true, .rate = 0.5}};
  constexpr double kRest = 0.8 / 6;
  return {{.mode = R, .mean_span = 3, .density = 0.15, .rate = kRest},
          {.mode = R, .mean_span = 8, .density = 0.15, .rate = kRest},
          {.mode = X, .mean_span = 3, .density = 0.5, .rate = kRest},
          {.mode = X, .mean_span = 8, .density = 0.5, .rate = kRest},
          {.mode = X, .mean_span = 64, .density = 0.15, .rate = kRest},
          {.mode = X, .mean_span = 64, .density = 0.5, .rate = kRest},
          {.mode = S, .density = 0.25, .is_split_anywhere = false, .rate = 0.2}};
}

struct Ul2Options {
  Ul2Mixture mixture = Ul2Mixture::openmoe;
  DenoisingOptions shared = {};
  static void visit_fields(auto& options, auto&& field) {
    field("mixture", options.mixture,
          "openmoe (five span corruptions of a tenth each, and half a text that is cut in two anywhere) or ul2 (six "
          "span corruptions of two fifteenths each, and a fifth whose last quarter is asked for)");
    DenoisingOptions::visit_fields(options.shared, field);
  }
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, Ul2Options options, const ConfigNode& config) {
  return make_denoising(
      place,
      {.options = {{"kind", "ul2"}, {"mixture", name_of(options.mixture)}}, .denoisers = denoisers_of(options.mixture)},
      options.shared, config);
}

}  // namespace

ObjectiveFactory ul2_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data
