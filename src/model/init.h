// Initialisation by name; every tensor has its own random stream, so values do not depend on threads or on
// the other parameters.
#pragma once

#include "model/config.h"
#include "model/layer_part.h"
#include "ops/params.h"

namespace evenkeel::model {

// scaled_normal     N(0, 0.02), attention and FFN output projections ÷ sqrt(2 L) (GPT-2)
// normal            N(0, 0.02)
// truncated_normal  N(0, 0.02) within 3 standard deviations (OLMoE)
// small_wang        N(0, sqrt(2 / (5 H))) (small init, arXiv 1910.05895), output projections
//                   N(0, 2 / (L sqrt(H))) (GPT-J, GPT-NeoX's wang_init)
// t5                as flaxformer's MoE models have it with scale 0.1, which OpenMoE took over: embedding N(0, 1),
// router
//                   N(0, 0.02), other matrices of variance 0.1 / columns: normal in attention and routed experts,
//                   within 2 standard deviations in dense networks and the head. Queries ÷ sqrt(head_dim), since T5
//                   does not divide the scores by that: for models with [model.attention] scale = 1
// Norm weights are 1. The matrices of a router that asks for it (RouterTraits::is_orthogonal_at_first) have
// orthogonal rows of length 0.1, or columns where E > H. fp32 on the CPU.
ops::Params init_params(const ModelConfig& config, uint64_t seed);
// One of them. A spec with fewer rows than the table has gives the first rows of that tensor, but for a router whose
// matrix is orthogonal.
at::Tensor initial_parameter(const ModelConfig& config, const ParamSpec& spec, uint64_t seed);

}  // namespace evenkeel::model
