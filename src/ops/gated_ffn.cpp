#include "ops/gated_ffn.h"

#include <atomic>

#include <ATen/Parallel.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTileRows = 128;  // stack-facts: full GEMM rate from 64 rows on, and tiles balance skewed loads

at::Tensor activate(const at::Tensor& gate, Activation activation) {
  return activation == Activation::swiglu ? at::silu(gate) : at::gelu(gate, "none");
}
at::Tensor activation_gradient(const at::Tensor& grad, const at::Tensor& gate, Activation activation) {
  return activation == Activation::swiglu ? at::silu_backward(grad, gate) : at::gelu_backward(grad, gate, "none");
}

struct Tile {
  int64_t expert, begin, rows;  // rows [begin, begin + rows) in expert order
};

std::vector<Tile> make_tiles(const std::vector<int64_t>& tokens_per_expert) {
  std::vector<Tile> tiles;
  int64_t begin = 0;
  for (size_t expert = 0; expert < tokens_per_expert.size(); ++expert) {
    const int64_t count = tokens_per_expert[expert];
    for (int64_t row = 0; row < count; row += kTileRows)
      tiles.push_back({static_cast<int64_t>(expert), begin + row, std::min(kTileRows, count - row)});
    begin += count;
  }
  return tiles;
}

// Runs task(0 .. n-1), on the CPU taken by all threads as they become free. Inside a task ATen works on one
// thread and below autograd.
template <class Task>
void run_tasks(bool is_cpu, int64_t n_tasks, const Task& task) {
  const auto run_one = [&](int64_t index) {
    const at::AutoDispatchBelowAutograd below_autograd;
    task(index);
  };
  const int64_t n_threads = is_cpu ? std::min<int64_t>(at::get_num_threads(), n_tasks) : 1;
  if (n_threads <= 1) {
    for (int64_t index = 0; index < n_tasks; ++index) run_one(index);
    return;
  }
  std::atomic<int64_t> next{0};
  at::parallel_for(0, n_threads, 1, [&](int64_t, int64_t) {
    for (int64_t index = next++; index < n_tasks; index = next++) run_one(index);
  });
}

struct Assignments {
  at::Tensor tokens;             // [N] token of each row in expert order
  at::Tensor weights;            // [N, 1] in expert order
  at::Tensor order;              // [N] row -> assignment
  std::vector<int64_t> offsets;  // [E + 1] first row of each expert
  std::vector<Tile> tiles;
};

Assignments arrange(const at::Tensor& token_ids, const at::Tensor& expert_ids, const at::Tensor& weights, int64_t n_experts) {
  auto sorted = sort_by_expert(expert_ids, n_experts);
  Assignments out;
  out.tokens = token_ids.index_select(0, sorted.order);
  out.weights = weights.index_select(0, sorted.order).unsqueeze(1);
  out.order = sorted.order;
  out.offsets.assign(1, 0);
  for (const int64_t count : sorted.tokens_per_expert) out.offsets.push_back(out.offsets.back() + count);
  out.tiles = make_tiles(sorted.tokens_per_expert);
  return out;
}

// out[token] = sum of its rows, in the order of the assignments. rows [N, H] in expert order.
at::Tensor sum_per_token(const at::Tensor& rows, const at::Tensor& token_ids, const at::Tensor& order, int64_t n_tokens) {
  const int64_t n = token_ids.size(0);
  auto position = at::empty_like(order);  // assignment -> row
  auto out = at::zeros({n_tokens, rows.size(1)}, rows.options());
  if (!rows.is_cpu()) {
    position.index_put_({order}, at::zeros_like(order).fill_(1).cumsum(0).sub_(1));
    return out.index_add_(0, token_ids, rows.index_select(0, position));
  }
  const int64_t* row_to_assignment = order.const_data_ptr<int64_t>();
  int64_t* assignment_to_row = position.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < n; ++row) assignment_to_row[row_to_assignment[row]] = row;
  const int64_t* tokens = token_ids.const_data_ptr<int64_t>();
  const int64_t width = rows.size(1);
  const auto add_rows = [&]<class T>(T*) {
    const T* from = rows.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, n_tokens, 64, [&](int64_t begin, int64_t end) {
      const int64_t* first = std::lower_bound(tokens, tokens + n, begin);
      for (int64_t a = first - tokens; a < n && tokens[a] < end; ++a) {
        const T* source = from + assignment_to_row[a] * width;
        T* target = to + tokens[a] * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) target[i] += source[i];
      }
    });
  };
  if (rows.scalar_type() == at::kDouble) {
    add_rows(static_cast<double*>(nullptr));
  } else if (rows.scalar_type() == at::kFloat) {
    add_rows(static_cast<float*>(nullptr));
  } else {
    out.index_add_(0, token_ids, rows.index_select(0, position));
  }
  return out;
}

