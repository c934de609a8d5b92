#include "cli/commands.h"
#include "core/errors.h"
#include "core/file_io.h"
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
  require<ConfigError>(!fs::is_directory(out), "--out: got the folder '", out, "'; need FILE.html to write");
  if (const fs::path folder = fs::path(out).parent_path(); !folder.empty()) make_folders(folder);
  report::write_page({folders.begin(), folders.end()}, out);
  log_info("wrote ", out);
  return 0;
}

}  // namespace evenkeel::cli
