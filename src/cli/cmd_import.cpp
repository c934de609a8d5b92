#include <iostream>

#include "checkpoint/import.h"
#include "checkpoint/model_source.h"
#include "cli/commands.h"
#include "core/log.h"
#include "core/units.h"
#include "model/layout.h"

namespace evenkeel::cli {

int cmd_import(Options& options) {
  std::string folder, out;
  options.add("HF_DIR", folder, "Hugging Face folder", true);
  options.add("--out", out, "checkpoint folder to write", true);
  options.example("evenkeel import models/OLMoE-1B-7B --out checkpoints/olmoe");
  if (!options.parse()) return 0;
  const bool replaces = std::filesystem::exists(out);
  checkpoint::import_folder(folder, out);
  if (replaces) log_info(out, ": the earlier checkpoint there is replaced");
  const auto source = checkpoint::open_model(out, std::nullopt, /*deep=*/false);
  std::cout << out << ": a checkpoint of " << source.state.at("imported").at("family").as_string() << ", "
            << human_count(static_cast<double>(model::count_parameters(source.config).total)) << " parameters\n";
  return 0;
}

}  // namespace evenkeel::cli
