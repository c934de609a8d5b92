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
#include <ATen/ops/mv.h>
#include <ATen/ops/sigmoid.h>
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

const char* gelu_formula(Activation activation) { return activation == Activation::geglu ? "none" : "tanh"; }

// What multiplies `up`: [N, I] of gates [N, form.gate_width(I)].
at::Tensor activate(const at::Tensor& gates, const GatedForm& form) {
  if (form.activation == Activation::swiglu) return at::silu(gates);
  if (form.activation == Activation::swiglu_clamped) {
    const auto gate = gates.clamp_max(form.limit);
    return gate * at::sigmoid(gate * form.alpha);
  }
  if (form.activation == Activation::swiglu_double) {
    const auto halves = gates.chunk(2, 1);
    return halves[0] * at::silu(halves[1]);
  }
  return at::gelu(gates, gelu_formula(form.activation));
}
// d gates, where `grad` is that of what `activate` gave; into `target`.
void activation_gradient(const at::Tensor& grad, const at::Tensor& gates, const GatedForm& form, at::Tensor target) {
  if (form.activation == Activation::swiglu) {
    target.copy_(at::silu_backward(grad, gates));
  } else if (form.activation == Activation::swiglu_clamped) {
    const auto gate = gates.clamp_max(form.limit);
    const auto share = at::sigmoid(gate * form.alpha);
    target.copy_(grad * share * (gate * form.alpha * (1 - share) + 1) * gates.le(form.limit));
  } else if (form.activation == Activation::swiglu_double) {
    const auto halves = gates.chunk(2, 1), targets = target.chunk(2, 1);
    targets[0].copy_(grad * at::silu(halves[1]));
    targets[1].copy_(at::silu_backward(grad * halves[0], halves[1]));
  } else {
    target.copy_(at::gelu_backward(grad, gates, gelu_formula(form.activation)));
  }
}

