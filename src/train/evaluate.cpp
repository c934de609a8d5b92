#include "train/evaluate.h"

#include <cmath>
#include <numbers>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>

#include "analysis/forward.h"
#include "core/errors.h"
#include "core/rng.h"
#include "ops/cross_entropy.h"
#include "train/mri_error.h"

namespace evenkeel::train {
namespace {

// "evaluation of 'held' (data/held), step 20"
std::string place_of(const data::IndexedDataset& dataset, const EvalOptions& options) {
  return join_parts("evaluation of '", options.name.empty() ? dataset.prefix().filename().string() : options.name,
                    "' (", dataset.prefix().string(), "), step ", options.step);
}

// The sequences of a held-out set.
class HeldOutReader {
 public:
  HeldOutReader(const data::IndexedDataset& dataset, const EvalOptions& options) {
    // Of all that is random in examples: of no run, no checkpoint and no batch, so that losses compare.
    const uint64_t seed = hash_text("held-out examples");
    const int64_t S = options.sequence_length, most = options.max_tokens;
    if (options.objective == nullptr) {
      windows_.emplace(dataset, S, most, options.separate_documents);
      n_scored_ = windows_->n_scored_tokens();
      n_sequences_ = (n_scored_ + S - 1) / S;
      require<DataError>(n_scored_ > 0, dataset.prefix().string(), ": got ", dataset.n_tokens(),
                         " tokens; need at least 2 to score one");
      return;
    }
    const data::SequenceReaderOptions reading{S, most, options.separate_documents, seed};
    sequences_.emplace(dataset, *options.objective, reading);
    n_scored_ = sequences_->n_scored_tokens();
    n_sequences_ = sequences_->n_sequences();
    require<DataError>(n_scored_ > 0, dataset.prefix().string(), ": got ", dataset.n_tokens(),
                       " tokens, of which the objective '", options.objective->kind(),
                       "' scores none; need text for one example at least");
  }
  int64_t n_scored_tokens() const { return n_scored_; }
  int64_t n_sequences() const { return n_sequences_; }
  data::Batch next(int64_t batch_size) { return windows_ ? windows_->next(batch_size) : sequences_->next(batch_size); }

 private:
  std::optional<data::WindowReader> windows_;
  std::optional<data::SequenceReader> sequences_;  // one of the two
  int64_t n_scored_ = 0, n_sequences_ = 0;
};

// The forward passes of an evaluation.
class Forwards {
 public:
  Forwards(std::vector<model::ModelValues> models, HeldOutReader& reader, const data::IndexedDataset& dataset,
           const EvalOptions& options)
      : place_(place_of(dataset, options)),
        passes_(
            std::move(models), [&reader, &options] { return reader.next(options.batch_size); },
            [&options](const data::Batch& batch, int64_t number, const model::ModelValues& of) {
              auto input = model::input_of(data::on_device(batch, of.values.device()));
              input.mode = options.mode;
              input.step = options.step;
              input.seed = analysis::batch_seed(options.mode, options.seed, number);
              return input;
            }) {}
  // Routers name the layer of logits that they cannot use; the set is added here.
  std::optional<model::BatchPass> next() {
    try {
      return passes_.next();
    } catch (const NumericsError& error) {
      fail<NumericsError>(place_, ": ", error.what());
    }
  }
  const std::string& place() const { return place_; }

