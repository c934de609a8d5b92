#include "train/interrupt.h"

#include <csignal>

#include <unistd.h>

namespace evenkeel::train {
namespace {

volatile std::sig_atomic_t stop_flag = 0;

void on_signal(int) {
  if (stop_flag != 0) _exit(130);
  stop_flag = 1;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGXFSZ, SIG_IGN);  // a full quota becomes an error of the write
  signal(SIGPIPE, SIG_IGN);
}

bool stop_requested() { return stop_flag != 0; }

}  // namespace evenkeel::train
