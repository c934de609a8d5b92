// Semantic clusters (OpenMoE, arXiv 2402.01739, section 4, expert clustering): whether the tokens of an expert resemble
// each other. Its tokens are those ids whose favourite it is (first choices), the 10 with the largest shares; their
// coherence is the mean cosine of the model's token embeddings over pairs, each pair counting once. The baseline
// permutes the same ids among the experts.
#include "analysis/analyses/top_ids.h"
#include "core/rng.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMinimumCount = 10;  // as for OLMoE's tables of experts
constexpr size_t kTokens = 10;         // of an expert
constexpr int64_t kPermutations = 999;

// The ids of one layer, expert by expert, and the cosines of all of them.
struct Clusters {
  std::vector<size_t> begin;  // [E + 1] places in tokens
  std::vector<TopId> tokens;
  std::vector<double> cosine;  // [ids, ids]
};

// fp64, summed in a fixed order whatever the threads: [V] lengths of the rows of an embedding [V, H], ...
std::vector<double> lengths_of(const at::Tensor& embedding) {
  const int64_t n_rows = embedding.size(0), width = embedding.size(1);
  const float* row = embedding.const_data_ptr<float>();
  std::vector<double> out;
  for (int64_t id = 0; id < n_rows; ++id, row += width) {
    double square = 0;
    for (int64_t h = 0; h < width; ++h) square += static_cast<double>(row[h]) * static_cast<double>(row[h]);
    out.push_back(std::sqrt(square));
  }
  return out;
}
// ... and the cosines [ids, ids] of those of `tokens`.
std::vector<double> cosines_of(const at::Tensor& embedding, const std::vector<double>& lengths,
                               const std::vector<TopId>& tokens) {
  const auto n = tokens.size(), width = static_cast<size_t>(embedding.size(1));
  std::vector<double> unit(width * n), out(n * n, 0.0);  // [H, ids]
  for (size_t i = 0; i < n; ++i) {
    const auto id = static_cast<size_t>(tokens[i].id);
    const float* row = embedding.const_data_ptr<float>() + id * width;
    for (size_t h = 0; h < width; ++h) unit[h * n + i] = static_cast<double>(row[h]) / lengths[id];
  }
  for (size_t i = 0; i < n; ++i)
    for (size_t h = 0; h < width; ++h)
      for (size_t j = 0; j < n; ++j) out[i * n + j] += unit[h * n + i] * unit[h * n + j];
  return out;
}

struct Moments {
  double sum = 0, square = 0;
  int64_t n = 0;
  void add(double value) {
    sum += value;
    square += value * value;
    ++n;
  }
  double mean() const { return sum / static_cast<double>(n); }
  double deviation() const {
    return n == 0 ? std::nan("") : std::sqrt(std::max(0.0, square / static_cast<double>(n) - mean() * mean()));
  }
};

// Mean cosine over the pairs of order[begin .. end); NaN below two.
double coherence(const Clusters& clusters, const std::vector<size_t>& order, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i)
    for (size_t j = begin; j < i; ++j) sum += clusters.cosine[order[i] * clusters.tokens.size() + order[j]];
  const auto n = static_cast<double>(end - begin);
  return end - begin < 2 ? std::nan("") : sum / (n * (n - 1) / 2);
}

class SemanticClusters : public Analysis {
 public:
  explicit SemanticClusters(const AnalysisInput& input)
      : layers_(input.layers),
        texts_(input.token_texts),
        embedding_(input.embedding.defined() ? input.embedding.contiguous() : input.embedding),
        minimum_count_(input.minimum_count > 0 ? input.minimum_count : kMinimumCount),
        seed_(input.seed),
        reader_(input),
        tally_(tallies_of(input)) {}

  void observe(const Observation& batch) override {
    reader_.observe(batch);
    n_tokens_ += counted_tokens(batch);
  }

