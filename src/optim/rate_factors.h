// Which parameters, or which of their rows, learn slower, or not at all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::optim {

// Rows begin .. end - 1 of a parameter's first dimension, and the factor on their learning rate.
struct RowRate {
  int64_t begin = 0, end = 0;
  double factor = 1;
  bool operator==(const RowRate&) const = default;
};

struct RateFactors {
  // On the learning rate, in the order of the parameters. 0: frozen. Empty: all are 1. The largest of a parameter whose
  // rows differ.
  std::vector<double> values = {};
  // By its place, of a parameter whose rows differ: ranges that together are all of them, ascending.
  std::map<size_t, std::vector<RowRate>> rows = {};
  double of(size_t parameter) const { return values.empty() ? 1.0 : values.at(parameter); }
  bool is_frozen(size_t parameter) const { return of(parameter) == 0; }
  // Ranges of one factor each, of a parameter of n rows; one of all rows where they do not differ.
  std::vector<RowRate> ranges(size_t parameter, int64_t n_rows) const;
};

// True when `name` fits `pattern`: '*' stands for any characters, also none.
bool matches_pattern(const std::string& name, const std::string& pattern);

// A pattern of names with, behind it, rows of the first dimension: "embedding.weight[32000:]" from row 32000 on,
// "layers.*.experts.*[:8]" the first 8 experts.
struct RowPattern {
  std::string names;
  bool has_rows = false;
  int64_t begin = 0;
  std::optional<int64_t> end = {};  // none: to the last
};
// None where what stands in brackets is no range of rows.
std::optional<RowPattern> read_row_pattern(const std::string& text);

// What ranges that may overlap come to, of a parameter of n rows: for each row the smallest factor of those that name
// it, 1 where none does. Ascending, neighbours differ, together all rows.
std::vector<RowRate> merged_rates(int64_t n_rows, const std::vector<RowRate>& given);

// The gradients of rows that are frozen, where others of the same parameter are not, become 0: they count neither in
// the norm nor in anything that is made of a whole gradient. gradients[i]: of the i-th parameter, may be undefined.
void zero_frozen_rows(const RateFactors& factors, const std::vector<at::Tensor>& gradients);

}  // namespace evenkeel::optim
