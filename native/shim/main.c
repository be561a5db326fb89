// gantry-shim: started by the launcher, maybe long before there is a container for it, with a connection to the launcher on
// fd 3. The first message on it says which container and brings the plan (fd 4) and the fds that the plan refers to (5, …).
// It leaves when the container has ended and everybody knows.
#include "shim.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

struct process container;
struct process *processes = &container;
struct log container_log = {.fd = -1, .scribe = -1};
static int slots_end;

// What was passed for the plan has done its work: nothing of it may be kept alive.
void close_slots(void) {
  if (slots_end > FIRST_SLOT) syscall(SYS_close_range, FIRST_SLOT, slots_end - 1, 0);
  slots_end = 0;
}

// `ID NUL FOLDER NUL`, with the fds. The id goes where our argument was, for whoever lists processes.
static bool take_orders(int launcher, char *argument) {
  char text[sizeof container.id + 4096 + 2], control[CMSG_SPACE(MOST_FDS * sizeof(int))];
  struct iovec vector = {text, sizeof text - 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(launcher, &message, MSG_CMSG_CLOEXEC);
  if (length <= 0 || message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) return false; // not needed after all, or nonsense
  text[length] = 0;
  const char *folder = text + strlen(text) + 1;
  if (argument) strncpy(argument, text, strlen(argument));
  return folder < text + length && chdir(folder) == 0;
}

static int listen_here(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "shim.sock"};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(address.sun_path);
  mode_t before = umask(0177);
  if (fd < 0 || bind(fd, (void *)&address, sizeof address) < 0 || listen(fd, 128) < 0) return -1;
  umask(before);
  return fd;
}

// `PID START_TIME SHIM_PID`: who to look for if we are gone. The start time tells a process from a later one of that pid.
static void write_pid_file(void) {
  char path[64], text[96];
  snprintf(path, sizeof path, "/proc/%d/stat", container.pid);
  size_t length;
  char *stat = read_file(path, 1024, &length), *at = stat ? strrchr(stat, ')') : NULL;
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  int used = snprintf(text, sizeof text, "%d %llu %d\n", container.pid, at ? strtoull(at, NULL, 10) : 0, getpid());
  free(stat);
  int fd = open("pid", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, (size_t)used) != used) unlink("pid");
  if (fd >= 0) close(fd);
}

int main(int count, char **arguments) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  prctl(PR_SET_NAME, "gantry-shim", 0, 0, 0);
  struct stat st;
  if (!take_orders(LAUNCHER, count > 1 ? arguments[1] : NULL)) return 0;
  int listener = listen_here(); // the lowest free number: the slots end there
  slots_end = listener;
  if (listener < 0 || fstat(PLAN, &st) < 0) return 1;
  char *plan = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, PLAN, 0);
  close(PLAN);
  if (plan == MAP_FAILED || !plan_check(plan, (size_t)st.st_size)) return 1;
  serve(listener, LAUNCHER);
  if (process_launch(&container, plan, (size_t)st.st_size) < 0) process_failed(&container);
  else write_pid_file();
  run_loop();
  unlink("shim.sock");
  return 0;
}