// What `up` enters the product as, and d up of the gradient of that.
at::Tensor up_factor(const at::Tensor& ups, const GatedForm& form) {
  return form.activation == Activation::swiglu_clamped ? ups.clamp(-form.limit, form.limit) + 1 : ups;
}
at::Tensor up_gradient(const at::Tensor& grad, const at::Tensor& ups, const GatedForm& form) {
  return form.activation == Activation::swiglu_clamped ? grad * ups.abs().le(form.limit) : grad;
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

// The forward pass of rows, a tile of one expert at a time.
struct RowsForward {
  at::Tensor rows, weights;     // [N, H], [N]
  at::Tensor hidden, weighted;  // [N, G] gate | up; [N, I] what `down` sees
  at::Tensor outputs;           // [N, H]
  GatedForm form;

  RowsForward(const at::Tensor& rows_in, const at::Tensor& row_weights, int64_t inner, const GatedForm& form_in)
      : rows(rows_in),
        weights(row_weights),
        hidden(at::empty({rows.size(0), form_in.gate_up_width(inner)}, rows.options())),
        weighted(at::empty({rows.size(0), inner}, rows.options())),
        outputs(at::empty_like(rows)),
        form(form_in) {}

  // gate_up [G, H] of the tile's expert; the bias [G], undefined: none
  void expand(const Tile& tile, const at::Tensor& gate_up, const at::Tensor& bias) const {
    auto target = cut(hidden, tile);
    at::mm_out(target, cut(rows, tile), gate_up.t());
    if (bias.defined()) target.add_(bias);
  }
  void gate(const Tile& tile) const {
    const int64_t inner = weighted.size(1), gate_width = form.gate_width(inner);
    const auto both = cut(hidden, tile);
    auto target = cut(weighted, tile);
    at::mul_out(target, activate(both.narrow(1, 0, gate_width), form),
                up_factor(both.narrow(1, gate_width, inner), form));
    target.mul_(tile_weights(tile));
  }
  // down [H, I]; the bias [H], undefined: none
  void contract(const Tile& tile, const at::Tensor& down, const at::Tensor& bias) const {
    auto target = cut(outputs, tile);
    at::mm_out(target, cut(weighted, tile), down.t());
    if (bias.defined()) target.addcmul_(tile_weights(tile), bias);
  }
  at::Tensor tile_weights(const Tile& tile) const { return cut(weights, tile).unsqueeze(1); }
};

// [E, ...] of each expert, or an empty tensor: autograd takes none that is undefined.
at::Tensor or_empty(const at::Tensor& bias, const at::Tensor& like) {
  return bias.defined() ? bias : at::empty({0}, like.options());
}

struct ExpertsFfnFunction : torch::autograd::Function<ExpertsFfnFunction> {
  struct Inputs {
    at::Tensor rows, weights, gate_up, down, gate_up_bias, down_bias;  // the biases [0]: none
    bool has_gate_up_bias() const { return gate_up_bias.numel() > 0; }
    bool has_down_bias() const { return down_bias.numel() > 0; }
  };
  // What a backward pass knows of the forward one.
  struct Pass {
    Inputs in;
    at::Tensor hidden;  // [N, G] gate | up
    std::vector<int64_t> rows_per_expert;
    GatedForm form;
    int64_t inner() const { return in.down.size(2); }
    at::Tensor gates(const Tile& tile) const { return cut(hidden, tile).narrow(1, 0, form.gate_width(inner())); }
    at::Tensor ups(const Tile& tile) const { return cut(hidden, tile).narrow(1, form.gate_width(inner()), inner()); }
    at::Tensor tile_weights(const Tile& tile) const { return cut(in.weights, tile).unsqueeze(1); }
  };

  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& row_weights,
                            const at::Tensor& gate_up, const at::Tensor& down, const at::Tensor& gate_up_bias,
                            const at::Tensor& down_bias, const std::vector<int64_t>& rows_per_expert,
                            const std::vector<double>& form) {
    const RowsForward pass(rows, row_weights, down.size(2), form_of(form));
    const auto of_expert = [](const at::Tensor& all, const Tile& tile) {
      return all.numel() > 0 ? all[tile.expert] : at::Tensor();
    };
    const auto expand = [&](const Tile& tile) {
      pass.expand(tile, gate_up[tile.expert], of_expert(gate_up_bias, tile));
    };
    const auto contract = [&](const Tile& tile) { pass.contract(tile, down[tile.expert], of_expert(down_bias, tile)); };
    run_stages(rows.is_cpu(), rows_per_expert,
               {{true, expand}, {false, [&](const Tile& tile) { pass.gate(tile); }}, {true, contract}});
    context->save_for_backward({rows, row_weights, gate_up, down, gate_up_bias, down_bias, pass.hidden});
    context->saved_data["form"] = form;
    context->saved_data["rows_per_expert"] = rows_per_expert;
    return pass.outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Pass pass{{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5]},
                    saved[6],
                    context->saved_data["rows_per_expert"].toIntVector(),
                    form_of(context->saved_data["form"].toDoubleVector())};
    const auto through = back_to_rows(pass, grads[0].contiguous());
    auto out = matrix_gradients(pass, through);
    out.insert(out.begin(), {through.rows, through.weights});
    out.resize(8);  // none of counts and form
    return out;
  }

 private:
  struct Through {
    at::Tensor outputs;         // [N, H] d out, unweighted
    at::Tensor weighted_inner;  // [N, I] what `down` saw
    at::Tensor hidden;          // [N, G] d hidden
    at::Tensor rows, weights;   // [N, H], [N] d
  };

  // Back through down, the activation and gate_up.
  static Through back_to_rows(const Pass& pass, const at::Tensor& grad_outputs) {
    const Inputs& in = pass.in;
    const int64_t n = in.rows.size(0), inner = pass.inner(), gate_width = pass.form.gate_width(inner);
    const auto options = in.rows.options();
    const auto grad_inner = at::empty({n, inner}, options);  // d of what `down` saw, unweighted
    const Through out{grad_outputs, at::empty({n, inner}, options), at::empty_like(pass.hidden),
                      at::empty_like(in.rows), at::empty({n}, options)};
    const auto contract = [&](const Tile& tile) {
      auto target = cut(grad_inner, tile), by_bias = cut(out.weights, tile);
      at::mm_out(target, cut(grad_outputs, tile), in.down[tile.expert]);
      if (in.has_down_bias()) at::mv_out(by_bias, cut(grad_outputs, tile), in.down_bias[tile.expert]);
    };
    const auto gate = [&](const Tile& tile) {
      const auto gates = pass.gates(tile), ups = pass.ups(tile);
      auto grad = cut(grad_inner, tile), target = cut(out.weights, tile);
      const auto grad_hidden = cut(out.hidden, tile);
      const auto activated = activate(gates, pass.form), factor = up_factor(ups, pass.form);
      const auto product = activated * factor;
      if (in.has_down_bias()) {
        target.add_((grad * product).sum(1));
      } else {
        at::sum_out(target, grad * product, 1);
      }
      const auto tile_weights = pass.tile_weights(tile);
      cut(out.weighted_inner, tile).copy_(product.mul(tile_weights));
      grad.mul_(tile_weights);
      grad_hidden.narrow(1, gate_width, inner).copy_(up_gradient(grad * activated, ups, pass.form));
      activation_gradient(grad * factor, gates, pass.form, grad_hidden.narrow(1, 0, gate_width));
    };
    const auto expand = [&](const Tile& tile) {
      auto target = cut(out.rows, tile);
      at::mm_out(target, cut(out.hidden, tile), in.gate_up[tile.expert]);
    };
    run_stages(in.rows.is_cpu(), pass.rows_per_expert, {{true, contract}, {false, gate}, {true, expand}});
    return out;
  }

  // Per expert: d gate_up, d down, d gate_up_bias, d down_bias; undefined without biases.
  static variable_list matrix_gradients(const Pass& pass, const Through& through) {
    const Inputs& in = pass.in;
    const auto like = [](const at::Tensor& bias) { return bias.numel() > 0 ? at::empty_like(bias) : at::Tensor(); };
    const variable_list out = {at::empty_like(in.gate_up), at::empty_like(in.down), like(in.gate_up_bias),
                               like(in.down_bias)};
    std::vector<int64_t> first_row(1, 0);
    for (const int64_t count : pass.rows_per_expert) first_row.push_back(first_row.back() + count);
    run_tasks(in.rows.is_cpu(), 2 * in.gate_up.size(0), [&](int64_t index) {
      const bool is_down = index % 2 == 1;
      const auto e = static_cast<size_t>(index / 2);
      const auto its_rows = [&](const at::Tensor& all) { return all.narrow(0, first_row[e], pass.rows_per_expert[e]); };
      auto target = out[is_down ? 1 : 0][index / 2];
      const auto left = its_rows(is_down ? through.outputs : through.hidden);
      const auto right = its_rows(is_down ? through.weighted_inner : in.rows);
      if (pass.rows_per_expert[e] == 0) {
        target.zero_();
      } else {
        at::mm_out(target, left.t(), right);
      }
      const auto& bias = out[is_down ? 3 : 2];
      if (bias.defined())
        bias[index / 2].copy_(is_down ? (left * its_rows(in.weights).unsqueeze(1)).sum(0) : left.sum(0));
    });
    return out;
  }

 public:
  static std::vector<double> list_of(const GatedForm& form) {
    return {static_cast<double>(form.activation), form.alpha, form.limit};
  }
  static GatedForm form_of(const std::vector<double>& list) {
    return {static_cast<Activation>(static_cast<int>(list[0])), list[1], list[2]};
  }
};

