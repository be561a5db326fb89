// The container's log: lines as JSON, or as binary records, in a file that is rotated.
#include "shim.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LINE 16384             // a longer line is logged in parts
#define BATCH (512 * 1024)     // written when this full
#define LONGEST (LINE * 6 + 1024) // a part, escaped, with what stands around it

enum { FORMAT_JSON = 1, FORMAT_BINARY = 2 };

static char time_text[40]; // of the read() that is being logged
static size_t time_length;

static void write_for_ever(struct log *log, int from);

// With a ring the file is written by a process of its own, the scribe, whose pipe is the ring: a disk that stands still
// then does not hold the container back.
static void start_scribe(struct log *log, uint64_t ring) {
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) < 0) return;
  fcntl(pipe[1], F_SETPIPE_SZ, (int)(ring > 1 << 30 ? 1 << 30 : ring));
  log->scribe_pid = fork();
  if (log->scribe_pid == 0) {
    for (int fd = 3; fd < 1024; fd++) {
      if (fd != pipe[0] && fd != log->fd) close(fd);
    }
    write_for_ever(log, pipe[0]);
  }
  close(pipe[0]);
  fcntl(pipe[1], F_SETFL, O_NONBLOCK);
  log->scribe = pipe[1];
}

void log_open(struct log *log, uint32_t format, const char *path, uint64_t max_size, uint32_t max_files, uint64_t ring) {
  log->format = format;
  log->path = path;
  log->max_size = max_size;
  log->max_files = max_files;
  log->shared = mmap(NULL, sizeof *log->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (log->shared == MAP_FAILED) abort();
  log->fd = format ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
  struct stat st;
  if (log->fd >= 0 && fstat(log->fd, &st) == 0) log->size = (uint64_t)st.st_size;
  if (log->fd >= 0 && ring) start_scribe(log, ring);
}

// path -> path.1 -> … -> path.N-1, also where somebody compressed one; then a new file under the old name, so that a
// reader that holds the old one can read it to its end.
static void rotate(struct log *log) {
  char from[PATH_MAX], to[PATH_MAX];
  static const char *const suffixes[] = {"", ".gz"};
  for (uint32_t n = log->max_files; n-- > 1;) {
    for (int s = 0; s < 2; s++) {
      if (n == 1) snprintf(from, sizeof from, "%s", log->path);
      else snprintf(from, sizeof from, "%s.%u%s", log->path, n - 1, suffixes[s]);
      snprintf(to, sizeof to, "%s.%u%s", log->path, n, suffixes[s]);
      if (n == log->max_files - 1) unlink(to); // the oldest, in whichever form it is
      if (n > 1 || s == 0) rename(from, to);
    }
  }
  if (log->max_files <= 1) unlink(log->path);
  int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return; // the old one goes on
  close(log->fd);
  log->fd = fd;
  log->size = 0;
  log->shared->rotations++;
}

// Called now and then: the scribe cannot tell anybody itself.
static void tell_rotations(struct log *log) {
  if (!log->shared || log->told == log->shared->rotations) return;
  log->told = log->shared->rotations;
  notify_rotated();
}

// The length of the line at `at`; 0 where it is not whole.
static size_t line_length(const struct log *log, const char *at, const char *end) {
  if (log->format == FORMAT_JSON) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? (size_t)(newline + 1 - at) : 0;
  }
  uint32_t length = 0;
  if (end - at >= 4) memcpy(&length, at, 4);
  return length <= (size_t)(end - at) ? length : 0;
}

static uint64_t count_lines(const struct log *log, const char *at, const char *end) {
  uint64_t lines = 0;
  for (size_t length; (length = line_length(log, at, end)) > 0; at += length) lines++;
  return lines;
}

// Where the last line that is whole in the first `length` bytes of the batch ends.
static size_t whole_lines(const struct log *log, size_t length) {
  const char *at = log->batch, *end = at + length;
  for (size_t line; (line = line_length(log, at, end)) > 0;) at += line;
  return (size_t)(at - log->batch);
}

