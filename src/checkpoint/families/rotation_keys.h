// The keys of rotary position embedding: rope_theta and rope_scaling at the top (transformers 4), rope_parameters
// (transformers 5).
#pragma once

#include <optional>

#include "checkpoint/families/hf_keys.h"

namespace evenkeel::checkpoint {

// Reads whichever form is there; writes both. `rotary_fraction` as of DecoderKeys.
void rotation_keys(HfKeys& keys, double default_theta, std::optional<double> rotary_fraction);

}  // namespace evenkeel::checkpoint