// Every expert is made once, by the thread that takes all its tiles: the same products as above.
at::Tensor stored_experts_ffn(const at::Tensor& rows, const at::Tensor& weights,
                              const std::vector<int64_t>& rows_per_expert, const Experts& experts) {
  const RowsForward pass(rows, weights, experts.stored->inner, experts.form);
  std::vector<std::vector<Tile>> by_expert;
  for (const auto& tile : make_tiles(rows_per_expert, rows.is_cpu() ? kTileRows : rows.size(0))) {
    if (by_expert.empty() || by_expert.back()[0].expert != tile.expert) by_expert.emplace_back();
    by_expert.back().push_back(tile);
  }
  run_tasks(rows.is_cpu(), static_cast<int64_t>(by_expert.size()), [&](int64_t index) {
    const auto& tiles = by_expert[static_cast<size_t>(index)];
    const auto expert = experts.stored->load(tiles[0].expert);
    for (const auto& tile : tiles) {
      pass.expand(tile, expert.gate_up, expert.gate_up_bias);
      pass.gate(tile);
      pass.contract(tile, expert.down, expert.down_bias);
    }
  });
  return pass.outputs;
}

}  // namespace

namespace {
constexpr Named<Activation> kActivations[] = {{"swiglu", Activation::swiglu},
                                              {"geglu", Activation::geglu},
                                              {"geglu_tanh", Activation::geglu_tanh},
                                              {"swiglu_clamped", Activation::swiglu_clamped},
                                              {"swiglu_double", Activation::swiglu_double}};
}  // namespace
std::span<const Named<Activation>> names_of(Activation) { return kActivations; }

at::Tensor gated_ffn(const at::Tensor& x, const GatedFfn& ffn) {
  const auto bias = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
  const auto hidden = at::linear(x, ffn.gate_up, bias(ffn.gate_up_bias));  // [T, G]
  const int64_t inner = ffn.down.size(1), gate_width = ffn.form.gate_width(inner);
  const auto activated =
      activate(hidden.narrow(1, 0, gate_width), ffn.form) * up_factor(hidden.narrow(1, gate_width, inner), ffn.form);
  return at::linear(activated, ffn.down, bias(ffn.down_bias));
}

at::Tensor experts_ffn(const at::Tensor& rows, const at::Tensor& weights, const std::vector<int64_t>& rows_per_expert,
                       const Experts& experts) {
  if (experts.stored != nullptr) return stored_experts_ffn(rows, weights, rows_per_expert, experts);
  return ExpertsFfnFunction::apply(
      rows, weights, experts.gate_up, experts.down, or_empty(experts.gate_up_bias, experts.gate_up),
      or_empty(experts.down_bias, experts.down), rows_per_expert, ExpertsFfnFunction::list_of(experts.form));
}

}  // namespace evenkeel::ops
