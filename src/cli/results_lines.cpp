#include "cli/results_lines.h"

#include "core/json_lines.h"
#include "core/log.h"

namespace evenkeel::cli {

void log_results(const std::filesystem::path& folder) {
  const Json results = read_json(folder / "results.json");
  for (const auto& headline : results.at("headlines").as_array()) log_info(headline.as_string());
  log_info("figures in ", (folder / "results.json").string(), ", page: ", (folder / "report.html").string());
}

}  // namespace evenkeel::cli
