#include "train/interrupt.h"

#include <csignal>
#include <string_view>

#include <unistd.h>

#include "core/file_io.h"
#include "core/mappings.h"

namespace evenkeel::train {
namespace {

volatile std::sig_atomic_t saves_first = 0, stop_flag = 0;

// Calls only what a signal handler may call.
void on_signal(int) {
  if (saves_first != 0 && stop_flag == 0) {
    stop_flag = 1;
    return;
  }
  unlink_temporary_files();
  constexpr std::string_view kFirst = "\nevenkeel: stopped by a signal; nothing half-written is left\n";
  constexpr std::string_view kSecond =
      "\nevenkeel: stopped at once by a second signal; --resume goes on from the last checkpoint\n";
  const std::string_view line = saves_first == 0 ? kFirst : kSecond;
  const std::string_view shown =
      isatty(STDERR_FILENO) == 1 ? line : line.substr(1);  // a bar may stand on the terminal's row
  if (write(STDERR_FILENO, shown.data(), shown.size()) < 0) _exit(130);
  _exit(130);
}

void on_parent_request(int) { stop_flag = 1; }

void handle(int signal_number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal_number, &action, nullptr);
}

void mask_stops(int how) {
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGINT);
  sigaddset(&stops, SIGTERM);
  sigprocmask(how, &stops, nullptr);
}

}  // namespace

void hold_signals() { mask_stops(SIG_BLOCK); }

void install_signal_handlers() {
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
  handle(SIGUSR1, on_parent_request);
  handle(SIGXFSZ, SIG_IGN);  // a full quota becomes an error of the write
  handle(SIGPIPE, SIG_IGN);
  install_mapping_faults();
  mask_stops(SIG_UNBLOCK);
}

void save_on_signal() { saves_first = 1; }
bool stop_requested() { return stop_flag != 0; }

void listen_to_parent() {
  handle(SIGINT, SIG_IGN);
  handle(SIGTERM, SIG_IGN);
}

void request_stop_of(int process) { kill(process, SIGUSR1); }

}  // namespace evenkeel::train
