#include "ops/gated_ffn.h"

#include <atomic>
#include <functional>
#include <limits>

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

#include "core/named_values.h"

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

std::vector<Tile> make_tiles(const std::vector<int64_t>& tokens_per_expert, int64_t most_rows) {
  std::vector<Tile> tiles;
  int64_t begin = 0;
  for (size_t expert = 0; expert < tokens_per_expert.size(); ++expert) {
    const int64_t count = tokens_per_expert[expert];
    for (int64_t row = 0; row < count; row += most_rows)
      tiles.push_back({static_cast<int64_t>(expert), begin + row, std::min(most_rows, count - row)});
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

// A pass over the rows of all experts. A product needs the matrices of one expert; another stage does not
// ask whose rows it has.
struct Stage {
  bool is_product;
  std::function<void(const Tile&)> run;
};
// On the CPU a task takes one tile through all stages while it is in cache. Elsewhere, where each call costs a
// launch, a stage runs over all rows at once and a product expert by expert.
void run_stages(bool is_cpu, const std::vector<int64_t>& tokens_per_expert, const std::vector<Stage>& stages) {
  const auto tiles = make_tiles(tokens_per_expert, is_cpu ? kTileRows : std::numeric_limits<int64_t>::max());
  const auto n_tiles = static_cast<int64_t>(tiles.size());
  if (is_cpu) {
    run_tasks(is_cpu, n_tiles, [&](int64_t index) {
      for (const auto& stage : stages) stage.run(tiles[static_cast<size_t>(index)]);
    });
    return;
  }
  const Tile all{-1, 0, n_tiles == 0 ? 0 : tiles.back().begin + tiles.back().rows};
  for (const auto& stage : stages)
    run_tasks(is_cpu, stage.is_product ? n_tiles : 1, [&](int64_t index) { stage.run(stage.is_product ? tiles[static_cast<size_t>(index)] : all); });
}

at::Tensor cut(const at::Tensor& tensor, const Tile& tile) { return tensor.narrow(0, tile.begin, tile.rows); }

struct Assignments {
  at::Tensor tokens;                       // [N] token of each row in expert order
  at::Tensor weights;                      // [N, 1] in expert order
  at::Tensor order;                        // [N] row -> assignment
  std::vector<int64_t> tokens_per_expert;  // [E]
};

Assignments arrange(const at::Tensor& token_ids, const at::Tensor& expert_ids, const at::Tensor& weights, int64_t n_experts) {
  auto sorted = sort_by_expert(expert_ids, n_experts);
  Assignments out;
  out.tokens = token_ids.index_select(0, sorted.order);
  out.weights = weights.index_select(0, sorted.order).unsqueeze(1);
  out.order = sorted.order;
  out.tokens_per_expert = sorted.tokens_per_expert;
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
    const auto weighted = at::empty({n, inner}, x.options());    // what `down` sees
    const auto outputs = at::empty({n, width}, x.options());
    const auto gather = [&](const Tile& tile) {
      auto target = cut(rows, tile);
      at::index_select_out(target, x, 0, cut(assigned.tokens, tile));
    };
    const auto expand = [&](const Tile& tile) {
      auto target = cut(hidden, tile);
      at::mm_out(target, cut(rows, tile), gate_up[tile.expert].t());
    };
    const auto gate = [&](const Tile& tile) {
      const auto halves = cut(hidden, tile);
      auto target = cut(weighted, tile);
      at::mul_out(target, activate(halves.narrow(1, 0, inner), activation), halves.narrow(1, inner, inner));
      target.mul_(cut(assigned.weights, tile));
    };
    const auto contract = [&](const Tile& tile) {
      auto target = cut(outputs, tile);
      at::mm_out(target, cut(weighted, tile), down[tile.expert].t());
    };
    run_stages(x.is_cpu(), assigned.tokens_per_expert, {{false, gather}, {true, expand}, {false, gate}, {true, contract}});
    context->save_for_backward({rows, hidden, token_ids, assigned.tokens, assigned.weights, assigned.order, gate_up, down});
    context->saved_data["activation"] = activation_index;
    context->saved_data["tokens_per_expert"] = assigned.tokens_per_expert;
    context->saved_data["n_tokens"] = x.size(0);
    return sum_per_token(outputs, token_ids, assigned.order, x.size(0));
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &rows = saved[0], &hidden = saved[1], &token_ids = saved[2], &tokens = saved[3], &weights = saved[4],
               &order = saved[5], &gate_up = saved[6], &down = saved[7];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const auto counts = context->saved_data["tokens_per_expert"].toIntVector();
    const int64_t inner = down.size(2), n = rows.size(0), n_experts = gate_up.size(0);
    const auto grad_out = grads[0].contiguous();

    // 1. Back through down, the activation and gate_up.
    const auto grad_outputs = at::empty_like(rows);                     // [N, H] d out, unweighted
    const auto grad_inner = at::empty({n, inner}, rows.options());      // [N, I] d of what `down` saw, unweighted
    const auto weighted_inner = at::empty({n, inner}, rows.options());  // [N, I] what `down` saw
    const auto grad_hidden = at::empty_like(hidden);                    // [N, 2I]
    const auto grad_rows = at::empty_like(rows);                        // [N, H] d x
    const auto grad_sorted_weights = at::empty({n}, rows.options());
    const auto gather = [&](const Tile& tile) {
      auto target = cut(grad_outputs, tile);
      at::index_select_out(target, grad_out, 0, cut(tokens, tile));
    };
    const auto contract = [&](const Tile& tile) {
      auto target = cut(grad_inner, tile);
      at::mm_out(target, cut(grad_outputs, tile), down[tile.expert]);
    };
    const auto gate = [&](const Tile& tile) {
      const auto tile_weights = cut(weights, tile);
      const auto gates = cut(hidden, tile).narrow(1, 0, inner), ups = cut(hidden, tile).narrow(1, inner, inner);
      auto grad = cut(grad_inner, tile), target = cut(grad_sorted_weights, tile);
      const auto tile_grad_hidden = cut(grad_hidden, tile);
      const auto activated = activate(gates, activation);
      const auto product = activated * ups;
      at::sum_out(target, grad * product, 1);
      cut(weighted_inner, tile).copy_(product.mul(tile_weights));
      grad.mul_(tile_weights);
      tile_grad_hidden.narrow(1, inner, inner).copy_(grad * activated);
      tile_grad_hidden.narrow(1, 0, inner).copy_(activation_gradient(grad * ups, gates, activation));
    };
    const auto expand = [&](const Tile& tile) {
      auto target = cut(grad_rows, tile);
      at::mm_out(target, cut(grad_hidden, tile), gate_up[tile.expert]);
    };
    run_stages(rows.is_cpu(), counts, {{false, gather}, {true, contract}, {false, gate}, {true, expand}});

    // 2. Per expert: gradients of its two matrices.
    const auto grad_gate_up = at::empty_like(gate_up);
    const auto grad_down = at::empty_like(down);
    std::vector<int64_t> first_row(1, 0);
    for (const int64_t count : counts) first_row.push_back(first_row.back() + count);
    run_tasks(rows.is_cpu(), 2 * n_experts, [&](int64_t index) {
      const auto e = static_cast<size_t>(index / 2);
      const int64_t expert = index / 2, begin = first_row[e], count = counts[e];
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

namespace {
constexpr Named<Activation> kActivations[] = {{"swiglu", Activation::swiglu}, {"geglu", Activation::geglu}};
}  // namespace
void read_value(const ConfigNode& node, const std::string& path, Activation& out) { out = read_named<Activation>(node, path, kActivations); }
Json to_json(Activation activation) { return name_of<Activation>(activation, kActivations); }

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
