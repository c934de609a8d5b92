// Adafactor (arXiv 1804.04235) as T5X has it (t5x/adafactor.py), which trained OpenMoE. With G the gradient of a matrix
// [R, C] or a vector, t its own update from 1, b = 1 - t^-decay_rate and S = G^2 + eps:
//   row = b row + (1 - b) mean of S over C,   column = b column + (1 - b) mean of S over R
//   U = G / sqrt(row column' / mean(row))      where R and C are min_factored or more; elsewhere U = G / sqrt(second),
//                                              second = b second + (1 - b) S
//   U = U / max(1, rms(U) / clipping_threshold)
//   D = lr max(eps_scale, rms(W)) U            without scale_parameter: lr U
//   first = momentum first + (1 - momentum) D, D = first      where momentum > 0
//   W = (1 - weight_decay) W - D
// All of it for each published matrix by itself (ops/packing.h): a query matrix, one expert's gate. T5X's weight decay
// is not multiplied by the learning rate; a factor on a parameter's rate (`slow`) is one on its decay here. Where rows
// of a matrix are frozen, the matrix is that of the others: all means are over these. Rows that begin to learn later
// have second moments of 0, which no update leaves (eps is in S): they take the present value, as at t = 1.
#include <algorithm>
#include <cmath>

#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include "optim/optimizer.h"

namespace evenkeel::optim {
namespace {

struct AdafactorOptions {
  double decay_rate = 0.8, clipping_threshold = 1;
  bool scale_parameter = true;
  int64_t min_factored = 128;
  double eps = 1e-30, eps_scale = 1e-3, momentum = 0, weight_decay = 0, clip_norm = 0;
  static void visit_fields(auto& options, auto&& field) {
    field("decay_rate", options.decay_rate, "the second moments' decay at update t is 1 - t^-decay_rate");
    field("clipping_threshold", options.clipping_threshold,
          "largest root mean square of a matrix's update, before rates");
    field("scale_parameter", options.scale_parameter,
          "the learning rate is relative to a matrix's root mean square; false: absolute");
    field("min_factored", options.min_factored,
          {"a matrix whose sides are both this long has a second moment by rows and columns, others one by elements",
           "rows or columns"});
    field("eps", options.eps, "added to the squares of gradients");
    field("eps_scale", options.eps_scale, "of scale_parameter: least root mean square of a matrix");
    field("momentum", options.momentum, "decay of the first moment, of updates with their rates; 0: there is none");
    field("weight_decay", options.weight_decay, "share of a parameter that each update takes off, whatever the rate");
    field("clip_norm", options.clip_norm, "largest global gradient norm; 0 = no clipping");
  }
};

// One part of one parameter: a matrix or a vector, or those of all experts in a stack.
struct Piece {
  size_t parameter = 0, part = 0;
  bool is_factored = false;
  int64_t n_dims = 0;            // of one of its matrices
  size_t row = 0, column = 0;    // places of its moments where it is factored
  size_t second = 0, first = 0;  // where it is not; with momentum, that of the whole parameter
  double n_elements = 0;
};

// The mean over the last n_dims dimensions, which stay with length 1; one after the other, so that no sum in fp32 is
// longer than a side.
at::Tensor mean_of(at::Tensor x, int64_t n_dims) {
  for (int64_t dim = 1; dim <= n_dims; ++dim) x = x.mean({-dim}, /*keepdim=*/true);
  return x;
}
at::Tensor root_mean_square(const at::Tensor& x, int64_t n_dims) { return mean_of(x.square(), n_dims).sqrt_(); }

// The rows of a piece that learn, of a stack the experts: all of them, or a range, as they lie; where frozen ones lie
// between them, as a copy to be put back.
struct LearningRows {
  at::Tensor index;          // [n]; undefined: they follow one another
  at::Tensor factors;        // [n, 1, ..]: on the learning rate of each; undefined: all rows, at one rate
  int64_t first = 0, n = 0;  // the range
  at::Tensor of(const at::Tensor& whole) const {
    if (index.defined()) return whole.index_select(0, index);
    return factors.defined() ? whole.narrow(0, first, n) : whole;
  }
  void put(const at::Tensor& rows, const at::Tensor& whole) const {
    if (index.defined()) whole.index_copy_(0, index, rows);
  }
};

class Adafactor : public Optimizer {
 public:
  Adafactor(std::vector<ParamForm> parameters, const AdafactorOptions& options)
      : options_(options), parameters_(std::move(parameters)) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const auto& form = parameters_[i];
      const size_t begin = pieces_.size();
      for (size_t part = 0; part < form.packing.n_parts(); ++part) pieces_.push_back(piece_of(i, part));
      if (options_.momentum == 0) continue;
      const size_t first = add_moment("first." + form.name, form.shape);
      for (size_t piece = begin; piece < pieces_.size(); ++piece) pieces_[piece].first = first;
    }
  }
  Json options() const override { return evenkeel::to_json(WithKind{"adafactor", options_}); }
  double clip_norm() const override { return options_.clip_norm; }
  double floats_in_hand() const override {  // its update, and the squares of that
    double most = 0;
    for (const auto& piece : pieces_) most = std::max(most, 2 * piece.n_elements);
    return most;
  }

