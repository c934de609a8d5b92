#include <cstdio>
#include <iostream>
#include <new>

#include <c10/util/Exception.h>

#include "cli/commands.h"
#include "core/config_tree.h"
#include "core/errors.h"
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
  std::cout << "evenkeel " EVENKEEL_VERSION ": trains mixture-of-experts language models, continues their pre-training, and shows what their routers do\n\n"
               "Usage: evenkeel COMMAND [ARGS] [OPTIONS]\n\nCommands:\n";
  for (const auto& command : kCommands) {
    std::string name = command.name;
    name.resize(12, ' ');
    std::cout << "  " << name << command.summary << "\n";
  }
  std::cout << "\n'evenkeel COMMAND --help' has each command's options and an example.\n\nExample:\n  evenkeel train recipe.toml --out runs/first\n";
  return 0;
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") return print_usage();
  if (arguments[0] == "--version") {
    std::cout << "evenkeel " EVENKEEL_VERSION "\n";
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& command : kCommands) {
    names.emplace_back(command.name);
    if (arguments[0] != command.name) continue;
    Options options(command.name, command.summary, {arguments.begin() + 1, arguments.end()});
    return command.run(options);
  }
  const std::string nearest = nearest_name(arguments[0], names);
  fail<ConfigError>("command: got '", arguments[0], "'; need ", nearest.empty() ? "one of those that 'evenkeel --help' lists" : "a known one (did you mean '" + nearest + "'?)");
}

int report_error(const std::string& message, int exit_code) {
  std::string line = message.substr(0, message.find('\n'));
  std::fprintf(stderr, "evenkeel: error: %s\n", line.c_str());
  return exit_code;
}

}  // namespace
}  // namespace evenkeel::cli

int main(int argc, char** argv) {
  using namespace evenkeel;
  constexpr int kMachine = 4, kDefect = 1;
  try {
    train::install_signal_handlers();
    return cli::run({argv + 1, argv + argc});
  } catch (const Error& error) {
    return cli::report_error(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return cli::report_error("memory: got no more from the machine; need a smaller micro_batch_size, model or sequence", kMachine);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool is_memory = what.find("out of memory") != std::string::npos || what.find("can't allocate memory") != std::string::npos;
    if (is_memory) return cli::report_error("memory: got '" + what.substr(0, what.find('\n')) + "'; need a smaller micro_batch_size, model or sequence", kMachine);
    return cli::report_error("evenkeel: got an unexpected '" + what.substr(0, what.find('\n')) + "'; please report this defect", kDefect);
  } catch (const std::exception& error) {
    return cli::report_error(std::string("evenkeel: got an unexpected '") + error.what() + "'; please report this defect", kDefect);
  }
}
