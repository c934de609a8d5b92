// Random assignment: each token gets k experts drawn uniformly without replacement, with weight 1 / k. The
// baseline of a learned router: what the experts alone are worth (as in THOR, arXiv 2110.04260, without its
// consistency loss). In training the draw of a token depends on (run seed, step, micro-batch, layer), which is
// RouterInput::seed, and on its place in the micro-batch; at evaluation on the position in the sequence and the
// token's id, so that results do not depend on the batch. No matrix, no state, nothing to learn.
#include "moe/router.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "core/rng.h"

namespace evenkeel::moe {
namespace {

struct RandomOptions {
  static void visit_fields(auto&, auto&&) {}
};

// k distinct numbers below `bound`, uniform over ordered choices.
void draw_distinct(RngStream rng, int64_t bound, int64_t k, int64_t* out) {
  std::vector<int64_t> taken;  // ascending
  for (int64_t i = 0; i < k; ++i) {
    auto number =
        static_cast<int64_t>(rng.below(static_cast<uint64_t>(bound - i)));  // its rank among those that are left
    auto place = taken.begin();
    for (; place != taken.end() && number >= *place; ++place) ++number;
    taken.insert(place, number);
    out[i] = number;
  }
}

class RandomRouter : public Router {
 public:
  explicit RandomRouter(const RouterShape& shape) : shape_(shape) {}

  RoutingDecision route(const RouterInput& input) const override {
    const int64_t n_tokens = input.hidden.size(0), K = shape_.top_k;
    const int64_t n_positions = n_tokens > 0 ? n_tokens / input.n_sequences : 0;
    const bool is_training = input.mode == Mode::train;
    const auto ids = is_training ? at::Tensor() : input.token_ids.cpu().contiguous();
    const int64_t* id = is_training ? nullptr : ids.const_data_ptr<int64_t>();
    const auto expert_ids = at::empty({n_tokens, K}, at::kLong);
    int64_t* out = expert_ids.mutable_data_ptr<int64_t>();
    constexpr int64_t kTokensAThread = 256;
    at::parallel_for(0, n_tokens, kTokensAThread, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const auto index = static_cast<uint64_t>(t);
        const uint64_t place =
            is_training ? index : combine_bits(static_cast<uint64_t>(t % n_positions), static_cast<uint64_t>(id[t]));
        draw_distinct(RngStream(input.seed, "random router", place), shape_.n_experts, K, out + t * K);
      }
    });
    return fixed_choice(input, shape_.n_experts, expert_ids.to(input.hidden.device()));
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = Scope::micro_batch;  // where a token stands in it
    out.eval_scope = Scope::sequence;
    out.has_matrix = out.has_weight_gradient = out.needs_balance = false;
    return out;
  }

  Json options() const override { return Json::Object{{"kind", "random"}}; }

 private:
  RouterShape shape_;
};

std::unique_ptr<Router> make(const RouterShape& shape, RandomOptions, const ConfigNode&) {
  return std::make_unique<RandomRouter>(shape);
}

}  // namespace

RouterFactory random_router() { return factory_of(make); }

}  // namespace evenkeel::moe