  void update(const Rates& rates, const ops::Params& params, const std::vector<at::Tensor>& gradients,
              OptimizerState& state) const override {
    const auto skips = [&](size_t i) { return !gradients[i].defined() || rates.factors.is_frozen(i); };
    for (size_t i = 0; i < params.size(); ++i)
      if (!skips(i)) ++state.updates.at(i);
    for (const auto& piece : pieces_)
      if (!skips(piece.parameter)) update_piece(piece, rates, {params, gradients[piece.parameter]}, state);
  }

 private:
  struct Of {
    const ops::Params& params;
    const at::Tensor& gradient;  // of the piece's parameter
  };

  Piece piece_of(size_t parameter, size_t part) {
    const auto& form = parameters_[parameter];
    const auto shape = ops::part_shape(form.shape, form.packing, part);
    const std::string name = form.name + ops::part_suffix(form.packing, part);
    Piece out{.parameter = parameter, .part = part};
    out.n_dims = static_cast<int64_t>(shape.size()) - (form.packing.is_stacked ? 1 : 0);
    if (out.n_dims < 1 || out.n_dims > 2)
      throw std::logic_error("adafactor: " + form.name + " holds neither matrices nor vectors");
    out.n_elements = 1;
    for (const int64_t size : shape) out.n_elements *= static_cast<double>(size);
    out.is_factored = out.n_dims == 2 && std::min(shape.back(), shape[shape.size() - 2]) >= options_.min_factored;
    if (!out.is_factored) {
      out.second = add_moment("second." + name, shape);
      return out;
    }
    auto rows = shape, columns = shape;
    rows.pop_back();
    columns.erase(columns.end() - 2);
    out.row = add_moment("row." + name, rows);
    out.column = add_moment("column." + name, columns);
    return out;
  }

  LearningRows rows_of(const Piece& piece, const RateFactors& factors, const at::Tensor& value) const {
    const auto found = factors.rows.find(piece.parameter);
    if (found == factors.rows.end()) return {};
    const auto& packing = parameters_[piece.parameter].packing;
    int64_t first = 0;  // of the piece, among the parameter's rows
    for (size_t part = 0; part < piece.part && !packing.is_stacked; ++part) first += packing.parts[part].rows;
    std::vector<int64_t> index;
    std::vector<double> factor;
    for (const auto& range : found->second) {
      if (range.factor == 0) continue;
      const int64_t end = std::min(range.end - first, value.size(0));
      for (int64_t row = std::max<int64_t>(range.begin - first, 0); row < end; ++row) {
        index.push_back(row);
        factor.push_back(range.factor);
      }
    }
    std::vector<int64_t> one_each(static_cast<size_t>(value.dim()), 1);
    one_each[0] = -1;
    LearningRows out;
    out.factors = at::tensor(factor, value.options()).view(one_each);
    out.n = static_cast<int64_t>(index.size());
    if (out.n > 0) out.first = index.front();
    if (out.n > 0 && index.back() - index.front() >= out.n)
      out.index = at::tensor(index, value.options().dtype(at::kLong));
    return out;
  }

