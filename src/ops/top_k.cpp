#include "ops/top_k.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/kthvalue.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/sort.h>

namespace evenkeel::ops {
namespace {

// Doubles: the k best so far stay sorted, and most scores fail the one comparison with the last of them.
class DoubleSelector {
 public:
  DoubleSelector(int64_t, int64_t k) : best_(static_cast<size_t>(k)) {}

  void select(const double* scores, int64_t n_experts, int64_t k, int64_t* ids) {
    double* best = best_.data();
    int64_t n_best = 0;
    for (int64_t expert = 0; expert < n_experts; ++expert) {
      const double score = scores[expert];
      if (n_best == k && !is_better(score, best[k - 1])) continue;
      int64_t place = n_best < k ? n_best++ : k - 1;
      for (; place > 0 && is_better(score, best[place - 1]); --place) {
        best[place] = best[place - 1];
        ids[place] = ids[place - 1];
      }
      best[place] = score;
      ids[place] = expert;
    }
  }

 private:
  static bool is_better(double score, double than) { return score > than || (than != than && score == score); }
  std::vector<double> best_;
};

// Floats: score and id become one integer that sorts as the selection does, so that a maximum is a conditional
// move and never a branch that is guessed wrong. A tournament: the best of each block of 8, then the best of those.
class FloatSelector {
 public:
  FloatSelector(int64_t n_experts, int64_t)
      : keys_(static_cast<size_t>((n_experts + kBlock - 1) / kBlock * kBlock), 0),
        best_of_block_(keys_.size() / kBlock) {}

  void select(const float* scores, int64_t n_experts, int64_t k, int64_t* ids) {
    for (int64_t expert = 0; expert < n_experts; ++expert)
      keys_[static_cast<size_t>(expert)] = key_of(scores[expert], expert);
    for (size_t block = 0; block < best_of_block_.size(); ++block) update(block);
    for (int64_t rank = 0; rank < k; ++rank) {
      uint64_t best = 0;
      for (const uint64_t key : best_of_block_) best = std::max(best, key);
      const uint64_t expert = kLastId - (best & kLastId);
      ids[rank] = static_cast<int64_t>(expert);
      keys_[expert] = 0;
      update(expert / kBlock);
    }
  }

 private:
  static constexpr size_t kBlock = 8;
  static constexpr uint64_t kLastId = 0xffffffff;

  // Above: the float's bits made to sort as unsigned numbers, NaN lowest; below: the id, lower ones first. Never 0.
  static uint64_t key_of(float score, int64_t id) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes 0
    const uint32_t sorted = bits >> 31 != 0 ? ~bits : bits | 0x80000000U;
    return (score == score ? uint64_t{sorted} << 32 : 0) | (kLastId - static_cast<uint64_t>(id));
  }
  void update(size_t block) {
    uint64_t best = 0;
    for (size_t i = 0; i < kBlock; ++i) best = std::max(best, keys_[block * kBlock + i]);
    best_of_block_[block] = best;
  }
  std::vector<uint64_t> keys_, best_of_block_;
};

template <class T>
at::Tensor top_k_on_cpu(const at::Tensor& scores, int64_t k, const at::Tensor& bias) {
  const int64_t n_tokens = scores.size(0), n_experts = scores.size(1);
  const auto ids = at::empty({n_tokens, k}, scores.options().dtype(at::kLong));
  const T* from = scores.const_data_ptr<T>();
  const T* added = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
  int64_t* to = ids.mutable_data_ptr<int64_t>();
  at::parallel_for(0, n_tokens, 256, [&](int64_t begin, int64_t end) {
    std::conditional_t<std::is_same_v<T, double>, DoubleSelector, FloatSelector> selector(n_experts, k);
    std::vector<T> row(static_cast<size_t>(n_experts));
    for (int64_t t = begin; t < end; ++t) {
      const T* values = from + t * n_experts;
      if (added != nullptr) {
        for (int64_t expert = 0; expert < n_experts; ++expert)
          row[static_cast<size_t>(expert)] = values[expert] + added[expert];
        values = row.data();
      }
      selector.select(values, n_experts, k, to + t * k);
    }
  });
  return ids;
}

// The k-th largest of n values. Counts them in bins between the smallest and the largest; only the bin of the one
// that is looked for is put in order.
template <class T>
class KthLargest {
 public:
  explicit KthLargest(int64_t n) : bins_(static_cast<size_t>(n)) {}

