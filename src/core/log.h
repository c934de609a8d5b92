// What a person sees while the program works: lines and one progress bar, all on stderr. A bar is drawn
// only on a terminal; elsewhere its state becomes a plain line every few seconds.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "core/errors.h"

namespace evenkeel {

void log_line(const std::string& line);     // "evenkeel: LINE"
void warn_line(const std::string& line);    // "evenkeel: warning: LINE"
void hold_copy();                           // keeps lines in memory for the file that copy_log_to will name
void copy_log_to(const std::string& path);  // appends the lines held so far to this file, and each later one; "" stops
                                            // that and forgets them
void copy_line(const std::string& line);    // "evenkeel: LINE" to that file alone
void set_quiet(bool quiet);                 // no informational lines; warnings stay
// Where warnings go in place of stderr: a process that has no terminal of its own hands them to the one that has.
// Empty: stderr.
void set_warning_sink(std::function<void(const std::string& line)> sink);

template <class... Parts>
void log_info(const Parts&... parts) {
  log_line(join_parts(parts...));
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  warn_line(join_parts(parts...));
}

// One line: label, share done, time left, what update() adds, rate. On a terminal it takes one row whatever its width:
// fields, which two spaces set apart, are left out from the right.
class Progress {
 public:
  // `unit` follows the rate, as in "3.2 MB/s" for scale 1e6 and unit "MB"; "": no rate.
  Progress(std::string label, double total, std::string unit, double scale = 1.0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(double done, const std::string& extra = "");
  void skip(double done);  // counts as done, but not into the rate

 private:
  void draw();
  std::string fields() const;  // all but label and bar
  double fraction() const;
  std::string label_, unit_;
  double total_, scale_, last_done_ = 0.0, skipped_ = 0.0;
  std::string last_extra_;
  std::chrono::steady_clock::time_point start_, last_draw_;
  bool is_drawn_ = false;  // whether what the last update() said was drawn
};

}  // namespace evenkeel