struct RoutedFfnFunction : torch::autograd::Function<RoutedFfnFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& token_ids,
                            const at::Tensor& expert_ids, const at::Tensor& weights, const at::Tensor& gate_up,
                            const at::Tensor& down, int64_t activation_index) {
    const auto activation = static_cast<Activation>(activation_index);
    const int64_t n_experts = gate_up.size(0), inner = down.size(2), width = x.size(1), n = token_ids.size(0);
    const auto assigned = arrange(token_ids, expert_ids, weights, n_experts);
    const auto rows = at::empty({n, width}, x.options());        // x in expert order
    const auto hidden = at::empty({n, 2 * inner}, x.options());  // gate | up
    const auto outputs = at::empty({n, width}, x.options());
    run_tasks(x.is_cpu(), static_cast<int64_t>(assigned.tiles.size()), [&](int64_t index) {
      const Tile& tile = assigned.tiles[static_cast<size_t>(index)];
      const auto cut = [&](const at::Tensor& tensor) { return tensor.narrow(0, tile.begin, tile.rows); };
      auto tile_rows = cut(rows), tile_hidden = cut(hidden), tile_outputs = cut(outputs);
      at::index_select_out(tile_rows, x, 0, cut(assigned.tokens));
      at::mm_out(tile_hidden, tile_rows, gate_up[tile.expert].t());
      auto inner_rows = activate(tile_hidden.narrow(1, 0, inner), activation);
      inner_rows.mul_(tile_hidden.narrow(1, inner, inner)).mul_(cut(assigned.weights));
      at::mm_out(tile_outputs, inner_rows, down[tile.expert].t());
    });
    context->save_for_backward({rows, hidden, token_ids, assigned.tokens, assigned.weights, assigned.order, gate_up, down});
    context->saved_data["activation"] = activation_index;
    context->saved_data["offsets"] = assigned.offsets;
    context->saved_data["n_tokens"] = x.size(0);
    return sum_per_token(outputs, token_ids, assigned.order, x.size(0));
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &rows = saved[0], &hidden = saved[1], &token_ids = saved[2], &tokens = saved[3], &weights = saved[4],
               &order = saved[5], &gate_up = saved[6], &down = saved[7];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const auto offsets = context->saved_data["offsets"].toIntVector();
    const int64_t inner = down.size(2), n = rows.size(0), n_experts = gate_up.size(0);
    std::vector<int64_t> counts;
    for (int64_t expert = 0; expert < n_experts; ++expert) counts.push_back(offsets[expert + 1] - offsets[expert]);
    const auto tiles = make_tiles(counts);
    const auto grad_out = grads[0].contiguous();

    // 1. Per tile: back through down, the activation and gate_up.
    const auto grad_outputs = at::empty_like(rows);                     // [N, H] d out, unweighted
    const auto weighted_inner = at::empty({n, inner}, rows.options());  // [N, I] what `down` saw
    const auto grad_hidden = at::empty_like(hidden);                    // [N, 2I]
    const auto grad_rows = at::empty_like(rows);                        // [N, H] d x
    const auto grad_sorted_weights = at::empty({n}, rows.options());
    run_tasks(rows.is_cpu(), static_cast<int64_t>(tiles.size()), [&](int64_t index) {
      const Tile& tile = tiles[static_cast<size_t>(index)];
      const auto cut = [&](const at::Tensor& tensor) { return tensor.narrow(0, tile.begin, tile.rows); };
      auto tile_grad = cut(grad_outputs), tile_grad_hidden = cut(grad_hidden), tile_grad_rows = cut(grad_rows);
      const auto tile_weights = cut(weights);
      const auto gate = cut(hidden).narrow(1, 0, inner), up = cut(hidden).narrow(1, inner, inner);
      at::index_select_out(tile_grad, grad_out, 0, cut(tokens));
      auto grad_inner = at::mm(tile_grad, down[tile.expert]);  // [R, I]
      const auto activated = activate(gate, activation);
      const auto product = activated * up;
      auto tile_grad_weights = cut(grad_sorted_weights);
      at::sum_out(tile_grad_weights, grad_inner * product, 1);
      cut(weighted_inner).copy_(product.mul(tile_weights));
      grad_inner.mul_(tile_weights);
      tile_grad_hidden.narrow(1, inner, inner).copy_(grad_inner * activated);
      tile_grad_hidden.narrow(1, 0, inner).copy_(activation_gradient(grad_inner * up, gate, activation));
      at::mm_out(tile_grad_rows, tile_grad_hidden, gate_up[tile.expert]);
    });

    // 2. Per expert: gradients of its two matrices.
    const auto grad_gate_up = at::empty_like(gate_up);
    const auto grad_down = at::empty_like(down);
    run_tasks(rows.is_cpu(), 2 * n_experts, [&](int64_t index) {
      const int64_t expert = index / 2, begin = offsets[expert], count = counts[expert];
      auto target = index % 2 == 0 ? grad_gate_up[expert] : grad_down[expert];
      if (count == 0) {
        target.zero_();
        return;
      }
      const auto left = (index % 2 == 0 ? grad_hidden : grad_outputs).narrow(0, begin, count);
      const auto right = (index % 2 == 0 ? rows : weighted_inner).narrow(0, begin, count);
      at::mm_out(target, left.t(), right);
    });

    // 3. Back to the order of tokens and assignments.
    const auto grad_x = sum_per_token(grad_rows, token_ids, order, context->saved_data["n_tokens"].toInt());
    auto grad_weights = at::empty_like(grad_sorted_weights);
    grad_weights.index_copy_(0, order, grad_sorted_weights);
    return {grad_x, at::Tensor(), at::Tensor(), grad_weights, grad_gate_up, grad_down, at::Tensor()};
  }
};

}  // namespace

