#include "train/check_evaluation.h"

#include <cmath>
#include <numeric>
#include <optional>

#include "analysis/cluster_mean.h"
#include "core/errors.h"
#include "core/json_difference.h"
#include "train/mri_error.h"

namespace evenkeel::train {
namespace {

std::string shown(const std::optional<double>& value) { return value ? format_double(*value) : "null"; }

struct Figure {
  const char* key;
  std::optional<double> value;
};

void require_same(const NamedResult& set, const Figure& got, const std::optional<double>& needed, const char* what) {
  const bool is_same = got.value.has_value() == needed.has_value() && (!needed || is_near(*got.value, *needed));
  require<DataError>(is_same, set.where, ": got ", shown(got.value), " as '", got.key, "' of '", set.data, "'; need ",
                     shown(needed), ", ", what);
}

void check_blocks(const NamedResult& set) {
  const auto& result = set.result;
  const auto& blocks = *result.loss_blocks;
  require<DataError>(blocks.size() > 0, set.where, ": got no block in 'loss_blocks' of '", set.data,
                     "'; need one at least");
  const int64_t n_tokens = std::accumulate(blocks.tokens.begin(), blocks.tokens.end(), int64_t{0});
  require<DataError>(result.tokens == n_tokens, set.where, ": got ",
                     result.tokens ? std::to_string(*result.tokens) : "null", " as 'tokens' of '", set.data, "'; need ",
                     n_tokens, ", those of its 'loss_blocks'");
  require_same(set, {"loss", result.loss}, analysis::mean_of(blocks), "the mean of its 'loss_blocks'");
  require_same(set, {"loss_se", result.loss_se}, analysis::standard_error(blocks),
               "the standard error that its 'loss_blocks' give");
}

void require_mri_se(double got, const NamedResult& set, const std::string& of) {
  require<DataError>(got <= most_mri_se() + kRounding, set.where, ": got ", got, " as 'mri_se'", of, " of '", set.data,
                     "'; need at most ", most_mri_se(), ", the spread of shares between 0 and 1");
}

// The mean over layers varies no more than the layers do on average, and as the layer where there is one.
void check_mri_errors(const NamedResult& set) {
  const auto& [data, result, where] = set;
  double sum = 0;
  for (const auto& layer : result.routing) {
    require<DataError>(layer.mri_se.has_value() == result.mri_se.has_value(), where, ": got ", shown(layer.mri_se),
                       " as 'mri_se' of layer ", layer.layer, " and ", shown(result.mri_se), " of all layers of '",
                       data, "'; need both or none");
    if (layer.mri_se) require_mri_se(*layer.mri_se, set, " of layer " + std::to_string(layer.layer));
    sum += layer.mri_se.value_or(0);
  }
  if (!result.mri_se) return;
  require_mri_se(*result.mri_se, set, "");
  require<DataError>(!result.routing.empty(), where, ": got ", *result.mri_se, " as 'mri_se' of '", data,
                     "' and no 'routing'; need null of a dense model");
  const double most = sum / static_cast<double>(result.routing.size());
  const bool can_be = result.routing.size() == 1 ? is_near(*result.mri_se, most) : *result.mri_se <= most + kRounding;
  require<DataError>(can_be, where, ": got ", *result.mri_se, " as 'mri_se' of '", data, "'; need ",
                     result.routing.size() == 1 ? "" : "at most ", most, ", the mean of those of its layers");
}

}  // namespace

void check_evaluation(const NamedResult& set) {
  const double perplexity = std::exp(set.result.loss);
  require_same(set, {"perplexity", set.result.perplexity},
               std::isfinite(perplexity) ? std::optional(perplexity) : std::nullopt, "exp of its 'loss'");
  if (set.result.loss_blocks) check_blocks(set);
  check_mri_errors(set);
}

}  // namespace evenkeel::train
