#include "core/log.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <mutex>

#include <sys/ioctl.h>
#include <unistd.h>

#include "core/mappings.h"
#include "core/terminal_text.h"
#include "core/units.h"

namespace evenkeel {
namespace {

using Clock = std::chrono::steady_clock;

// One console a process: lines and the bar share the terminal, so they share this state.
struct Console {
  std::mutex mutex;
  std::ofstream copy;
  bool holds_copy = false;
  std::string held;  // lines for a copy whose file is not named yet
  std::function<void(const std::string&)> warning_sink;
  bool quiet = false;
  bool bar_on_screen = false;
  bool is_terminal = isatty(STDERR_FILENO) == 1;
};
Console& console() {
  static Console instance;
  return instance;
}

void clear_bar(Console& c) {
  if (c.bar_on_screen) std::fputs("\r\033[K", stderr);
  c.bar_on_screen = false;
}

void print_line(const std::string& prefix, const std::string& line, bool is_shown) {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  const std::string text = prefix + printable(line);  // whatever a name in it has
  if (is_shown) {
    clear_bar(c);
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  if (c.copy.is_open()) c.copy << text << std::endl;
  if (c.holds_copy) c.held += text + "\n";
}

// Asked for at each draw: a window changes its size. One column less, so that no terminal wraps after the last.
int64_t terminal_columns() {
  constexpr int64_t kUnknown = 80;
  struct winsize size {};
  const bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (is_known ? static_cast<int64_t>(size.ws_col) : kUnknown) - 1;
}

// " [####......]", or nothing where the terminal is narrow.
std::string bar_of(double fraction, int64_t columns) {
  constexpr int64_t kNarrow = 60, kWidest = 24;
  if (columns < kNarrow) return "";
  const auto width = static_cast<size_t>(std::min(kWidest, columns / 8)),
             filled = static_cast<size_t>(fraction * static_cast<double>(width));
  return " [" + std::string(filled, '#') + std::string(width - filled, '.') + "]";
}

}  // namespace

void log_line(const std::string& line) { print_line("evenkeel: ", line, !console().quiet); }
void warn_line(const std::string& line) {
  const bool has_sink = console().warning_sink != nullptr;
  print_line("evenkeel: warning: ", line, !has_sink);
  if (has_sink) console().warning_sink(printable(line));
}
void copy_line(const std::string& line) { print_line("evenkeel: ", line, false); }
void set_quiet(bool quiet) { console().quiet = quiet; }
void set_warning_sink(std::function<void(const std::string&)> sink) { console().warning_sink = std::move(sink); }

void hold_copy() {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  c.holds_copy = true;
}

void copy_log_to(const std::string& path) {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.copy.is_open()) c.copy.close();
  if (!path.empty()) c.copy.open(path, std::ios::app);
  if (!path.empty()) c.copy << c.held << std::flush;
  c.held.clear();
  c.holds_copy = false;
  copy_mapping_faults_to(path);
}

Progress::Progress(std::string label, double total, std::string unit, double scale)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      scale_(scale),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() {
  Console& c = console();
  const bool is_wiped = c.is_terminal && !c.bar_on_screen;  // by a line of the log
  const bool has_failed = std::uncaught_exceptions() > 0;   // the error is then what is said
  if (last_done_ > 0 && (!is_drawn_ || is_wiped) && !has_failed) draw();
  const std::lock_guard lock(c.mutex);
  if (c.bar_on_screen) std::fputc('\n', stderr);
  c.bar_on_screen = false;
}

void Progress::update(double done, const std::string& extra) {
  last_done_ = done;
  last_extra_ = extra;
  is_drawn_ = false;
  const double pause_seconds = console().is_terminal ? 0.1 : 10.0;
  const auto now = Clock::now();
  if (std::chrono::duration<double>(now - last_draw_).count() < pause_seconds) return;
  last_draw_ = now;
  draw();
}

void Progress::skip(double done) { skipped_ += done; }

double Progress::fraction() const { return total_ > 0 ? std::clamp(last_done_ / total_, 0.0, 1.0) : 1.0; }

std::string Progress::fields() const {
  const double elapsed_seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = elapsed_seconds > 0 ? (last_done_ - skipped_) / elapsed_seconds : 0.0;
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, " %3.0f%%", 100 * fraction());
  std::string out = buffer;
  if (last_done_ >= total_) {
    out += "  took " + human_seconds(elapsed_seconds);
  } else {
    out += "  ETA " + (rate > 0 ? human_seconds((total_ - last_done_) / rate) : "?");
  }
  if (!last_extra_.empty()) out += "  " + last_extra_;
  return unit_.empty() ? out : out + "  " + human_rate(rate / scale_, unit_);
}

void Progress::draw() {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.quiet) return;
  is_drawn_ = true;
  if (c.is_terminal) {
    const int64_t columns = terminal_columns();
    const std::string line = fit_fields(printable(label_ + bar_of(fraction(), columns) + fields()), columns);
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    c.bar_on_screen = true;
  } else {
    std::fprintf(stderr, "evenkeel: %s\n", printable(label_ + fields()).c_str());
  }
}

}  // namespace evenkeel
