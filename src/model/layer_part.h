// What a layer is made of: attention and a feed-forward network. A part says once what it holds; whatever allocates,
// initialises, counts, names or estimates asks it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "ops/packing.h"

namespace evenkeel::model {

// What a parameter is for: its initialisation, and whether it is a matrix of products, follow from it.
enum class Role { embedding, head, norm, attention_in, attention_out, ffn_in, ffn_out, router, bias };

// Of products; the others are vectors.
inline bool is_matrix(Role role) { return role != Role::norm && role != Role::bias; }

struct ParamSpec {
  std::string name;  // of a part: within its layer
  std::vector<int64_t> shape;
  Role role;
  double share = 1;           // how much of it one token passes, on average: k / E of the routed experts
  ops::Packing packing = {};  // the matrices in it, as models are published
  int64_t n_elements() const;
  int64_t n_active() const;                                            // n_elements() * share
  bool is_of_experts() const { return name.starts_with("experts."); }  // of routed ones: [E, …]
};

// What the passes of one part hold, in floats a token (train/memory.h).
struct ActivationFloats {
  double kept = 0;              // from the forward pass until its backward pass
  double backward = 0;          // in hand in its backward pass
  double forward = 0;           // in hand in a forward pass without gradient
  double decision = 0;          // of `kept`, what the router's decision holds
  double weight_gradients = 0;  // not a token's: of weights, made together even where nobody asks for them
};

class LayerPart {
 public:
  virtual ~LayerPart() = default;
  // In the order in which `forward` takes their tensors.
  const std::vector<ParamSpec>& parameters() const { return parameters_; }
  virtual ActivationFloats activations() const = 0;
  // Of one token of a sequence of this length, 2 FLOPs a multiply-add: the products with its matrices, and what a kind
  // adds to them. Norms, rotation, activations and softmaxes are not counted.
  double flops_per_token(int64_t sequence_length) const;

 protected:
  // Lists a parameter; its index is where `forward` finds it.
  size_t add(ParamSpec spec);
  size_t add(std::string name, std::vector<int64_t> shape, Role role) {
    return add({std::move(name), std::move(shape), role});
  }

 private:
  virtual double other_flops_per_token(int64_t sequence_length) const;  // 0 unless a kind says more
  std::vector<ParamSpec> parameters_;
};

// The parameters of a part as tensors, one for each of LayerPart::parameters().
using PartTensors = std::span<const at::Tensor>;
inline std::optional<at::Tensor> optional_tensor(PartTensors params, bool is_there, size_t index) {
  return is_there ? std::optional(params[index]) : std::nullopt;
}

}  // namespace evenkeel::model
