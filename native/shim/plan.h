// The launch plan on the wire; src/runtime/plan.ts says what each operation means, and a test holds the codes together.
#ifndef PLAN_H
#define PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x4e4c5047u
#define PLAN_VERSION 1u

enum section { SECTION_HOST, SECTION_INIT, SECTION_PARENT, SECTION_START, SECTION_EXIT, SECTION_TEARDOWN, SECTIONS };

enum op_code {
  OP_STDIO = 1,
  OP_LOG = 2,
  OP_CLONE = 3,
  OP_PID_NAMESPACE = 4,
  OP_MKDIR = 10,
  OP_WRITE_FILE = 11,
  OP_RMDIR = 12,
  OP_UNLINK = 13,
  OP_RUN = 14,
  OP_ADOPT = 15,
  OP_KILL_ALL = 16,
  OP_RECORD = 17,
  OP_MEMORY_EVENTS = 18,
  OP_JOIN = 20,
  OP_PROCESS_FILE = 21,
  OP_AWAIT = 30,
  OP_UNSHARE = 31,
  OP_SETNS = 32,
  OP_INTERFACE_UP = 33,
  OP_PROPAGATION = 40,
  OP_ROOT_FS = 41,
  OP_ROOT_FD = 42,
  OP_ROOT_BIND = 43,
  OP_MOUNT_FS = 44,
  OP_MOUNT_BIND = 45,
  OP_MOUNT_FD = 46,
  OP_REMOUNT = 47,
  OP_MASK = 48,
  OP_READONLY = 49,
  OP_MKNOD = 50,
  OP_SYMLINK = 51,
  OP_MAKE_FOLDER = 52,
  OP_CONSOLE = 53,
  OP_PIVOT = 54,
  OP_HOSTNAME = 60,
  OP_DOMAINNAME = 61,
  OP_RLIMIT = 62,
  OP_KEYRING = 63,
  OP_BOUNDING = 64,
  OP_USER = 65,
  OP_UMASK = 66,
  OP_WORKING_FOLDER = 67,
  OP_PROGRAM = 68,
  OP_NO_NEW_PRIVILEGES = 69,
  OP_SECCOMP = 70,
  OP_CAPABILITIES = 71,
  OP_PARENT_DEATH = 72,
  OP_READY = 74,
  OP_EXEC = 75,
};

#define OP_MAY_FAIL 1

// Reads fields in order. Reading past the end sets `bad` and gives zeros.
struct reader {
  const char *at, *end;
  bool bad;
};

struct op {
  uint32_t index; // in its section
  uint16_t code, flags;
  struct reader fields;
};

// An operation that failed: what travels back to TypeScript.
struct failure {
  uint32_t section, index, code;
  int32_t error; // errno; 0: none
  char detail[480];
};

uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
// Bytes in place, followed by a NUL.
const char *get_bytes(struct reader *r, uint32_t *length);
const char *get_string(struct reader *r);
// NULL-terminated and allocated.
char **get_strings(struct reader *r);

// Whether this is a plan that we can run.
bool plan_check(const char *plan, size_t length);
struct reader plan_section(const char *plan, size_t length, enum section section);
// A copy of what a started process still needs of its plan.
char *plan_keep(const char *plan, size_t length, size_t *kept);
// The next operation; false at the end.
bool plan_next(struct reader *section, uint32_t *index, struct op *op);

// Say what an operation was about, for its failure.
void detail(struct failure *failure, const char *text);

// Run every operation of a section with `step`, which answers 0 or -1 with errno. Stops at the first that fails.
int plan_run(const char *plan, size_t length, enum section section, struct failure *failure,
             int (*step)(void *context, struct op *op, struct failure *failure), void *context);
#endif
