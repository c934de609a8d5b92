// Rotary position embedding (arXiv 2104.09864), and its scalings for longer contexts as transformers has them
// (modeling_rope_utils.py). Legend: d rotated features of a head, b theta, freq_j = b^(-2j / d), j < d / 2.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/named.h"

namespace evenkeel::ops {

// Which features of a head turn together: j and j + d/2, or 2j and 2j + 1.
enum class RotaryPairs { halves, interleaved };
std::span<const Named<RotaryPairs>> names_of(RotaryPairs);

// Each scaling is a struct of its keys, a function `frequencies_of`, and where it changes the size of cosine and sine
// an `attention_factor_of`.
struct NoScaling {
  static constexpr const char* kName = "none";
  static constexpr const char* kHelp = "freq_j as it is";
  bool operator==(const NoScaling&) const = default;
  static void visit_fields(auto&, auto&&) {}
};
struct LinearScaling {
  static constexpr const char* kName = "linear";
  static constexpr const char* kHelp = "freq_j / factor (position interpolation, arXiv 2306.15595)";
  double factor = 1;
  bool operator==(const LinearScaling&) const = default;
  static void visit_fields(auto& scaling, auto&& field) { field("factor", scaling.factor, "how much longer"); }
};
struct DynamicScaling {
  static constexpr const char* kName = "dynamic";
  static constexpr const char* kHelp = "a larger theta where a sequence is longer than original_length";
  double factor = 1;
  int64_t original_length = 0;
  bool operator==(const DynamicScaling&) const = default;
  static void visit_fields(auto& scaling, auto&& field) {
    field("factor", scaling.factor, "how much longer");
    field("original_length", scaling.original_length, {"length without scaling", "tokens"});
  }
};
struct Llama3Scaling {
  static constexpr const char* kName = "llama3";
  static constexpr const char* kHelp = "long wavelengths / factor, short ones as they are, between them a ramp";
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_length = 0;
  bool operator==(const Llama3Scaling&) const = default;
  static void visit_fields(auto& scaling, auto&& field) {
    field("factor", scaling.factor, "how much longer");
    field("low_freq_factor", scaling.low_freq_factor, "wavelengths above original_length / this are scaled");
    field("high_freq_factor", scaling.high_freq_factor, "wavelengths below original_length / this are not");
    field("original_length", scaling.original_length, {"length without scaling", "tokens"});
  }
};
struct YarnScaling {
  static constexpr const char* kName = "yarn";
  static constexpr const char* kHelp = "by how often a pair turns within original_length (arXiv 2309.00071)";
  double factor = 1;
  int64_t original_length = 0;
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;
  double attention_factor = 0, mscale = 0, mscale_all_dim = 0;
  bool operator==(const YarnScaling&) const = default;
  static void visit_fields(auto& scaling, auto&& field) {
    field("factor", scaling.factor, "how much longer");
    field("original_length", scaling.original_length, {"length without scaling", "tokens"});
    field("beta_fast", scaling.beta_fast, {"pairs that turn more often are not scaled", "turns"});
    field("beta_slow", scaling.beta_slow, {"pairs that turn less often are scaled whole", "turns"});
    field("truncate", scaling.truncate, "the ramp begins and ends at whole pairs");
    field("attention_factor", scaling.attention_factor,
          {"factor on cosine and sine", "",
           "0: m(mscale) / m(mscale_all_dim), or m(1) without them; "
           "m(s) = 0.1 s ln(factor) + 1"});
    field("mscale", scaling.mscale, "s of the factor above; 0 = not given");
    field("mscale_all_dim", scaling.mscale_all_dim,
          "s of its divisor, and of m(s)^2 on the scores of latent attention; 0 = not given");
  }
};
struct LongropeScaling {
  static constexpr const char* kName = "longrope";
  static constexpr const char* kHelp = "a divisor for each pair, another one beyond original_length (arXiv 2402.13753)";
  std::vector<double> short_factor, long_factor;
  double factor = 1;
  int64_t original_length = 0;
  double attention_factor = 0;
  bool operator==(const LongropeScaling&) const = default;
  static void visit_fields(auto& scaling, auto&& field) {
    field("short_factor", scaling.short_factor, "divisor of the frequency of each pair, up to original_length");
    field("long_factor", scaling.long_factor, "the same of longer sequences");
    field("factor", scaling.factor, "how much longer; for attention_factor alone");
    field("original_length", scaling.original_length, {"length without scaling", "tokens"});
    field("attention_factor", scaling.attention_factor,
          {"factor on cosine and sine", "", "0: sqrt(1 + ln(factor) / ln(original_length))"});
  }
};
using RotaryScaling =
    std::variant<NoScaling, LinearScaling, DynamicScaling, Llama3Scaling, YarnScaling, LongropeScaling>;

// How the heads of a layer are rotated.
struct Rotation {
  int64_t dims = 0;  // d, the first so many features of a head, even; 0 = none
  double theta = 1e4;
  RotaryPairs pairs = RotaryPairs::halves;
  RotaryScaling scaling = NoScaling{};
  bool operator==(const Rotation&) const = default;
};

// The angles by which one position turns each pair, in a sequence of `length` tokens: [dims / 2] fp64 on the CPU.
at::Tensor rotary_frequencies(const Rotation& rotation, int64_t length);
// What cosine and sine are multiplied by; scores of rotated features get its square.
double attention_factor(const RotaryScaling& scaling);
// 0.1 mscale ln(factor) + 1; 1 where factor <= 1.
double yarn_mscale(double factor, double mscale);

struct RotaryTable {
  at::Tensor cosine, sine;  // [N, dims / 2]
  RotaryPairs pairs = RotaryPairs::halves;
};
// positions [N] i64 of sequences of `length` tokens; angles in fp64, the table in `dtype` where the positions are.
RotaryTable make_rotary_table(const Rotation& rotation, const at::Tensor& positions, int64_t length,
                              at::ScalarType dtype);

// Rotates the first dims of each head, in place of its pairs. x [B, S, heads, head_dim]; the table has S rows, or B * S
// rows where positions differ between sequences. Differentiable in x.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);

}  // namespace evenkeel::ops
