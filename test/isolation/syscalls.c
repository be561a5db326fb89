// Prints what the kernel answers to each system call number when it is made with arguments that no call can use: one line
// "NUMBER ERRNO" each, with 0 for success, -1 where it never came back. A child makes each call and is killed when it has slept.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int *answer;

static long native(long number) { return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L); }

#ifdef __x86_64__
static long compat(long number) {
  long result;
  __asm__ volatile("push %%rbp; mov $-1, %%ebp; int $0x80; pop %%rbp"
                   : "=a"(result)
                   : "a"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
                   : "memory", "r8", "r9", "r10", "r11");
  if (result < 0 && result > -4096) errno = (int)-result, result = -1;
  return result;
}
#else
static long compat(long number) { return native(number); }
#endif

// Whether it waits for something, not only for its turn.
static int sleeps(pid_t pid) {
  char path[32], state = 'S';
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (file) fscanf(file, "%*d (%*[^)]) %c", &state), fclose(file);
  return state != 'R';
}

int main(int argc, char **argv) {
  long (*call)(long) = argc > 2 && strcmp(argv[2], "compat") == 0 ? compat : native;
  answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, NULL);
  setvbuf(stdout, NULL, _IOFBF, 65536);
  for (long number = 0; number < atol(argv[1]); number++) {
    *answer = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      *answer = call(number) < 0 ? errno : 0;
      _exit(0);
    }
    while (sigtimedwait(&child_ended, NULL, &(struct timespec){0, 300000000}) < 0 && !sleeps(child)) {
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (sigtimedwait(&child_ended, NULL, &(struct timespec){0, 0}) > 0) {
    }
    printf("%ld %d\n", number, *answer);
  }
  return 0;
}
