#include "ops/gated_ffn.h"

#include <atomic>
#include <functional>
#include <limits>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/sum.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTileRows = 128;  // stack-facts: full GEMM rate from 64 rows on, and tiles balance skewed loads

at::Tensor activate(const at::Tensor& gate, Activation activation) {
  if (activation == Activation::swiglu) return at::silu(gate);
  return at::gelu(gate, activation == Activation::geglu ? "none" : "tanh");
}
at::Tensor activation_gradient(const at::Tensor& grad, const at::Tensor& gate, Activation activation) {
  if (activation == Activation::swiglu) return at::silu_backward(grad, gate);
  return at::gelu_backward(grad, gate, activation == Activation::geglu ? "none" : "tanh");
}

struct Tile {
  int64_t expert, begin, rows;  // rows [begin, begin + rows) in expert order
};

std::vector<Tile> make_tiles(const std::vector<int64_t>& rows_per_expert, int64_t most_rows) {
  std::vector<Tile> tiles;
  int64_t begin = 0;
  for (size_t expert = 0; expert < rows_per_expert.size(); ++expert) {
    const int64_t count = rows_per_expert[expert];
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
void run_stages(bool is_cpu, const std::vector<int64_t>& rows_per_expert, const std::vector<Stage>& stages) {
  const auto tiles = make_tiles(rows_per_expert, is_cpu ? kTileRows : std::numeric_limits<int64_t>::max());
  const auto n_tiles = static_cast<int64_t>(tiles.size());
  if (is_cpu) {
    run_tasks(is_cpu, n_tiles, [&](int64_t index) {
      for (const auto& stage : stages) stage.run(tiles[static_cast<size_t>(index)]);
    });
    return;
  }
  const Tile all{-1, 0, n_tiles == 0 ? 0 : tiles.back().begin + tiles.back().rows};
  for (const auto& stage : stages)
    run_tasks(is_cpu, stage.is_product ? n_tiles : 1,
              [&](int64_t index) { stage.run(stage.is_product ? tiles[static_cast<size_t>(index)] : all); });
}

at::Tensor cut(const at::Tensor& tensor, const Tile& tile) { return tensor.narrow(0, tile.begin, tile.rows); }

struct ExpertsFfnFunction : torch::autograd::Function<ExpertsFfnFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& row_weights,
                            const at::Tensor& gate_up, const at::Tensor& down,
                            const std::vector<int64_t>& rows_per_expert, int64_t activation_index) {
    const auto activation = static_cast<Activation>(activation_index);
    const int64_t inner = down.size(2), n = rows.size(0);
    const auto weights = row_weights.unsqueeze(1);
    const auto hidden = at::empty({n, 2 * inner}, rows.options());  // gate | up
    const auto weighted = at::empty({n, inner}, rows.options());    // what `down` sees
    auto outputs = at::empty_like(rows);
    const auto expand = [&](const Tile& tile) {
      auto target = cut(hidden, tile);
      at::mm_out(target, cut(rows, tile), gate_up[tile.expert].t());
    };
    const auto gate = [&](const Tile& tile) {
      const auto halves = cut(hidden, tile);
      auto target = cut(weighted, tile);
      at::mul_out(target, activate(halves.narrow(1, 0, inner), activation), halves.narrow(1, inner, inner));
      target.mul_(cut(weights, tile));
    };
    const auto contract = [&](const Tile& tile) {
      auto target = cut(outputs, tile);
      at::mm_out(target, cut(weighted, tile), down[tile.expert].t());
    };
    run_stages(rows.is_cpu(), rows_per_expert, {{true, expand}, {false, gate}, {true, contract}});
    context->save_for_backward({rows, row_weights, gate_up, down, hidden});
    context->saved_data["activation"] = activation_index;
    context->saved_data["rows_per_expert"] = rows_per_expert;
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto &rows = saved[0], &gate_up = saved[2], &down = saved[3], &hidden = saved[4];
    const auto weights = saved[1].unsqueeze(1);
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const auto counts = context->saved_data["rows_per_expert"].toIntVector();
    const int64_t inner = down.size(2), n = rows.size(0), n_experts = gate_up.size(0);
    const auto grad_outputs = grads[0].contiguous();  // [N, H] d out, unweighted

    // 1. Back through down, the activation and gate_up.
    const auto grad_inner = at::empty({n, inner}, rows.options());      // [N, I] d of what `down` saw, unweighted
    const auto weighted_inner = at::empty({n, inner}, rows.options());  // [N, I] what `down` saw
    const auto grad_hidden = at::empty_like(hidden);                    // [N, 2I]
    const auto grad_rows = at::empty_like(rows);                        // [N, H]
    const auto grad_weights = at::empty({n}, rows.options());
    const auto contract = [&](const Tile& tile) {
      auto target = cut(grad_inner, tile);
      at::mm_out(target, cut(grad_outputs, tile), down[tile.expert]);
    };
    const auto gate = [&](const Tile& tile) {
      const auto tile_weights = cut(weights, tile);
      const auto gates = cut(hidden, tile).narrow(1, 0, inner), ups = cut(hidden, tile).narrow(1, inner, inner);
      auto grad = cut(grad_inner, tile), target = cut(grad_weights, tile);
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
    run_stages(rows.is_cpu(), counts, {{true, contract}, {false, gate}, {true, expand}});

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

    return {grad_rows, grad_weights, grad_gate_up, grad_down, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

namespace {
constexpr Named<Activation> kActivations[] = {
    {"swiglu", Activation::swiglu}, {"geglu", Activation::geglu}, {"geglu_tanh", Activation::geglu_tanh}};
}  // namespace
std::span<const Named<Activation>> names_of(Activation) { return kActivations; }

at::Tensor gated_ffn(const at::Tensor& x, const GatedFfn& ffn) {
  const auto bias = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
  const auto hidden = at::linear(x, ffn.gate_up, bias(ffn.gate_up_bias));  // [T, 2I]
  const int64_t inner = ffn.down.size(1);
  const auto activated = activate(hidden.narrow(1, 0, inner), ffn.activation) * hidden.narrow(1, inner, inner);
  return at::linear(activated, ffn.down, bias(ffn.down_bias));
}

at::Tensor experts_ffn(const at::Tensor& rows, const at::Tensor& weights, const std::vector<int64_t>& rows_per_expert,
                       const Experts& experts) {
  return ExpertsFfnFunction::apply(rows, weights, experts.gate_up, experts.down, rows_per_expert,
                                   static_cast<int64_t>(experts.activation));
}

}  // namespace evenkeel::ops
