#include "plan.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *take(struct reader *r, size_t length) {
  if (r->bad || (size_t)(r->end - r->at) < length) {
    r->bad = true;
    return NULL;
  }
  const char *at = r->at;
  r->at += length;
  return at;
}

// A number of so many bytes; little-endian, as we are.
static uint64_t take_number(struct reader *r, size_t bytes) {
  uint64_t value = 0;
  const char *at = take(r, bytes);
  if (at) memcpy(&value, at, bytes);
  return value;
}

uint16_t get_u16(struct reader *r) { return (uint16_t)take_number(r, 2); }
uint32_t get_u32(struct reader *r) { return (uint32_t)take_number(r, 4); }
uint64_t get_u64(struct reader *r) { return take_number(r, 8); }

const char *get_bytes(struct reader *r, uint32_t *length) {
  *length = get_u32(r);
  const char *at = take(r, (size_t)*length + 1);
  if (at && at[*length] == 0) return at;
  r->bad = true;
  *length = 0;
  return "";
}

const char *get_string(struct reader *r) {
  uint32_t length;
  return get_bytes(r, &length);
}

char **get_strings(struct reader *r) {
  uint32_t count = get_u32(r);
  if (count > (size_t)(r->end - r->at) / 5) r->bad = true, count = 0;
  char **list = calloc((size_t)count + 1, sizeof *list);
  if (!list) abort();
  for (uint32_t i = 0; i < count; i++) list[i] = (char *)get_string(r);
  return list;
}

bool plan_check(const char *plan, size_t length) {
  struct reader r = {plan, plan + length, false};
  return get_u32(&r) == PLAN_MAGIC && get_u32(&r) == PLAN_VERSION && !r.bad;
}

struct reader plan_section(const char *plan, size_t length, enum section section) {
  struct reader r = {plan + 8, plan + length, length < 12};
  for (uint32_t count = get_u32(&r); count > 0 && !r.bad; count--) {
    uint32_t found = get_u32(&r), bytes = get_u32(&r);
    const char *at = take(&r, bytes);
    if (at && found == section) return (struct reader){at, at + bytes, false};
  }
  return (struct reader){plan, plan, r.bad};
}

char *plan_keep(const char *plan, size_t length, size_t *kept) {
  char *copy = malloc(length);
  uint32_t count = 0, used = 12;
  if (!copy) abort();
  memcpy(copy, plan, 8);
  for (uint32_t section = SECTION_START; section < SECTIONS; section++) {
    struct reader r = plan_section(plan, length, section);
    uint32_t head[2] = {section, (uint32_t)(r.end - r.at)};
    if (head[1] == 0) continue;
    memcpy(copy + used, head, sizeof head);
    memcpy(copy + used + sizeof head, r.at, head[1]);
    used += (uint32_t)sizeof head + head[1];
    count++;
  }
  memcpy(copy + 8, &count, sizeof count);
  *kept = used;
  char *smaller = realloc(copy, used);
  return smaller ? smaller : copy;
}

bool plan_next(struct reader *section, uint32_t *index, struct op *op) {
  if (section->at == section->end) return false;
  *op = (struct op){.index = (*index)++, .code = get_u16(section), .flags = get_u16(section)};
  uint32_t bytes = get_u32(section);
  const char *at = take(section, bytes);
  if (!at) return false;
  op->fields = (struct reader){at, at + bytes, false};
  return true;
}

void detail(struct failure *failure, const char *text) {
  size_t length = strnlen(text, sizeof failure->detail - 1);
  memcpy(failure->detail, text, length);
  failure->detail[length] = 0;
}

int plan_run(const char *plan, size_t length, enum section section, struct failure *failure,
             int (*step)(void *context, struct op *op, struct failure *failure), void *context) {
  struct reader ops = plan_section(plan, length, section);
  struct op op = {0};
  uint32_t index = 0;
  while (plan_next(&ops, &index, &op)) {
    failure->detail[0] = 0;
    int result = step(context, &op, failure);
    if (op.fields.bad) result = -1, errno = EBADMSG;
    if (result == 0 || (op.flags & OP_MAY_FAIL)) continue;
    failure->section = section, failure->index = op.index, failure->code = op.code, failure->error = errno;
    return -1;
  }
  if (!ops.bad) return 0;
  failure->section = section, failure->index = index, failure->code = 0, failure->error = EBADMSG;
  return -1;
}
