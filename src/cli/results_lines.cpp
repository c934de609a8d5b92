#include "cli/results_lines.h"

#include "core/json_lines.h"
#include "core/log.h"

namespace evenkeel::cli {

void log_results(const std::filesystem::path& folder) {
  const auto path = folder / "results.json";
  const Json results = read_json(path);
  with_path(path, results, [&] {
    for (const auto& headline : results.at("headlines").as_array()) log_info(headline.as_string());
  });
  log_info("figures in ", path.string(), ", page: ", (folder / "report.html").string());
}

}  // namespace evenkeel::cli