 private:
  std::string place_;
  model::BatchPasses passes_;
};

[[noreturn]] void fail_not_finite(const model::ModelOutput& output, double loss, int64_t first_token,
                                  const std::string& place) {
  std::string layer;
  for (const auto& decision : output.routing) {
    if (!decision.logits.defined() || at::isfinite(decision.logits).all().item<bool>()) continue;
    layer = ", first seen in the router of layer " + std::to_string(decision.layer);
    break;
  }
  fail<NumericsError>(place, ": got a loss of ", loss, " in the batch from token ", first_token, layer,
                      "; need finite weights and logits (take another checkpoint, or leave this set out)");
}

// The block of the text that each token of a batch is of: neighbouring sequences, or of causal text with separate
// documents documents.
class TextBlocks {
 public:
  TextBlocks(const data::IndexedDataset& dataset, const HeldOutReader& reader, const EvalOptions& options)
      : dataset_(dataset),
        by_document_(options.separate_documents && options.mode == moe::Mode::eval && options.objective == nullptr) {
    const int64_t windows_together = options.mode == moe::Mode::train ? options.batch_size : 1;
    const auto rounded = [](int64_t n, int64_t by) { return std::max<int64_t>((n + by / 2) / by, 1); };
    // The last window of causal text may be shorter, sequences of other objectives are all of one length.
    const int64_t n_parts = by_document_ ? dataset.document_of(reader.n_scored_tokens() - 1) + 1
                            : options.objective == nullptr
                                ? rounded(reader.n_scored_tokens(), windows_together * options.sequence_length)
                                : rounded(reader.n_sequences(), windows_together);
    size_ = analysis::block_size(n_parts);
    last_ = rounded(n_parts, size_) - 1;
    windows_a_block_ = size_ * windows_together;
  }
  int64_t size() const { return size_; }  // documents, windows or batches of a block
  // [B * S]; the windows of a batch follow those of the one before
  std::vector<int64_t> next(const data::Batch& batch) {
    const int64_t length = batch.tokens.size(1);
    const int32_t* documents = by_document_ ? batch.document_ids.const_data_ptr<int32_t>() : nullptr;
    std::vector<int64_t> out;
    for (int64_t row = 0; row < batch.tokens.size(0); ++row, position_ += length, ++n_windows_) {
      const int64_t first_document =
          by_document_ ? dataset_.document_of(position_) : 0;  // the reader counts from the row's first
      for (int64_t t = row * length; t < (row + 1) * length; ++t)
        out.push_back(
            std::min(last_, by_document_ ? (first_document + documents[t]) / size_ : n_windows_ / windows_a_block_));
    }
    return out;
  }

 private:
  const data::IndexedDataset& dataset_;
  bool by_document_;
  int64_t size_ = 1, windows_a_block_ = 1, position_ = 0, n_windows_ = 0;
  int64_t last_ = 0;  // block: what is left over for less than half of one is part of it
};

// Sums of losses by block.
class BlockSums {
 public:
  // losses [B * S], those without a target left out
  void add(const data::Batch& batch, const at::Tensor& losses, const std::vector<int64_t>& blocks) {
    const auto values = losses.to(at::kCPU, at::kDouble).contiguous();
    const double* loss = values.const_data_ptr<double>();
    const int64_t* target = batch.targets.const_data_ptr<int64_t>();
    for (size_t t = 0; t < blocks.size(); ++t)
      if (target[t] >= 0) add_token(blocks[t], loss[t]);
  }
  analysis::ClusterMeans means() const {
    analysis::ClusterMeans out{{}, tokens_};
    for (size_t b = 0; b < sums_.size(); ++b) out.means.push_back(sums_[b] / static_cast<double>(tokens_[b]));
    return out;
  }

