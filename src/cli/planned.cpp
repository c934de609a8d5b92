#include "cli/planned.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace evenkeel::cli {
namespace {

constexpr std::string_view kCommands[] = {"generate"};

struct PlannedOption {
  std::string_view command, option;
};
constexpr PlannedOption kOptions[] = {
    {"eval", "--task"},
    {"eval", "--fewshot"},
    {"eval", "--items"},
    {"eval", "--by-document"},
};

}  // namespace

bool is_planned_command(const std::string& command) {
  return std::count(std::begin(kCommands), std::end(kCommands), command) > 0;
}

bool is_planned_option(const std::string& command, const std::string& option) {
  return std::any_of(std::begin(kOptions), std::end(kOptions), [&](const PlannedOption& planned) {
    return planned.command == command && planned.option == option;
  });
}

}  // namespace evenkeel::cli
