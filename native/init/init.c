// The init of a container that asked for one: runs its arguments, hands on signals, reaps what is orphaned, and ends
// with its child's exit code (128 + signal where a signal ended it).
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *text) {
  if (write(2, text, strlen(text)) < 0) _exit(1);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--") == 0) argc--, argv++;
  if (argc < 2) {
    say("usage: init [--] PROGRAM [ARGUMENT...]\n");
    return 1;
  }
  sigset_t all, before;
  sigfillset(&all);
  // What a fault of our own raises has to reach us.
  static const int faults[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
  sigprocmask(SIG_SETMASK, &all, &before);
  signal(SIGTTIN, SIG_IGN);
  signal(SIGTTOU, SIG_IGN);
  pid_t child = fork();
  if (child < 0) {
    say("init: cannot fork\n");
    return 1;
  }
  if (child == 0) {
    // A group of its own, in front of the terminal: Ctrl-C is for it and not for us.
    setpgid(0, 0);
    tcsetpgrp(0, getpid());
    signal(SIGTTIN, SIG_DFL);
    signal(SIGTTOU, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    execvp(argv[1], argv + 1);
    int error = errno;
    say("init: cannot execute ");
    say(argv[1]);
    say("\n");
    _exit(error == ENOENT ? 127 : 126);
  }
  for (;;) {
    siginfo_t info;
    int signal = sigwaitinfo(&all, &info);
    if (signal < 0) continue;
    if (signal != SIGCHLD) {
      kill(child, signal);
      continue;
    }
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == child) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}