 private:
  void add_token(int64_t block, double loss) {
    if (block != last_) {
      sums_.push_back(0);
      tokens_.push_back(0);
      last_ = block;
    }
    sums_.back() += loss;
    ++tokens_.back();
  }
  int64_t last_ = -1;
  std::vector<double> sums_;
  std::vector<int64_t> tokens_;
};

}  // namespace

EvalResult evaluate(const model::Transformer& model, const model::Snapshot& values, const data::IndexedDataset& dataset,
                    const EvalOptions& options) {
  const at::NoGradGuard no_grad;
  HeldOutReader reader(dataset, options);
  Forwards forwards({{model, values}}, reader, dataset, options);
  EvalResult result;
  if (options.objective != nullptr) result.objective = options.objective->kind();
  TextBlocks text(dataset, reader, options);
  BlockSums losses_by_block;
  MriBootstrap mri;
  double sum = 0;
  while (const auto pass = forwards.next()) {
    const auto& batch = pass->batch;
    const auto& output = pass->outputs[0];
    const auto losses =
        ops::cross_entropy_per_token(output.hidden, pass->head, batch.targets.reshape({-1}).to(output.hidden.device()));
    const double batch_sum = losses.sum(at::kDouble).item<double>();
    if (!std::isfinite(batch_sum)) fail_not_finite(output, batch_sum, result.n_tokens, forwards.place());
    sum += batch_sum;
    const auto blocks = text.next(batch);
    losses_by_block.add(batch, losses, blocks);
    mri.add(output.routing, blocks);
    result.n_tokens += batch.targets.ge(0).sum().item<int64_t>();  // on the CPU
    analysis::add_counts(result.routing, output.routing);
    if (options.progress) options.progress(result.n_tokens);
  }
  result.loss = sum / static_cast<double>(result.n_tokens);
  result.blocks = losses_by_block.means();
  result.block_size = text.size();
  result.mri_se = mri.of_mean();
  result.layer_mri_se = mri.of_layers();
  if (dataset.text_bytes() > 0 && options.objective == nullptr) {
    const double seen = static_cast<double>(result.n_tokens + 1) /
                        static_cast<double>(dataset.n_tokens());  // the first token is in the text and not scored
    const double bytes = static_cast<double>(dataset.text_bytes()) * seen;
    result.bits_per_byte = sum / (std::numbers::ln2 * bytes);
  }
  return result;
}

record::SetResult set_result(const EvalResult& result) {
  record::SetResult out;
  out.loss = result.loss;
  out.loss_se = result.loss_se();
  if (const double perplexity = std::exp(result.loss); std::isfinite(perplexity))
    out.perplexity = perplexity;  // not beyond a loss of 709 nats
  out.bits_per_byte = result.bits_per_byte;
  out.tokens = result.n_tokens;
  if (!result.objective.empty()) out.objective = result.objective;
  out.loss_blocks = result.blocks;
  out.mri_se = result.mri_se;
  for (size_t i = 0; i < result.routing.size(); ++i) {
    out.routing.push_back(analysis::routing_stats(result.routing[i]));
    out.routing.back().mri_se = result.layer_mri_se.at(i);
  }
  return out;
}

std::vector<record::LayerSaturation> evaluate_saturation(const model::Transformer& model, const BeforeAndAfter& values,
                                                         const data::IndexedDataset& dataset,
                                                         const EvalOptions& options) {
  const at::NoGradGuard no_grad;
  HeldOutReader reader(dataset, options);
  Forwards forwards({{model, values.before}, {model, values.after}}, reader, dataset, options);
  std::vector<analysis::SaturationCounts> counts;   // one for each MoE layer
  std::vector<std::pair<int64_t, int64_t>> layers;  // and its number and K
  while (const auto pass = forwards.next()) {
    const auto &first = pass->outputs[0].routing, &second = pass->outputs[1].routing;
    for (size_t i = 0; i < first.size(); ++i) {
      const auto more = analysis::count_saturation(first[i], second[i]);
      if (i < counts.size()) {
        analysis::add_counts(counts[i], more);
      } else {
        counts.push_back(more);
        layers.emplace_back(first[i].layer, first[i].top_k);
      }
    }
  }
  std::vector<record::LayerSaturation> result;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto& [layer, top_k] = layers[i];
    result.push_back({layer, 1, 0, 0, counts[i].of_first(), counts[i].chance_of_first()});
    if (top_k > 1) result.push_back({layer, top_k, 0, 0, counts[i].of_all(), counts[i].chance_of_all()});
  }
  return result;
}

}  // namespace evenkeel::train