static size_t write_batch(struct log *log, int fd) {
  size_t done = 0;
  while (done < log->batch_used) {
    ssize_t written = write(fd, log->batch + done, log->batch_used - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += (size_t)written;
  }
  return done;
}

// To the scribe. What its pipe has no room for is dropped, but for the rest of a line that is half in it.
static void flush_to_scribe(struct log *log) {
  size_t done = write_batch(log, log->scribe), line_end = log->carried;
  const char *end = log->batch + log->batch_used;
  while (line_end < done) line_end += line_length(log, log->batch + line_end, end);
  log->shared->dropped += count_lines(log, log->batch + line_end, end);
  log->carried = log->batch_used = line_end - done;
  memmove(log->batch, log->batch + done, log->carried);
}

// A full disk does not stop the container: what does not fit whole is dropped and counted.
void log_flush(struct log *log) {
  if (log->fd < 0 || log->batch_used == 0) return;
  if (log->scribe >= 0) return flush_to_scribe(log);
  size_t done = write_batch(log, log->fd);
  if (done < log->batch_used) {
    size_t whole = whole_lines(log, done);
    if (whole < done && ftruncate(log->fd, (off_t)(log->size + whole)) == 0) done = whole;
    log->shared->dropped += count_lines(log, log->batch + whole, log->batch + log->batch_used);
  }
  log->size += done;
  log->batch_used = 0;
}

// RFC 3339 in UTC, without the nanoseconds' trailing zeros.
static void set_time(struct timespec now) {
  struct tm tm;
  gmtime_r(&now.tv_sec, &tm);
  size_t used = strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &tm);
  if (now.tv_nsec) {
    used += (size_t)snprintf(time_text + used, sizeof time_text - used, ".%09ld", now.tv_nsec);
    while (time_text[used - 1] == '0') used--;
  }
  time_text[used++] = 'Z';
  time_length = used;
}

// ---- JSON ----

// 0: as it is; 1: escaped; 2: the start of more than one byte.
static unsigned char class_of[256];

static void classify(void) {
  for (int i = 0; i < 256; i++) class_of[i] = i < 0x20 ? 1 : i < 0x80 ? 0 : 2;
  for (const char *special = "\"\\<>&\x7f"; *special; special++) class_of[(unsigned char)*special] = 1;
  class_of[0x7f] = 0;
}

// How many bytes the UTF-8 character at `at` has; 0 where it is none (also overlong ones and surrogates).
static size_t utf8_length(const unsigned char *at, const unsigned char *end) {
  unsigned char first = at[0], low = 0x80, high = 0xbf;
  size_t length = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length == 0 || (size_t)(end - at) < length) return 0;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

static char *put(char *to, const char *text, size_t length) {
  memcpy(to, text, length);
  return to + length;
}

static char *escape(char *to, const char *text, size_t length) {
  static const char hex[] = "0123456789abcdef";
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  while (at < end) {
    const unsigned char *run = at;
    while (at < end && class_of[*at] == 0) at++;
    to = put(to, (const char *)run, (size_t)(at - run));
    if (at == end) break;
    unsigned char byte = *at;
    if (byte >= 0x80) {
      size_t bytes = utf8_length(at, end);
      if (bytes == 0) to = put(to, "\\ufffd", 6), at++;
      else if (bytes == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8) to = put(to, at[2] & 1 ? "\\u2029" : "\\u2028", 6), at += 3;
      else to = put(to, (const char *)at, bytes), at += bytes;
      continue;
    }
    at++;
    *to++ = '\\';
    if (byte == '"' || byte == '\\') *to++ = (char)byte;
    else if (byte == '\n') *to++ = 'n';
    else if (byte == '\r') *to++ = 'r';
    else to = put(to, "u00", 3), *to++ = hex[byte >> 4], *to++ = hex[byte & 15];
  }
  return to;
}

static char *json_line(const struct log *log, char *to, int stream, const char *text, size_t length, bool whole) {
  to = escape(put(to, "{\"log\":\"", 8), text, length);
  if (whole) to = put(to, "\\n", 2);
  to = put(to, stream == 2 ? "\",\"stream\":\"stderr\"" : "\",\"stream\":\"stdout\"", 19);
  if (log->attrs_length) to = put(put(to, ",\"attrs\":", 9), log->attrs, log->attrs_length);
  to = put(put(to, ",\"time\":\"", 9), time_text, time_length);
  return put(to, "\"}\n", 3);
}

// ---- binary: u32 length, u64 nanoseconds, u8 stream, u8 partial, bytes, u32 length; little-endian ----