std::optional<Activation> activation_from_name(const std::string& name) {
  if (name == "swiglu") return Activation::swiglu;
  if (name == "geglu") return Activation::geglu;
  return std::nullopt;
}

at::Tensor gated_ffn(const at::Tensor& x, const at::Tensor& gate_up, const at::Tensor& down, Activation activation) {
  const auto hidden = at::linear(x, gate_up);  // [T, 2I]
  const int64_t inner = down.size(1);
  return at::linear(activate(hidden.narrow(1, 0, inner), activation) * hidden.narrow(1, inner, inner), down);
}

ExpertOrder sort_by_expert(const at::Tensor& expert_ids, int64_t n_experts) {
  ExpertOrder out;
  if (!expert_ids.is_cpu()) {
    out.order = std::get<1>(at::sort(expert_ids, /*stable=*/true, 0, /*descending=*/false));
    const auto counts = at::bincount(expert_ids, {}, n_experts).cpu();
    out.tokens_per_expert.assign(counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + n_experts);
    return out;
  }
  const auto ids = expert_ids.contiguous();
  const int64_t* expert = ids.const_data_ptr<int64_t>();
  const int64_t n = ids.size(0);
  out.tokens_per_expert.assign(static_cast<size_t>(n_experts), 0);
  for (int64_t i = 0; i < n; ++i) ++out.tokens_per_expert[static_cast<size_t>(expert[i])];
  std::vector<int64_t> next(static_cast<size_t>(n_experts), 0);
  for (size_t e = 1; e < next.size(); ++e) next[e] = next[e - 1] + out.tokens_per_expert[e - 1];
  out.order = at::empty({n}, ids.options());
  int64_t* order = out.order.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i) order[next[static_cast<size_t>(expert[i])]++] = i;
  return out;
}

at::Tensor routed_ffn(const at::Tensor& x, const at::Tensor& token_ids, const at::Tensor& expert_ids,
                      const at::Tensor& weights, const at::Tensor& gate_up, const at::Tensor& down, Activation activation) {
  // The rows are read by pointer; the ids of a single token may come as a view of stride 0.
  return RoutedFfnFunction::apply(x, token_ids.contiguous(), expert_ids, weights, gate_up, down, static_cast<int64_t>(activation));
}

}  // namespace evenkeel::ops
