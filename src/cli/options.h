// The command line of one command: what it takes, its help with an example, and the parsed values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::cli {

// What a whole number may be, both ends included, and what 0 stands for where it is no number of its own.
struct Range {
  int64_t least = 0, most = INT64_MAX;
  const char* zero = nullptr;
};
inline constexpr Range kThreads{0, 4096, "the cores that this process may use"};

class Options {
 public:
  Options(const std::string& command, const std::string& summary, std::vector<std::string> arguments);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  // Bind first; parse() fills. "NAME" (no dashes) is positional. Lists repeat and take several values.
  void add(const std::string& name, std::string& value, const std::string& help, bool is_required = false);
  void add(const std::string& name, int64_t& value, const Range& range, const std::string& help,
           bool is_required = false);
  void add(const std::string& name, std::optional<int64_t>& value, const Range& range, const std::string& help);
  void add(const std::string& name, double& value, const std::string& help, bool is_required = false);
  void add(const std::string& name, std::optional<double>& value, const std::string& help);
  void add(const std::string& name, std::vector<std::string>& values, const std::string& help,
           bool is_required = false);
  // NAME=VALUE, one or several each time; what is none ends them, so that a positional may follow.
  void add_named(const std::string& name, std::vector<std::string>& values, const std::string& help,
                 bool is_required = false);
  void flag(const std::string& name, bool& value, const std::string& help);
  // A list in the help, above the example: a line for each name, with its explanation.
  void list(const std::string& title, const std::vector<std::pair<std::string, std::string>>& entries);
  void example(const std::string& text);
  // --device, --threads; sets the threads of the process after parsing.
  void compute(std::string& device);

  // False when the help was asked for (and printed on stdout). ConfigError for a wrong command line.
  bool parse();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// "NAME=VALUE" options. ConfigError names `option`.
struct NamedValue {
  std::string name, value;
};
std::vector<NamedValue> split_named(const std::vector<std::string>& texts, const std::string& option);

}  // namespace evenkeel::cli
