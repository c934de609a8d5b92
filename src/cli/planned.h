// What evenkeel will have and has not yet: commands and options that are named so in place of being unknown.
#pragma once

#include <string>

namespace evenkeel::cli {

bool is_planned_command(const std::string& command);
bool is_planned_option(const std::string& command, const std::string& option);

}  // namespace evenkeel::cli
