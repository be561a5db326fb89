// The shim: one container's supervisor. It moves bytes, reaps and reports; what to do it is told.
#ifndef SHIM_H
#define SHIM_H
#define _GNU_SOURCE
#include "plan.h"
#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LAUNCHER 3 // fds: our connection, the plan, and what the plan refers to
#define PLAN 4
#define FIRST_SLOT 5
#define MOST_FDS 253 // that one message can carry (SCM_MAX_FD)

// Something that epoll watches.
struct source {
  int fd; // -1: none
  uint32_t events;
  void (*ready)(struct source *source, uint32_t events);
  void *owner;
};

// Bytes that wait for a slow reader.
struct queue {
  char *bytes;
  size_t head, tail, size;
};

struct log {
  int fd; // -1: none
  uint32_t format, max_files;
  const char *path, *attrs;
  uint32_t attrs_length;
  uint64_t max_size, size, told;
  struct { // with the scribe
    uint64_t dropped, rotations;
  } *shared;
  int scribe; // its pipe; -1: none
  pid_t scribe_pid;
  char *batch; // lines not yet written; they end at batch_used
  size_t batch_used, carried; // carried: the rest of a line that the scribe has the beginning of
  struct partial { // a line without its end, one for stdout and one for stderr
    char *bytes;
    size_t used;
    bool continued;
    struct timespec time;
  } partial[2];
};

struct connection;

// The container's process, or an exec's.
struct process {
  struct process *next;
  char id[65]; // '' for the container
  pid_t pid;
  int pidfd;
  bool tty, has_stdin, adopted, ready, starting, started, reaped, finished, gone;
  bool close_stdin; // once what waits is written
  int status;       // as from wait(2)
  struct timespec ended;
  uint64_t clone_flags;
  int cgroup, pid_namespace;
  int child_stdio[3];  // the process's ends, until it is made
  struct source sync;  // speaks with the init stage
  struct source input; // stdin's pipe; with a terminal unused, its output's fd takes input too
  struct source output[2];
  struct queue stdin_queue;
  bool logged;
  struct connection *launcher; // who waits for it to be ready
  uint32_t launcher_sequence;
  uint32_t launcher_streams; // attach_flags; 0: it does not attach
  struct failure failure;
  const char *plan;
  size_t plan_length;
};

enum message { // client to shim
  HELLO = 1, START, SIGNAL, RESIZE, CLOSE_STDIN, ATTACH, EXEC, QUIT,
  // shim to client
  RESULT = 100, STATE, EXIT, ROTATED = 104, OOM,
};

enum attach_flags { ATTACH_STDIN = 1, ATTACH_STDOUT = 2, ATTACH_STDERR = 4, ATTACH_CLOSE_STDIN = 8, ATTACH_NONE = 16 };

struct connection {
  struct connection *next;
  struct source source;
  bool control, attached, ending, gone, input_ended;
  char *frame; // collected so far
  size_t frame_used, frame_size;
  struct queue out;
  struct process *process; // attached to
  uint32_t streams;
};

extern struct process *processes; // the container is the last
extern struct process container;
extern struct connection *connections;
extern struct log container_log;

// main.c
void close_slots(void);

// loop.c
void watch(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t), void *owner);
void rewatch(struct source *source, uint32_t events);
void unwatch(struct source *source); // and close
void run_loop(void);
void set_timer(int seconds);
extern bool loop_ends;

// queue.c
size_t queue_length(const struct queue *q);
bool queue_add(struct queue *q, const void *bytes, size_t length);
// Write what waits; -1 with errno where that is no longer possible (EAGAIN is not such a case).
int queue_write(struct queue *q, int fd);
void queue_free(struct queue *q);

// host.c
int host_step(void *process, struct op *op, struct failure *failure);
int write_whole_file(const char *path, const char *data, size_t length);
// At most `size` bytes of a file, allocated and ended by a NUL; NULL with errno.
char *read_file(const char *path, size_t size, size_t *length);
// recvmsg(2) with the fd that came along, or -1.
ssize_t receive_fd(int from, void *bytes, size_t size, int *fd);
int slot(uint32_t number);
struct record {
  char *bytes;
  size_t length;
};
extern struct record exit_files;

// init.c
__attribute__((noreturn)) void init_stage(struct process *p, int sync);

// process.c
int process_launch(struct process *p, const char *plan, size_t length);
void process_failed(struct process *p); // after process_launch() failed
int process_signal(struct process *p, int signal);
void process_start(struct process *p);
void process_close_stdin(struct process *p);
void process_feed(struct process *p); // write what waits for stdin
void process_flow(struct process *p); // read its output, or not, as its readers keep up
void reap(void);
void process_free(struct process *p);

// connection.c
void serve(int listener, int launcher);
void broadcast_exit(struct process *p, const char *record, size_t length);
void send_result(struct connection *c, uint32_t sequence, const struct process *p, const struct failure *failure);
void deliver(struct process *p, int stream, char *bytes, size_t length); // 8 bytes before `bytes` are free
void end_attachments(struct process *p);
void attach_to(struct connection *c, struct process *p, uint32_t flags);
bool readers_full(const struct process *p);
void sweep_connections(void);
bool attachments_left(void);
void notify_rotated(void);
void notify_oom(void);
void drop(struct connection *c);

// memory.c
// Tell of it when memory runs out: `file` is v1's memory.oom_control, registered in `control`, or v2's memory.events.
int watch_memory(const char *file, const char *control);
void unwatch_memory(void);

// log.c
void log_open(struct log *log, uint32_t format, const char *path, uint64_t max_size, uint32_t max_files, uint64_t ring);
void log_write(struct log *log, int stream, const char *bytes, size_t length);
void log_flush(struct log *log);
void log_end(struct log *log); // partial lines are lines now
void log_idle(struct log *log); // give memory back

void *allocate(size_t size);
// Close `fd` and hand on a result with its errno.
static inline int closing(int fd, int result) {
  int error = errno;
  close(fd);
  errno = error;
  return result;
}
#endif
