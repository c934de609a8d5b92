#include "cli/options.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>

#include <CLI/CLI.hpp>

#include "cli/planned.h"
#include "core/config_tree.h"
#include "core/errors.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "data/utf8.h"
#include "ops/device.h"

namespace evenkeel::cli {

struct Options::Impl {
  CLI::App app;
  std::string command;
  std::vector<std::string> arguments;
  std::set<std::string> named;  // options whose values are NAME=VALUE
  std::string lists, example;
  int64_t threads = 0;
  bool sets_threads = false;
};

Options::Options(const std::string& command, const std::string& summary, std::vector<std::string> arguments)
    : impl_(std::make_unique<Impl>()) {
  impl_->app.description(summary);
  impl_->app.name("evenkeel " + command);
  impl_->command = command;
  impl_->arguments = std::move(arguments);
  impl_->app.set_help_flag("-h,--help", "this help");
}
Options::~Options() = default;

namespace {
// The whole number that a text is; none where it is no such number or has more than 64 bits. 4k is 4000.
std::optional<int64_t> whole_number(const std::string& text) {
  const bool has_multiplier = !text.empty() && std::string_view("kMBT").find(text.back()) != std::string_view::npos;
  if (const auto value = has_multiplier ? count_of(text) : std::nullopt) {
    const bool is_exact = *value == std::floor(*value) && std::abs(*value) < 9e15;
    return is_exact ? std::optional(static_cast<int64_t>(*value)) : std::nullopt;
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// Writes 4000 for 4k. ConfigError for what is no whole number of the range.
CLI::Validator within(const std::string& name, const Range& range) {
  constexpr int64_t kMillion = 1000000;
  const auto check = [name, range](std::string& text) {
    const auto number = whole_number(text);
    require<ConfigError>(number && *number >= range.least && *number <= range.most, name, ": got ",
                         text.empty() ? "an empty text" : text, "; need a whole number from ", range.least,
                         range.zero != nullptr ? std::string(" (") + range.zero + ")" : "", " to ", range.most,
                         range.most >= kMillion ? " (4k, 2M and 1B are some too)" : "");
    text = std::to_string(*number);
    return std::string();
  };
  return CLI::Validator(check, "", "");
}

// ConfigError for a number that no double is near: 1e999 would be infinite, 1e-400 would be 0. What is no number at all
// is told by the parser.
CLI::Validator near_a_double(const std::string& name) {
  const auto check = [name](std::string& text) {
    const std::string_view digits = std::string_view(text).substr(text.starts_with('+') ? 1 : 0);
    double number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool is_number = end == digits.data() + digits.size() && !digits.empty();
    const bool is_near = error == std::errc() && std::isfinite(number);
    require<ConfigError>(!is_number || is_near, name, ": got ", text, "; need a finite number of ordinary size");
    return std::string();
  };
  return CLI::Validator(check, "", "");
}

// An empty value is a variable of a shell that was not set, and never what was meant.
std::string need_text(std::string& text) { return text.empty() ? "an empty text; need a value" : ""; }

template <class T>
void add_option(CLI::App& app, const std::string& name, T& value, const std::string& help, bool is_required) {
  auto* option = app.add_option(name, value, help);
  if (is_required) option->required();
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double>) option->capture_default_str();
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>)
    option->check(near_a_double(name));
  if constexpr (std::is_same_v<T, std::string>) option->check(CLI::Validator(need_text, "", ""));
}

// One value each time, so that what follows may be positional.
void take_one_by_one(CLI::Option& option) { option.expected(1)->take_all()->allow_extra_args(false); }

// --data a=1 b=2 MODEL as --data a=1 --data b=2 MODEL: what looks like NAME=VALUE belongs to the option before it.
std::vector<std::string> with_named_apart(const std::vector<std::string>& arguments,
                                          const std::set<std::string>& named) {
  std::vector<std::string> out;
  const std::string* option = nullptr;  // whose values we are among
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    if (argument == "--") {
      out.insert(out.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    if (argument.starts_with("--")) {
      const auto found = named.find(argument);
      option = found != named.end() ? &*found : nullptr;
    } else if (option != nullptr && out.back() != *option) {  // not the first value
      if (argument.find('=') != argument.npos) {
        out.push_back(*option);
      } else {
        option = nullptr;
      }
    }
    out.push_back(argument);
  }
  return out;
}
}  // namespace

void Options::add(const std::string& name, std::string& value, const std::string& help, bool is_required) {
  add_option(impl_->app, name, value, help, is_required);
}
void Options::add(const std::string& name, int64_t& value, const Range& range, const std::string& help,
                  bool is_required) {
  add_option(impl_->app, name, value, help, is_required);
  impl_->app.get_option(name)->transform(within(name, range));
}
void Options::add(const std::string& name, std::optional<int64_t>& value, const Range& range, const std::string& help) {
  add_option(impl_->app, name, value, help, /*is_required=*/false);
  impl_->app.get_option(name)->transform(within(name, range));
}
void Options::add(const std::string& name, double& value, const std::string& help, bool is_required) {
  add_option(impl_->app, name, value, help, is_required);
}
void Options::add(const std::string& name, std::optional<double>& value, const std::string& help) {
  add_option(impl_->app, name, value, help, /*is_required=*/false);
}
void Options::add(const std::string& name, std::vector<std::string>& values, const std::string& help,
                  bool is_required) {
  add_option(impl_->app, name, values, help, is_required);
  if (name == "--set") take_one_by_one(*impl_->app.get_option(name));
}
void Options::add_named(const std::string& name, std::vector<std::string>& values, const std::string& help,
                        bool is_required) {
  add_option(impl_->app, name, values, help, is_required);
  take_one_by_one(*impl_->app.get_option(name));
  impl_->named.insert(name);
}
void Options::flag(const std::string& name, bool& value, const std::string& help) {
  impl_->app.add_flag(name, value, help);
}
void Options::list(const std::string& title, const std::vector<std::pair<std::string, std::string>>& entries) {
  size_t widest = 0;
  for (const auto& [name, text] : entries) widest = std::max(widest, name.size());
  impl_->lists += title + ":\n";
  for (const auto& [name, text] : entries)
    impl_->lists += "  " + name + std::string(widest - name.size() + 2, ' ') + text + "\n";
  impl_->lists += "\n";
}
void Options::example(const std::string& text) { impl_->example = text; }

void Options::compute(std::string& device) {
  add("--device", device, "cpu, cuda or cuda:N (default: cuda when there is one)");
  add("--threads", impl_->threads, kThreads, "CPU threads; 0 = the cores that this process may use");
  impl_->sets_threads = true;
}

namespace {
// The first argument that looks like an option of this command and is none, and what may have been meant. Empty: there
// is none.
std::string unknown_option(const CLI::App& app, const std::string& command, const std::vector<std::string>& arguments) {
  for (const auto& argument : arguments) {
    if (argument == "--") break;
    const std::string name = argument.substr(0, argument.find('='));
    if (name.rfind("--", 0) != 0 || app.get_option_no_throw(name) != nullptr) continue;
    if (is_planned_option(command, name)) return name + ", which is not there yet";
    std::vector<std::string> known;
    for (const auto* option : app.get_options())
      for (const auto& long_name : option->get_lnames()) known.push_back("--" + long_name);
    const std::string nearest = nearest_name(name, known);
    return "the unknown option " + name + (nearest.empty() ? "" : " (did you mean " + nearest + "?)");
  }
  return "";
}

// "--out FOLDER", "RECIPE", with its explanation.
std::string described(const CLI::Option& option) {
  const std::string name = option.get_name();
  return name + (name.starts_with("-") ? " VALUE" : "") + ", " + option.get_description();
}

// "got ...; need ..." of a command line that does not fit: what to type instead.
std::string explained(const CLI::App& app, const std::string& command, const CLI::ParseError& error) {
  const std::string text = error.what(), help = "what 'evenkeel " + command + " --help' lists";
  const auto option_before = [&](const std::string& mark, size_t from = 0) {
    const size_t end = text.find(mark, from);
    return end == text.npos ? nullptr : app.get_option_no_throw(text.substr(from, end - from));
  };
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr)
    if (const auto* option = option_before(" is required"))
      return "got no " + option->get_name() + "; need " +
             (option->get_positional() ? "one: " + option->get_description() : described(*option));
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr)
    if (const auto* option = option_before(":"))
      return "got " + option->get_name() + " without its value; need " + described(*option);
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    const std::string mark = "Could not convert: ";
    if (const auto* option = text.starts_with(mark) ? option_before(" = ", mark.size()) : nullptr)
      return "got " + option->get_name() + " " + text.substr(text.find(" = ") + 3) + "; need a number";
  }
  if (const auto* extras = dynamic_cast<const CLI::ExtrasError*>(&error);
      extras != nullptr && text.find(": ") != text.npos) {
    std::string places;
    for (const auto* option : app.get_options())
      if (option->get_positional()) places += (places.empty() ? "" : " ") + option->get_name();
    return "got '" + text.substr(text.find(": ") + 2) + "' more than it takes; need " +
           (places.empty() ? "options alone" : "one " + places) + ", " + help;
  }
  return "got a command line that does not fit (" + text + "); need " + help;
}
}  // namespace

