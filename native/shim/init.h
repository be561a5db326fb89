// What the parts of the init stage share.
#ifndef INIT_H
#define INIT_H
#include "shim.h"

struct init {
  struct process *process;
  int sync;
  int folder; // the shim's own
  int root;   // the container's root; -1: not yet
  int empty;  // an empty read-only tmpfs, for masks
  mode_t umask;
  char **argv, **env;
  char *program;
};

// root.c
// Operations on the root: what is mounted and made in it.
int root_step(struct init *i, struct op *op, struct failure *failure);
// A path of the container: its links lead nowhere but into its root.
int open_in_root(struct init *i, const char *path, int flags);
// A detached copy of a mount, or of a part of it.
int copy_tree(int dirfd, const char *path, bool recursive);
enum create { CREATE_NOTHING, CREATE_FOLDER, CREATE_FILE, CREATE_AS_SOURCE };
// Move a detached mount to its place; closes it.
int attach(struct init *i, int mount, const char *target, enum create create);
#endif
