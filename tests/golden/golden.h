// Reads the golden files of tests/golden (layout: scripts/golden/record.py) and compares tensors with them.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "core/json.h"
#include "support/source_folder.h"

namespace evenkeel::testing {

struct Golden {
  Json inputs, outputs;
  double rtol = 0, atol = 0;  // for fp32; their reason is the file's `why`
};

inline Golden read_golden(const std::string& name) {
  const fs::path path = source_folder() / "tests" / "golden" / name;
  const Json file = Json::parse(read_file(path), path.string());
  return {file.at("inputs"), file.at("outputs"), file.at("rtol").as_double(), file.at("atol").as_double()};
}

inline std::vector<int64_t> integers_of(const Json& json) {
  std::vector<int64_t> out;
  for (const auto& value : json.as_array()) out.push_back(value.as_int());
  return out;
}

// Nested arrays of numbers -> a flat list and the shape.
inline void flatten(const Json& json, size_t depth, std::vector<int64_t>& shape, std::vector<double>& values) {
  if (!json.is_array()) return values.push_back(json.as_double());
  if (shape.size() <= depth) shape.push_back(static_cast<int64_t>(json.size()));
  for (const auto& item : json.as_array()) flatten(item, depth + 1, shape, values);
}

// fp64 tensor of nested arrays, or of {"shape", "values"}.
inline at::Tensor tensor_of(const Json& json) {
  std::vector<int64_t> shape;
  std::vector<double> values;
  if (json.is_object()) {
    shape = integers_of(json.at("shape"));
    std::vector<int64_t> flat_shape;
    flatten(json.at("values"), 0, flat_shape, values);
  } else {
    flatten(json, 0, shape, values);
  }
  auto out = at::empty(shape, at::kDouble);
  if (out.numel() != static_cast<int64_t>(values.size()))
    throw std::logic_error("golden file: values do not fit their shape");
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<double>());
  return out;
}
inline at::Tensor ids_of(const Json& json) { return tensor_of(json).to(at::kLong); }

// |got - need| <= atol + rtol * |need| for every element; NaN never passes.
inline void expect_close(const at::Tensor& got, const at::Tensor& need, double rtol, double atol,
                         const std::string& what) {
  ASSERT_EQ(got.sizes(), need.sizes()) << what;
  const auto difference = (got.detach().to(at::kDouble) - need.to(at::kDouble)).abs();
  const auto allowed = need.to(at::kDouble).abs() * rtol + atol;
  EXPECT_TRUE(difference.le(allowed).all().item<bool>())
      << what << ": largest difference " << difference.max().item<double>() << ", allowed from "
      << allowed.min().item<double>();
}
inline void expect_close(double got, double need, double rtol, double atol, const std::string& what) {
  EXPECT_LE(std::abs(got - need), atol + rtol * std::abs(need)) << what << ": got " << got << ", need " << need;
}

}  // namespace evenkeel::testing
