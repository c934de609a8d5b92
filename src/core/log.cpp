#include "core/log.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <mutex>

#include <unistd.h>

#include "core/units.h"

namespace evenkeel {
namespace {

using Clock = std::chrono::steady_clock;

// One console a process: lines and the bar share the terminal, so they share this state.
struct Console {
  std::mutex mutex;
  std::ofstream copy;
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
  if (is_shown) {
    clear_bar(c);
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), line.c_str());
  }
  if (c.copy.is_open()) c.copy << prefix << line << std::endl;
}

}  // namespace

void log_line(const std::string& line) { print_line("evenkeel: ", line, !console().quiet); }
void warn_line(const std::string& line) { print_line("evenkeel: warning: ", line, true); }
void copy_line(const std::string& line) { print_line("evenkeel: ", line, false); }
void set_quiet(bool quiet) { console().quiet = quiet; }

void copy_log_to(const std::string& path) {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.copy.is_open()) c.copy.close();
  if (!path.empty()) c.copy.open(path, std::ios::app);
}

Progress::Progress(std::string label, double total, std::string unit, double scale)
    : label_(std::move(label)), unit_(std::move(unit)), total_(total), scale_(scale), start_(Clock::now()), last_draw_(start_) {}

Progress::~Progress() {
  if (drawn_ || last_done_ > 0) draw(last_done_, last_extra_);
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.bar_on_screen) std::fputc('\n', stderr);
  c.bar_on_screen = false;
}

void Progress::update(double done, const std::string& extra) {
  last_done_ = done;
  last_extra_ = extra;
  const double pause_seconds = console().is_terminal ? 0.1 : 10.0;
  const auto now = Clock::now();
  if (std::chrono::duration<double>(now - last_draw_).count() < pause_seconds) return;
  last_draw_ = now;
  draw(done, extra);
}

void Progress::skip(double done) { skipped_ += done; }

void Progress::draw(double done, const std::string& extra) {
  Console& c = console();
  const std::lock_guard lock(c.mutex);
  if (c.quiet) return;
  drawn_ = true;
  const double elapsed_seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = elapsed_seconds > 0 ? (done - skipped_) / elapsed_seconds : 0.0;
  const double fraction = total_ > 0 ? std::clamp(done / total_, 0.0, 1.0) : 1.0;
  const std::string eta = rate > 0 ? human_seconds(std::max(0.0, total_ - done) / rate) : "?";
  char percent[16];
  std::snprintf(percent, sizeof percent, "%3.0f%% ", 100 * fraction);
  const std::string head = percent + human_rate(rate / scale_, unit_) + " ETA " + eta;
  if (c.is_terminal) {
    constexpr int kBarWidth = 24;
    const int filled = static_cast<int>(fraction * kBarWidth);
    const std::string bar = std::string(static_cast<size_t>(filled), '#') + std::string(static_cast<size_t>(kBarWidth - filled), '.');
    std::fprintf(stderr, "\r\033[K%s [%s] %s %s", label_.c_str(), bar.c_str(), head.c_str(), extra.c_str());
    std::fflush(stderr);
    c.bar_on_screen = true;
  } else {
    std::fprintf(stderr, "evenkeel: %s %s %s\n", label_.c_str(), head.c_str(), extra.c_str());
  }
}

}  // namespace evenkeel