namespace {
// What is given here comes to stand in files, which are UTF-8.
void require_utf8(const std::string& command, const std::vector<std::string>& arguments) {
  for (const auto& argument : arguments)
    require<ConfigError>(data::valid_utf8_bytes(argument) == argument.size(), command, ": got the argument '", argument,
                         "', which is not UTF-8; need text and paths in UTF-8");
}
}  // namespace

bool Options::parse() {
  require_utf8(impl_->command, impl_->arguments);
  impl_->app.footer(impl_->lists + "Example:\n  " + impl_->example);
  try {
    const auto arguments = with_named_apart(impl_->arguments, impl_->named);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    impl_->app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(impl_->app.help().c_str(), stdout);
    return false;
  } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_option(impl_->app, impl_->command, impl_->arguments);
    std::string text = unknown.empty()
                           ? explained(impl_->app, impl_->command, error)
                           : "got " + unknown + "; need one that 'evenkeel " + impl_->command + " --help' lists";
    for (char& c : text)
      if (c == '\n') c = ' ';
    fail<ConfigError>(impl_->command, ": ", text);
  }
  if (impl_->sets_threads) ops::set_threads(impl_->threads);
  return true;
}

std::vector<NamedValue> split_named(const std::vector<std::string>& texts, const std::string& option) {
  std::vector<NamedValue> out;
  std::set<std::string> names;
  for (const auto& text : texts) {
    const size_t equals = text.find('=');
    require<ConfigError>(equals != std::string::npos && equals > 0 && equals + 1 < text.size(), option, ": got '", text,
                         "'; need NAME=VALUE");
    out.push_back({text.substr(0, equals), text.substr(equals + 1)});
    require<ConfigError>(printable(out.back().name) == out.back().name, option, ": got the name '", out.back().name,
                         "'; need one without line breaks and other control characters");
    require<ConfigError>(names.insert(out.back().name).second, option, ": got the name '", out.back().name,
                         "' twice; need distinct names");
  }
  return out;
}

}  // namespace evenkeel::cli