  T find(const T* values, int64_t n, int64_t k) {
    T low = values[0], high = values[0];
#pragma omp simd reduction(min : low) reduction(max : high)
    for (int64_t i = 0; i < n; ++i) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
    const T scale = static_cast<T>(kBins - 1) / (high - low);
    if (scale > 0 && scale <= std::numeric_limits<T>::max()) {
      for (int64_t i = 0; i < n; ++i)
        bins_[static_cast<size_t>(i)] = static_cast<uint16_t>(static_cast<int32_t>((values[i] - low) * scale));
    } else {
      std::fill(bins_.begin(), bins_.end(), uint16_t{0});  // all equal, or too far apart: one bin
    }
    std::array<int64_t, kBins> counts{};
    for (const uint16_t bin : bins_) ++counts[bin];
    size_t bin = kBins - 1;
    int64_t rank = k;  // within the bin
    for (; rank > counts[bin]; --bin) rank -= counts[bin];
    chosen_.clear();
    for (int64_t i = 0; i < n; ++i)
      if (bins_[static_cast<size_t>(i)] == bin) chosen_.push_back(values[i]);
    std::nth_element(chosen_.begin(), chosen_.begin() + (rank - 1), chosen_.end(), std::greater<T>());
    return chosen_[static_cast<size_t>(rank - 1)];
  }

 private:
  static constexpr size_t kBins = 1024;
  std::vector<uint16_t> bins_;
  std::vector<T> chosen_;
};

template <class T>
at::Tensor kth_on_cpu(const at::Tensor& values, int64_t k) {
  const auto columns = values.t().contiguous();  // [E, T]
  const auto out = at::empty({columns.size(0)}, values.options());
  const int64_t n_rows = columns.size(1);
  const T* from = columns.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, columns.size(0), 1, [&](int64_t begin, int64_t end) {
    KthLargest<T> finder(n_rows);
    for (int64_t column = begin; column < end; ++column) to[column] = finder.find(from + column * n_rows, n_rows, k);
  });
  return out;
}

}  // namespace

at::Tensor top_k_ids(const at::Tensor& scores, int64_t k, const at::Tensor& bias) {
  auto type = bias.defined() ? at::result_type(scores, bias) : scores.scalar_type();
  if (type != at::kDouble) type = at::kFloat;
  const auto values = scores.detach().to(type).contiguous();
  const auto added = bias.defined() ? bias.detach().to(type).contiguous() : bias;
  if (!values.is_cpu()) {
    const auto sums = added.defined() ? values.add(added) : values;
    const auto order = std::get<1>(at::sort(sums, /*stable=*/true, /*dim=*/1, /*descending=*/true));
    return order.narrow(1, 0, k).contiguous();
  }
  return type == at::kDouble ? top_k_on_cpu<double>(values, k, added) : top_k_on_cpu<float>(values, k, added);
}

at::Tensor kth_largest_of_columns(const at::Tensor& values, int64_t k) {
  const auto plain = values.detach();
  if (!plain.is_cpu()) return std::get<0>(at::kthvalue(plain, plain.size(0) - k + 1, /*dim=*/0));
  return plain.scalar_type() == at::kDouble ? kth_on_cpu<double>(plain, k) : kth_on_cpu<float>(plain, k);
}

bool all_finite(const at::Tensor& values) { return at::isfinite(values.detach()).all().item<bool>(); }

}  // namespace evenkeel::ops