  std::vector<NamedTable> tables() const override {
    if (!embedding_.defined()) return {};
    Table experts, layers, tokens;
    experts.columns = {{"layer", ""},
                       {"expert", ""},
                       {"ids", "ids"},
                       {"coherence", "cosine"},
                       {"baseline", "cosine"},
                       {"baseline_deviation", "cosine"},
                       {"minimum_count", "tokens"}};
    experts.source =
        "arXiv 2402.01739, section 4 (expert clustering): mean cosine of the input embeddings over pairs of the "
        "expert's tokens (the 10 ids with the largest shares of those whose favourite it is, each "
        "counting once). baseline: the same ids permuted among the experts, 999 times";
    layers.columns = {{"layer", ""},
                      {"experts", "experts"},
                      {"coherence", "cosine"},
                      {"baseline", "cosine"},
                      {"baseline_deviation", "cosine"},
                      {"p_value", ""},
                      {"minimum_count", "tokens"}};
    layers.source =
        "the same, mean over the experts with at least two tokens; p_value: share of the permutations, this one "
        "included, that are at least as coherent";
    tokens.columns = {{"layer", ""},
                      {"expert", ""},
                      {"rank", ""},
                      {"id", ""},
                      {"text", ""},
                      {"count", "tokens"},
                      {"share", "of occurrences"},
                      {"occurrences", "tokens"},
                      {"minimum_count", "tokens"}};
    tokens.source =
        "the ids that semantic_clusters measures, by the share of their occurrences whose first choice is the expert, "
        "which is their favourite";
    experts.tokens = layers.tokens = tokens.tokens = n_tokens_;
    const auto lengths = lengths_of(embedding_);
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto clusters = clusters_of(layer, lengths);
      if (clusters.tokens.empty()) continue;
      add_layer(layer, clusters, experts, layers);
      add_tokens(layer, clusters, tokens);
    }
    return {{"semantic_clusters", std::move(experts)},
            {"semantic_coherence", std::move(layers)},
            {"semantic_cluster_tokens", std::move(tokens)}};
  }

  std::vector<std::string> notes() const override {
    if (embedding_.defined()) return {};
    return {"semantic_clusters: needs the model's embeddings"};
  }

 private:
  PooledTally tallies_of(const AnalysisInput& input) {
    if (!input.embedding.defined()) return PooledTally({});
    return PooledTally(want_all(reader_, input, keys_of(input, IdKind::input, Choices::first)));
  }

  // lengths [V] of the embeddings
  Clusters clusters_of(size_t layer, const std::vector<double>& lengths) const {
    std::vector<std::vector<TopId>> best(static_cast<size_t>(layers_[layer].n_experts));
    for_ids(tally_, layer, layers_[layer].n_experts, minimum_count_,
            [&](int64_t id, int64_t occurrences, const std::vector<int64_t>& counts) {
              const int64_t expert = favourite(counts);
              if (expert < 0 || static_cast<size_t>(id) >= lengths.size() || !(lengths[static_cast<size_t>(id)] > 0))
                return;  // a zero vector has no direction
              insert_top(best[static_cast<size_t>(expert)], {id, counts[static_cast<size_t>(expert)], occurrences},
                         kTokens);
            });
    Clusters out;
    for (const auto& of_expert : best) {
      out.begin.push_back(out.tokens.size());
      out.tokens.insert(out.tokens.end(), of_expert.begin(), of_expert.end());
    }
    out.begin.push_back(out.tokens.size());
    if (!out.tokens.empty()) out.cosine = cosines_of(embedding_, lengths, out.tokens);
    return out;
  }

  void add_tokens(size_t layer, const Clusters& clusters, Table& table) const {
    for (size_t e = 0; e + 1 < clusters.begin.size(); ++e) {
      for (size_t i = clusters.begin[e]; i < clusters.begin[e + 1]; ++i) {
        const auto& token = clusters.tokens[i];
        table.add_row({layers_[layer].layer, static_cast<int64_t>(e), static_cast<int64_t>(i - clusters.begin[e]),
                       token.id, text_of(texts_, token.id), token.count, ratio(token.count, token.occurrences),
                       token.occurrences, minimum_count_});
      }
    }
  }

  void add_layer(size_t layer, const Clusters& clusters, Table& experts, Table& layers) const {
    const auto n_experts = static_cast<size_t>(layers_[layer].n_experts);
    std::vector<double> found(n_experts);
    std::vector<Moments> permuted(n_experts);
    Moments of_layer, of_permutations;
    int64_t at_least = 1;  // permutations as coherent as the experts, themselves included
    std::vector<size_t> order(clusters.tokens.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t e = 0; e < n_experts; ++e) {
      found[e] = coherence(clusters, order, clusters.begin[e], clusters.begin[e + 1]);
      if (!std::isnan(found[e])) of_layer.add(found[e]);
    }
    RngStream rng(seed_, "semantic clusters", static_cast<uint64_t>(layers_[layer].layer));
    for (int64_t n = 0; n < kPermutations && of_layer.n > 0; ++n) {
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
      Moments mean;
      for (size_t e = 0; e < n_experts; ++e) {
        if (std::isnan(found[e])) continue;
        const double value = coherence(clusters, order, clusters.begin[e], clusters.begin[e + 1]);
        permuted[e].add(value);
        mean.add(value);
      }
      of_permutations.add(mean.mean());
      at_least += mean.mean() >= of_layer.mean() ? 1 : 0;
    }
    for (size_t e = 0; e < n_experts; ++e)
      if (clusters.begin[e + 1] > clusters.begin[e])
        experts.add_row({layers_[layer].layer, static_cast<int64_t>(e),
                         static_cast<int64_t>(clusters.begin[e + 1] - clusters.begin[e]), number(found[e]),
                         number(permuted[e].mean()), number(permuted[e].deviation()), minimum_count_});
    if (of_layer.n > 0)
      layers.add_row({layers_[layer].layer, of_layer.n, of_layer.mean(), of_permutations.mean(),
                      of_permutations.deviation(),
                      static_cast<double>(at_least) / static_cast<double>(kPermutations + 1), minimum_count_});
  }

  std::vector<LayerShape> layers_;
  std::vector<std::string> texts_;
  at::Tensor embedding_;
  int64_t minimum_count_;
  uint64_t seed_;
  TallyReader reader_;
  PooledTally tally_;
  int64_t n_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Analysis> make_semantic_clusters_analysis(const AnalysisInput& input) {
  return std::make_unique<SemanticClusters>(input);
}

double semantic_clusters_analysis_bytes(const AnalysisInput& input) {
  double bytes = 1024;
  if (!input.embedding.defined()) return bytes;
  bytes += tally_bytes(input, keys_of(input, IdKind::input, Choices::first));
  double cosines = 0;  // of one layer at a time
  for (const auto& layer : input.layers)
    cosines = std::max(cosines, std::pow(static_cast<double>(layer.n_experts) * kTokens, 2));
  return bytes + sizeof(double) * (cosines + std::sqrt(cosines) * static_cast<double>(input.embedding.size(1)) +
                                   static_cast<double>(input.embedding.size(0)));
}

}  // namespace evenkeel::analysis
