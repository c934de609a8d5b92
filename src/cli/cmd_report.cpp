#include "cli/commands.h"
#include "core/log.h"
#include "report/page.h"

namespace evenkeel::cli {

int cmd_report(Options& options) {
  std::vector<std::string> folders;
  std::string out;
  options.add("DIR", folders, "folders of runs, studies and analyses", true);
  options.add("--out", out, "FILE.html to write", true);
  options.example("evenkeel report runs/demo --out demo.html");
  if (!options.parse()) return 0;
  report::write_page({folders.begin(), folders.end()}, out);
  log_info("wrote ", out);
  return 0;
}

}  // namespace evenkeel::cli
