#include <iostream>

#include "checkpoint/export.h"
#include "cli/commands.h"
#include "core/counted.h"
#include "core/errors.h"
#include "core/log.h"

namespace evenkeel::cli {
namespace {

std::optional<at::ScalarType> type_named(const std::string& name) {
  if (name == "stored") return std::nullopt;
  if (name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  fail<ConfigError>("--dtype: got '", name, "'; need stored, fp32, bf16 or fp16");
}

}  // namespace

int cmd_export(Options& options) {
  std::string model, out, dtype = "stored";
  checkpoint::ExportOptions wanted;
  options.add("MODEL", model, "checkpoint, or run (its last one)", true);
  options.add("--out", out, "Hugging Face folder to write", true);
  options.add(
      "--family", wanted.family,
      "class to write, by its model_type; without it that of the model's origin, else the first that can hold it");
  options.add("--dtype", dtype, "type of the weights: stored (as they are), fp32, bf16 or fp16");
  options.example("evenkeel export runs/first --out models/first");
  if (!options.parse()) return 0;
  wanted.dtype = type_named(dtype);
  const bool replaces = std::filesystem::exists(out);
  const auto written = checkpoint::export_model(model, out, wanted);
  if (replaces) log_info(out, ": the earlier export there is replaced");
  for (const auto& notice : written.notices) log_info(out, ": ", notice);
  std::cout << out << ": a Hugging Face folder of " << written.family << ", " << counted(written.n_tensors, "tensor")
            << " and " << counted(written.n_files, "file") << "\n";
  return 0;
}

}  // namespace evenkeel::cli
