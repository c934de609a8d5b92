#include "study/jobs.h"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error_report.h"
#include "core/errors.h"
#include "core/log.h"
#include "core/mappings.h"
#include "train/interrupt.h"

namespace evenkeel::study {
namespace {

struct Child {
  size_t job;
  pid_t process;
  int pipe;  // what the child writes: lines "p STEPS TEXT", "w 0 WARNING" and "e CODE MESSAGE"
  std::string buffer;
};

void send_line(int pipe, std::string line) {
  for (char& c : line)
    if (c == '\n') c = ' ';
  line += '\n';
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = write(pipe, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // the parent is gone; PR_SET_PDEATHSIG ends this process
    done += static_cast<size_t>(n);
  }
}

[[noreturn]] void run_child(const Job& job, int pipe, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(130);  // it ended before the call above
  train::listen_to_parent();
  report_mapping_faults_to(pipe, "e 4 arm " + job.label + ": ");
  set_quiet(true);  // one progress view, the parent's
  set_warning_sink([&](const std::string& line) { send_line(pipe, "w 0 " + line); });
  int exit_code = 0;
  const auto report = [&](int64_t steps, const std::string& text) {
    send_line(pipe, "p " + std::to_string(steps) + " " + text);
  };
  try {
    job.run(report);
  } catch (const std::exception& error) {
    const auto failure = describe_error(error);
    exit_code = failure.exit_code;
    send_line(pipe, "e " + std::to_string(exit_code) + " " + failure.message);
  }
  _exit(exit_code);
}

[[noreturn]] void throw_as(int exit_code, const std::string& message) {
  switch (exit_code) {
    case 2: throw ConfigError(message);
    case 3: throw NumericsError(message);
    case 4: throw MachineError(message);
    case 130: throw Interrupted(message);
    default: throw Error(message, exit_code);
  }
}

class Pool {
 public:
  Pool(const std::vector<Job>& jobs, size_t n_parallel,
       const std::function<void(size_t, int64_t, const std::string&)>& on_progress)
      : jobs_(jobs),
        n_parallel_(n_parallel),
        on_progress_(on_progress),
        is_started_(jobs.size()),
        is_done_(jobs.size()) {}

  void run() {
    for (;;) {
      while (!is_stopping_ && children_.size() < n_parallel_ && start_next()) {
      }
      if (children_.empty()) break;
      wait_for_news();
      if (train::stop_requested() && !is_stopping_)
        stop(130, "stopped by a signal: the running arms are saved; --resume goes on");
    }
    if (is_stopping_) throw_as(exit_code_, message_);
  }

 private:
  bool start_next() {
    for (size_t i = 0; i < jobs_.size(); ++i) {
      bool is_ready = !is_started_[i];
      for (const size_t earlier : jobs_[i].after) is_ready = is_ready && is_done_[earlier];
      if (!is_ready) continue;
      is_started_[i] = true;
      start(i);
      return true;
    }
    return false;
  }

  void start(size_t job) {
    int ends[2];
    require<MachineError>(pipe(ends) == 0, "study: got '", std::strerror(errno),
                          "' on making a pipe; need it to succeed");
    std::fflush(nullptr);
    const pid_t parent = getpid(), process = fork();
    require<MachineError>(process >= 0, "study: got '", std::strerror(errno),
                          "' on starting a process; need it to succeed");
    if (process == 0) {
      close(ends[0]);
      for (const auto& child : children_) close(child.pipe);
      run_child(jobs_[job], ends[1], parent);
    }
    close(ends[1]);
    children_.push_back({job, process, ends[0], ""});
  }

  void wait_for_news() {
    std::vector<pollfd> polls;
    for (const auto& child : children_) polls.push_back({child.pipe, POLLIN, 0});
    constexpr int kPauseMilliseconds = 200;  // a signal is noticed within this
    if (poll(polls.data(), polls.size(), kPauseMilliseconds) <= 0) return;
    for (size_t i = polls.size(); i-- > 0;) {
      if (polls[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = read(children_[i].pipe, buffer, sizeof buffer);
      if (n > 0) {
        children_[i].buffer.append(buffer, static_cast<size_t>(n));
        take_lines(children_[i]);
      } else if (n == 0) {
        reap(i);
      }
    }
  }

  void take_lines(Child& child) {
    for (size_t end = child.buffer.find('\n'); end != std::string::npos; end = child.buffer.find('\n')) {
      const std::string line = child.buffer.substr(0, end);
      child.buffer.erase(0, end + 1);
      size_t used = 0;
      const int64_t number = std::stoll(line.substr(2), &used);
      const std::string text = line.substr(std::min(line.size(), 2 + used + 1));
      if (line[0] == 'p') {
        on_progress_(child.job, number, text);
      } else if (line[0] == 'w') {
        log_warning("arm ", jobs_[child.job].label, ": ", text);
      } else {
        stop(static_cast<int>(number), text);
      }
    }
  }

  void reap(size_t index) {
    const Child child = children_[index];
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
    close(child.pipe);
    int status = 0;
    while (waitpid(child.process, &status, 0) < 0 && errno == EINTR) {
    }
    is_done_[child.job] = true;
    const bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_good)
      stop(4, join_parts("arm ", jobs_[child.job].label, ": got a process that ended by ",
                         WIFSIGNALED(status) ? "signal " : "exit code ",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), "; need it to end by itself"));
  }

  // The first reason stands; the other children save and stop.
  void stop(int exit_code, const std::string& message) {
    if (is_stopping_) return;
    is_stopping_ = true;
    exit_code_ = exit_code;
    message_ = message;
    for (const auto& child : children_) train::request_stop_of(child.process);
  }

  const std::vector<Job>& jobs_;
  size_t n_parallel_;
  const std::function<void(size_t, int64_t, const std::string&)>& on_progress_;
  std::vector<bool> is_started_, is_done_;
  std::vector<Child> children_;
  bool is_stopping_ = false;
  int exit_code_ = 0;
  std::string message_;
};

}  // namespace

void run_jobs(const std::vector<Job>& jobs, size_t n_parallel,
              const std::function<void(size_t, int64_t, const std::string&)>& on_progress) {
  Pool(jobs, n_parallel, on_progress).run();
}

}  // namespace evenkeel::study
