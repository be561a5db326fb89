// Sockets: fds over unix sockets, netlink, and sockets of other network namespaces.
#include "call.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static napi_value Socketpair(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  int fds[2];
  if (socketpair(AF_UNIX, (int)arg_int(&c, 0) | SOCK_CLOEXEC, 0, fds) < 0) return answer(&c, -errno);
  napi_value pair, number;
  napi_create_array_with_length(env, 2, &pair);
  for (uint32_t i = 0; i < 2; i++) {
    napi_create_int32(env, fds[i], &number);
    napi_set_element(env, pair, i, number);
  }
  return pair;
}

#define MAX_FDS 253 // SCM_MAX_FD

static napi_value SendFds(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
  } control = {0};
  int count;
  size_t length;
  void *data = arg_bytes(&c, 1, &length);
  int *fds = arg_ints(&c, 2, &count);
  if (count > MAX_FDS) return answer(&c, -E2BIG);
  struct iovec vector = {data, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
  }
  return answer(&c, failed(sendmsg((int)arg_int(&c, 0), &message, MSG_NOSIGNAL)));
}

static napi_value RecvFds(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
  } control;
  size_t length = (size_t)arg_int(&c, 1);
  char *data = malloc(length + 1);
  if (!data) return answer(&c, -ENOMEM);
  struct iovec vector = {data, length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg((int)arg_int(&c, 0), &message, MSG_CMSG_CLOEXEC);
  int error = errno;
  uint32_t found = 0;
  for (struct cmsghdr *h = got < 0 ? NULL : CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= h->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd;
      napi_value number;
      memcpy(&fd, CMSG_DATA(h) + at, sizeof fd);
      napi_create_int32(env, fd, &number);
      napi_set_element(env, c.args[2], found++, number);
    }
  }
  napi_value result = got < 0 ? answer(&c, -error) : answer_bytes(&c, data, (size_t)got);
  free(data);
  return result;
}

#define OUR_NETNS -1
#define NEW_NETNS -2

struct visit {
  int netns; // to enter
  int family, type, protocol;
};

// A socket in another network namespace, or in a new one.
static int64_t visit(void *data) {
  const struct visit *v = data;
  if ((v->netns == NEW_NETNS ? unshare(CLONE_NEWNET) : setns(v->netns, CLONE_NEWNET)) < 0) return -errno;
  return failed(socket(v->family, v->type | SOCK_CLOEXEC, v->protocol));
}

static napi_value NetnsOf(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  return answer(&c, failed(ioctl((int)arg_int(&c, 0), SIOCGSKNS)));
}

static napi_value NetlinkOpen(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct visit v = {.netns = (int)arg_int(&c, 1), .family = AF_NETLINK, .type = SOCK_RAW, .protocol = (int)arg_int(&c, 0)};
  int fd = (int)(v.netns != OUR_NETNS ? on_own_thread(visit, &v) : failed(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, v.protocol)));
  if (fd < 0) return answer(&c, fd);
  int on = 1, large = 1 << 20;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large) < 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large) < 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return answer(&c, -error);
  }
  return answer(&c, fd);
}

static napi_value Send(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  size_t length;
  void *data = arg_bytes(&c, 1, &length);
  return answer(&c, failed(send((int)arg_int(&c, 0), data, length, MSG_NOSIGNAL)));
}

static napi_value Recv(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  int fd = (int)arg_int(&c, 0);
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  int polled = poll(&ready, 1, (int)arg_int(&c, 1));
  if (polled <= 0) return answer(&c, polled == 0 || errno == EINTR ? -EAGAIN : -errno);
  ssize_t length = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (length < 0) return answer(&c, -errno);
  char *data = malloc((size_t)length + 1);
  if (!data) return answer(&c, -ENOMEM);
  length = recv(fd, data, (size_t)length, MSG_DONTWAIT);
  napi_value result = length < 0 ? answer(&c, -errno) : answer_bytes(&c, data, (size_t)length);
  free(data);
  return result;
}

/* poll(2) of one fd without waiting: what is the case with it now. */
static napi_value Poll(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct pollfd ready = {.fd = (int)arg_int(&c, 0), .events = (short)arg_int(&c, 1)};
  return poll(&ready, 1, 0) < 0 ? answer(&c, -errno) : answer(&c, ready.revents);
}

static napi_value Setsockopt(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  int value = (int)arg_int(&c, 3);
  return answer(&c, failed(setsockopt((int)arg_int(&c, 0), (int)arg_int(&c, 1), (int)arg_int(&c, 2), &value, sizeof value)));
}

static napi_value SocketInNetns(napi_env env, napi_callback_info info) {
  struct call c = call_begin(env, info);
  struct visit v = {.netns = (int)arg_int(&c, 0), .family = (int)arg_int(&c, 1), .type = (int)arg_int(&c, 2) | SOCK_NONBLOCK};
  const char *text = arg_string(&c, 3);
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)arg_int(&c, 4))};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
  bool six = v.family == AF_INET6;
  if (inet_pton(v.family, text ? text : "", six ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1) return answer(&c, -EINVAL);
  int fd = (int)on_own_thread(visit, &v), on = 1, backlog = (int)arg_int(&c, 5);
  if (fd < 0) return answer(&c, fd);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (six) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, six ? (void *)&v6 : (void *)&v4, six ? sizeof v6 : sizeof v4) < 0 || (backlog > 0 && listen(fd, backlog) < 0)) {
    int error = errno;
    close(fd);
    return answer(&c, -error);
  }
  return answer(&c, fd);
}

const struct function socket_functions[] = {
    {"socketpair", Socketpair},   {"sendFds", SendFds},         {"recvFds", RecvFds},
    {"netlinkOpen", NetlinkOpen}, {"netnsOf", NetnsOf}, {"poll", Poll},
    {"send", Send},               {"recv", Recv},               {"setsockopt", Setsockopt},
    {"socketInNetns", SocketInNetns},
    {0},
};
