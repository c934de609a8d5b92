#include <cerrno>
#include <cstdio>
#include <iostream>

#include "cli/commands.h"
#include "cli/openmp_wait.h"
#include "cli/planned.h"
#include "core/config_tree.h"
#include "core/error_report.h"
#include "core/errors.h"
#include "data/parquet_reader.h"
#include "train/interrupt.h"

namespace evenkeel::cli {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(Options&);
};
#define X(name, summary) {#name, summary, cmd_##name},
constexpr Command kCommands[] = {EVENKEEL_COMMANDS(X)};
#undef X

int print_usage() {
  std::cout << "evenkeel " EVENKEEL_VERSION
               ": trains mixture-of-experts language models, continues their pre-training, and shows what their "
               "routers do\n\n"
               "Usage: evenkeel COMMAND [ARGS] [OPTIONS]\n\nCommands:\n";
  for (const auto& command : kCommands) {
    std::string name = command.name;
    name.resize(12, ' ');
    std::cout << "  " << name << command.summary << "\n";
  }
  std::cout << "\n'evenkeel help COMMAND' has each command's options and an example.\n\nExample:\n  evenkeel train "
               "recipe.toml --out runs/first\n";
  return 0;
}

std::vector<std::string> with_help(std::vector<std::string> arguments) {
  arguments.emplace_back("--help");
  return arguments;
}

int run(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments[0] == "help") {
    const bool is_action = arguments.size() == 3 && arguments[1] == "tokenizer" && arguments[2] == "train";
    require<ConfigError>(arguments.size() <= 2 || is_action, "help: got ", arguments.size() - 1,
                         " names; need one command, as in 'evenkeel help train'");
    return run(arguments.size() == 1 ? with_help({}) : with_help({arguments.begin() + 1, arguments.end()}));
  }
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") return print_usage();
  if (arguments[0] == "--version") {
    const std::string arrow = data::arrow_version();
    std::cout << "evenkeel " EVENKEEL_VERSION << (arrow.empty() ? " without Arrow" : " with Arrow " + arrow) << "\n";
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& command : kCommands) {
    names.emplace_back(command.name);
    if (arguments[0] != command.name) continue;
    Options options(command.name, command.summary, {arguments.begin() + 1, arguments.end()});
    return command.run(options);
  }
  require<ConfigError>(!is_planned_command(arguments[0]), "command: got '", arguments[0],
                       "', which is not there yet; need one of those that 'evenkeel --help' lists");
  const std::string nearest = nearest_name(arguments[0], names);
  fail<ConfigError>(
      "command: got '", arguments[0], "'; need ",
      nearest.empty() ? "one of those that 'evenkeel --help' lists" : "a known one (did you mean '" + nearest + "'?)");
}

}  // namespace
}  // namespace evenkeel::cli

// Called before the constructors of all libraries, in this order.
static void hold_signals_first(int, char**, char**) { evenkeel::train::hold_signals(); }
[[gnu::section(".preinit_array"), gnu::used]] static void (*before_libraries[])(int, char**, char**) = {
    hold_signals_first, evenkeel::cli::set_openmp_wait};

int main(int argc, char** argv) {
  try {
    evenkeel::train::install_signal_handlers();
    const int exit_code = evenkeel::cli::run({argv + 1, argv + argc});
    std::cout.flush();
    const bool is_written = std::cout.good() && std::fflush(stdout) == 0;
    if (!is_written && errno == EPIPE) return exit_code;  // a reader such as `head` has what it wants
    evenkeel::require<evenkeel::MachineError>(is_written,
                                              "standard output: got a write that failed; need a reader or room for it");
    return exit_code;
  } catch (const std::exception& error) {
    const auto report = evenkeel::describe_error(error);
    std::fprintf(stderr, "evenkeel: %s\n", report.line().c_str());
    return report.exit_code;
  }
}
