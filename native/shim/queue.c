#include "shim.h"
#include <stdlib.h>
#include <string.h>

void *allocate(size_t size) {
  void *memory = calloc(1, size);
  if (!memory) abort();
  return memory;
}

size_t queue_length(const struct queue *q) { return q->tail - q->head; }

bool queue_add(struct queue *q, const void *bytes, size_t length) {
  if (q->size - q->tail < length) {
    size_t used = queue_length(q);
    if (q->head > 0) memmove(q->bytes, q->bytes + q->head, used);
    q->head = 0, q->tail = used;
    if (q->size - used < length) {
      size_t size = used + length < 4096 ? 4096 : (used + length) * 3 / 2;
      char *larger = realloc(q->bytes, size);
      if (!larger) return false;
      q->bytes = larger, q->size = size;
    }
  }
  memcpy(q->bytes + q->tail, bytes, length);
  q->tail += length;
  return true;
}

int queue_write(struct queue *q, int fd) {
  while (queue_length(q) > 0) {
    ssize_t written = write(fd, q->bytes + q->head, queue_length(q));
    if (written < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    q->head += (size_t)written;
  }
  queue_free(q);
  return 0;
}

void queue_free(struct queue *q) {
  free(q->bytes);
  *q = (struct queue){0};
}
