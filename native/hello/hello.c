// The program of the built-in image: enough to show that a container runs, prints, is entered and is held to its limits.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(1);
}

static void say_number(const char *before, int number, const char *after) {
  char digits[12], *p = digits + sizeof digits;
  *--p = 0;
  do *--p = (char)('0' + number % 10);
  while (number /= 10);
  say(before), say(p), say(after);
}

// Copies a file to standard output.
static int show(const char *path) {
  char buffer[4096];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return say("hello: cannot open "), say(path), say("\n"), 1;
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
    if (write(1, buffer, (size_t)n) != n) return 1;
  return 0;
}

// Says a line each second, for ever.
static int tick(void) {
  for (int i = 1;; i++) say_number("tick ", i, "\n"), sleep(1);
  return 0;
}

// Uses so many megabytes of memory.
static int eat(int megabytes) {
  for (int i = 1; i <= megabytes; i++) {
    char *memory = malloc(1 << 20);
    if (!memory) return 1;
    memset(memory, i, 1 << 20);
  }
  return say_number("ate ", megabytes, " MB\n"), 0;
}

// Starts so many processes that live on until it ends, and says how many it got.
static int breed(int wanted) {
  int started = 0;
  for (pid_t child; started < wanted && (child = fork()) >= 0; started++)
    if (child == 0) pause();
  return say_number("started ", started, " processes\n"), 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "", *operand = argc > 2 ? argv[2] : "";
  if (!strcmp(what, "show")) return show(operand);
  if (!strcmp(what, "tick")) return tick();
  if (!strcmp(what, "eat")) return eat(atoi(operand));
  if (!strcmp(what, "breed")) return breed(atoi(operand));
  if (!strcmp(what, "exit")) return atoi(operand);
  return say("Hello from a Gantry container\n"), 0;
}