  // U before clipping, of the rows that learn. Moves their second moments.
  at::Tensor normalised(const Piece& piece, const LearningRows& rows, const at::Tensor& gradient,
                        OptimizerState& state) const {
    const auto t = static_cast<double>(state.updates.at(piece.parameter));
    const double decay = 1 - std::pow(t, -options_.decay_rate);
    auto out = gradient.square().add_(options_.eps);
    const auto moved = [&](size_t place, bool has_rows, const at::Tensor& now) {
      const auto& whole = state.moments.tensor(place);
      auto moment = has_rows ? rows.of(whole) : whole;
      const auto is_first = moment.eq(0);
      moment.mul_(decay).add_(now, 1 - decay);
      at::where_out(moment, is_first, now, moment);
      if (has_rows) rows.put(moment, whole);
      return moment;
    };
    if (!piece.is_factored) {
      at::rsqrt_out(out, moved(piece.second, true, out));
      return out.mul_(gradient);
    }
    const auto row = moved(piece.row, true, out.mean({-1}));
    const bool is_stacked = parameters_[piece.parameter].packing.is_stacked;
    const auto column = moved(piece.column, is_stacked, out.mean({-2}));
    at::mul_out(out, gradient, row.div(row.mean({-1}, /*keepdim=*/true)).rsqrt_().unsqueeze(-1));
    return out.mul_(column.rsqrt().unsqueeze(-2));
  }

  void update_piece(const Piece& piece, const Rates& rates, const Of& of, OptimizerState& state) const {
    const auto& packing = parameters_[piece.parameter].packing;
    const auto own = [&](const at::Tensor& whole) { return ops::part_of(whole, packing, piece.part); };
    const auto stored = own(of.params.tensor(piece.parameter).detach());
    const auto rows = rows_of(piece, rates.factors, stored);
    if (rows.factors.defined() && rows.n == 0) return;
    const auto at_own_rates = [&](const at::Tensor& per_row) {
      return rows.factors.defined() ? per_row * rows.factors : per_row * rates.factors.of(piece.parameter);
    };
    auto parameter = rows.of(stored);
    auto change = normalised(piece, rows, rows.of(own(of.gradient)), state);
    const auto excess = root_mean_square(change, piece.n_dims).div_(options_.clipping_threshold).clamp_min_(1);
    auto rate = at_own_rates(excess.reciprocal().mul_(rates.learning_rate));
    if (options_.scale_parameter)
      rate = rate.mul(root_mean_square(parameter, piece.n_dims).clamp_min_(options_.eps_scale));
    change.mul_(rate);
    if (options_.momentum > 0) {
      const auto first = own(state.moments.tensor(piece.first));
      change = rows.of(first).mul_(options_.momentum).add_(change, 1 - options_.momentum);
      rows.put(change, first);
    }
    if (options_.weight_decay > 0) {
      const auto decay = at_own_rates(at::full({}, options_.weight_decay, parameter.options()));
      parameter.mul_(1 - decay);
    }
    parameter.sub_(change);
    rows.put(parameter, stored);
  }

  AdafactorOptions options_;
  std::vector<ParamForm> parameters_;
  std::vector<Piece> pieces_;
};

std::unique_ptr<Optimizer> make(const OptimizerPlace& place, AdafactorOptions options, const ConfigNode& config) {
  const auto check = [&](bool holds, const char* key, const auto& value, const char* need) {
    require<ConfigError>(holds, got_at(place_of(config, key), join_path(kOptimizerTable.path, key)), value, "; need ",
                         need);
  };
  const auto check_positive = [&](const char* key, double value) {
    check(value > 0 && std::isfinite(value), key, value, "more than 0");
  };
  check_positive("decay_rate", options.decay_rate);
  check_positive("clipping_threshold", options.clipping_threshold);
  check(options.min_factored >= 1, "min_factored", options.min_factored, "1 or more");
  check_positive("eps", options.eps);
  check_positive("eps_scale", options.eps_scale);
  check(options.momentum >= 0 && options.momentum < 1, "momentum", options.momentum, "0 (none) <= momentum < 1");
  check(options.weight_decay >= 0 && options.weight_decay < 1, "weight_decay", options.weight_decay,
        "0 <= weight_decay < 1: it is not multiplied by the learning rate");
  check(options.clip_norm >= 0, "clip_norm", options.clip_norm, "0 (no clipping) or more");
  return std::make_unique<Adafactor>(place.parameters, options);
}

}  // namespace

OptimizerFactory adafactor_optimizer() { return kind_factory(kOptimizerTable, make); }

}  // namespace evenkeel::optim