static char *binary_line(char *to, int stream, const char *text, size_t length, bool whole, struct timespec now) {
  uint32_t total = (uint32_t)length + 18;
  uint64_t time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
  char kind[2] = {(char)stream, !whole};
  to = put(put(put(to, (char *)&total, 4), (char *)&time, 8), kind, 2);
  return put(put(to, text, length), (char *)&total, 4);
}

static void make_room(struct log *log) {
  if (log->scribe < 0 && log->max_size && log->size + log->batch_used >= log->max_size) {
    log_flush(log);
    if (log->size >= log->max_size) rotate(log);
  }
  if (log->batch_used + LONGEST + log->attrs_length > BATCH) log_flush(log);
}

static void add_line(struct log *log, int stream, const char *text, size_t length, bool whole, struct timespec now) {
  make_room(log);
  char *to = log->batch + log->batch_used;
  to = log->format == FORMAT_JSON ? json_line(log, to, stream, text, length, whole) : binary_line(to, stream, text, length, whole, now);
  log->batch_used = (size_t)(to - log->batch);
}

// Part of a line that is not at its end; all parts carry the first one's time.
static void add_part(struct log *log, struct partial *part, int stream, const char *text, size_t length, bool whole, struct timespec now) {
  struct timespec time = part->continued ? part->time : now;
  if (part->continued) set_time(time);
  add_line(log, stream, text, length, whole, time);
  if (part->continued) set_time(now);
  if (!part->continued) part->time = now;
  part->continued = !whole;
}

static void prepare(struct log *log) {
  if (!class_of[0]) classify();
  if (log->batch) return;
  log->batch = mmap(NULL, BATCH + log->attrs_length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (log->batch == MAP_FAILED) abort();
}

void log_write(struct log *log, int stream, const char *bytes, size_t length) {
  struct partial *part = &log->partial[stream - 1];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  prepare(log);
  set_time(now);
  while (length > 0) {
    size_t room = LINE - part->used, take = length < room ? length : room;
    const char *newline = memchr(bytes, '\n', take);
    if (newline) take = (size_t)(newline - bytes);
    if (!newline && take < room) { // it goes on in the next read
      if (!part->bytes) part->bytes = allocate(LINE);
      memcpy(part->bytes + part->used, bytes, take);
      part->used += take;
      return;
    }
    const char *text = bytes;
    if (part->used) {
      memcpy(part->bytes + part->used, bytes, take);
      text = part->bytes;
    }
    add_part(log, part, stream, text, part->used + take, newline != NULL, now);
    part->used = 0;
    bytes += take + (newline != NULL);
    length -= take + (newline != NULL);
  }
}

static void write_for_ever(struct log *log, int from) {
  log->scribe = -1;
  prepare(log);
  char *buffer = allocate(BATCH);
  size_t used = 0;
  for (ssize_t got; (got = read(from, buffer + used, BATCH - used)) > 0;) {
    const char *at = buffer, *end = buffer + used + got;
    for (size_t line; (line = line_length(log, at, end)) > 0; at += line) {
      make_room(log);
      memcpy(log->batch + log->batch_used, at, line);
      log->batch_used += line;
    }
    used = (size_t)(end - at);
    memmove(buffer, at, used);
    log_flush(log);
  }
  _exit(0);
}

// Everything that was handed over is to be on file before the exit is told.
static void await_scribe(struct log *log) {
  fcntl(log->scribe, F_SETFL, 0);
  log_flush(log);
  close(log->scribe);
  log->scribe = -1;
  waitpid(log->scribe_pid, NULL, 0);
}

void log_end(struct log *log) {
  if (log->fd < 0) return;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  prepare(log);
  set_time(now);
  for (int i = 0; i < 2; i++) {
    struct partial *part = &log->partial[i];
    if (part->used) add_part(log, part, i + 1, part->bytes, part->used, false, now);
    part->used = 0;
  }
  log_flush(log);
  if (log->scribe >= 0) await_scribe(log);
  tell_rotations(log);
}

void log_idle(struct log *log) {
  tell_rotations(log);
  if (log->batch_used) return;
  if (log->batch) munmap(log->batch, BATCH + log->attrs_length);
  log->batch = NULL;
  for (int i = 0; i < 2; i++) {
    if (log->partial[i].used) continue;
    free(log->partial[i].bytes);
    log->partial[i].bytes = NULL;
  }
}
