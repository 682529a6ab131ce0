// Counts the bytes that leave an interface, frame by frame, in bins of 1 ms.
//
// A packet socket sees TCP super-frames of up to 64 KiB before the kernel cuts them.
// Each segment beyond the first costs one more Ethernet, IP and TCP header on the
// wire, so (segments - 1) times the header bytes are added. The segment size is the
// kernel's own (PACKET_VNET_HDR), or the one given.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// As in linux/virtio_net.h, which is no C++.
struct VnetHeader {
  uint8_t flags, gso_type;  // gso_type 0: not a super-frame
  uint16_t header_length, gso_size, checksum_start, checksum_offset;
};

volatile sig_atomic_t stop_asked;

const char kUsage[] =
    "usage: meter INTERFACE FILE [--port TCP_PORT] [--mss BYTES]\n\n"
    "Writes lines \"mono_ms bytes\" to FILE: bytes of whole Ethernet frames sent on INTERFACE\n"
    "in that millisecond of CLOCK_MONOTONIC, silent milliseconds left out. With --port only\n"
    "TCP segments from or to that port. --mss overrides the segment size the kernel tells.\n"
    "Prints \"ready\" when it counts; ends on SIGTERM or SIGINT.\n";

int64_t clock_ns(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct Frame {
  uint8_t* bytes;
  size_t captured, length;
};

// Length of all headers up to the TCP payload, 0 when it is not TCP.
size_t tcp_headers(const Frame& f, int* source, int* destination) {
  size_t at = 14;
  if (f.captured < 54) return 0;
  const int type = f.bytes[12] << 8 | f.bytes[13];
  if (type == 0x0800) {
    if (f.bytes[at + 9] != 6) return 0;
    at += (f.bytes[at] & 15) * 4;
  } else if (type == 0x86DD) {
    if (f.bytes[at + 6] != 6) return 0;
    at += 40;
  } else {
    return 0;
  }
  if (f.captured < at + 20) return 0;
  *source = f.bytes[at] << 8 | f.bytes[at + 1];
  *destination = f.bytes[at + 2] << 8 | f.bytes[at + 3];
  return at + (f.bytes[at + 12] >> 4) * 4;
}

struct Options {
  const char *interface = nullptr, *path = nullptr;
  int port = 0;    // 0: every frame
  size_t mss = 0;  // 0: what the kernel tells
};

// The status to exit with, or -1: go on.
int parse(int argc, char** argv, Options* o) {
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return fputs(kUsage, stdout), 0;
    if (!strcmp(argv[i], "--port") && i + 1 < argc) o->port = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--mss") && i + 1 < argc) o->mss = atoi(argv[++i]);
    else if (!o->interface) o->interface = argv[i];
    else if (!o->path) o->path = argv[i];
    else return fputs(kUsage, stderr), 2;
  }
  if (!o->interface || !o->path) return fputs(kUsage, stderr), 2;
  return -1;
}

// A packet socket bound to the interface, or -1 when that failed and was told.
int open_socket(const char* interface) {
  const int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);  // 0: nothing yet, until bound
  if (s < 0) return perror("meter: packet socket (root is needed)"), -1;
  const int on = 1, room = 64 << 20;
  setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) ||
      setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on))
    return perror("meter"), -1;
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ALL);
  where.sll_ifindex = if_nametoindex(interface);
  if (!where.sll_ifindex || bind(s, reinterpret_cast<sockaddr*>(&where), sizeof where))
    return perror("meter: interface"), -1;
  return s;
}

void stop_on_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

// Ahead of ordinary processes: what the socket's buffer has no room for is not counted.
void run_ahead() {
  sched_param priority{};
  priority.sched_priority = 1;
  sched_setscheduler(0, SCHED_FIFO, &priority);
}

// One message of the packet socket. It points into itself, so it stays where it is.
struct Message {
  uint8_t data[256];  // headers are enough; MSG_TRUNC tells the whole length
  alignas(cmsghdr) char control[256];
  sockaddr_ll from;
  iovec part;
  msghdr m;
};

ssize_t receive(int s, Message* message) {
  message->from = {};
  message->part = {message->data, sizeof message->data};
  message->m = {};  // afresh each time: the kernel overwrites the lengths
  message->m.msg_name = &message->from;
  message->m.msg_namelen = sizeof message->from;
  message->m.msg_iov = &message->part;
  message->m.msg_iovlen = 1;
  message->m.msg_control = message->control;
  message->m.msg_controllen = sizeof message->control;
  return recvmsg(s, &message->m, MSG_TRUNC | MSG_DONTWAIT);
}

// CLOCK_MONOTONIC of the frame. The kernel's stamp, where there is one: the frame may have waited in the buffer.
int64_t stamp_ns(Message* message, int64_t real_to_mono) {
  int64_t stamp = clock_ns(CLOCK_MONOTONIC);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message->m); c; c = CMSG_NXTHDR(&message->m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      stamp = t.tv_sec * 1000000000LL + t.tv_nsec + real_to_mono;
    }
  return stamp;
}

// What a message of n bytes takes on the wire; 0 when it is not to be counted.
uint64_t wire_bytes(Message* message, ssize_t n, const Options& o) {
  VnetHeader header;
  if (message->from.sll_pkttype != PACKET_OUTGOING || n < (ssize_t)sizeof header) return 0;
  memcpy(&header, message->data, sizeof header);
  const size_t length = n - sizeof header, room = sizeof message->data - sizeof header;
  const Frame frame{message->data + sizeof header, (length < room) ? length : room, length};
  int source = 0, destination = 0;
  const size_t headers = tcp_headers(frame, &source, &destination);
  if (o.port && (!headers || (source != o.port && destination != o.port))) return 0;
  const size_t segment = o.mss ? o.mss : header.gso_type ? header.gso_size : 0;
  if (!headers || !segment || length <= headers + segment) return length;
  return length + (uint64_t)((length - headers + segment - 1) / segment - 1) * headers;
}

// The millisecond that is being counted; its line is written when another begins.
struct Bin {
  FILE* out;
  int64_t ms = -1;
  uint64_t bytes = 0;

  void flush() {
    if (bytes) fprintf(out, "%lld %llu\n", (long long)ms, (unsigned long long)bytes);
    bytes = 0;
  }

  void add(int64_t at_ms, uint64_t count) {
    if (at_ms != ms) {
      flush();
      ms = at_ms;
    }
    bytes += count;
  }
};

// Counts until it is asked to stop, and then what still waits in the buffer.
void count_frames(int s, const Options& o, FILE* out) {
  const int64_t real_to_mono = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
  Bin bin{out};
  Message message;
  pollfd wait{s, POLLIN, 0};
  bool draining = false;
  for (;;) {
    if (stop_asked) draining = true;
    if (draining) {
      if (poll(&wait, 1, 0) <= 0) break;
    } else if (poll(&wait, 1, 200) <= 0) {
      bin.flush();
      fflush(out);
      continue;
    }
    const ssize_t n = receive(s, &message);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      perror("meter: recv");
      break;
    }
    if (const uint64_t wire = wire_bytes(&message, n, o)) bin.add(stamp_ns(&message, real_to_mono) / 1000000, wire);
  }
  bin.flush();
}

// Frames that the buffer had no room for: with any, the counts are too low.
unsigned frames_lost(int s) {
  tpacket_stats dropped{};
  socklen_t size = sizeof dropped;
  getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &dropped, &size);
  return dropped.tp_drops;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (const int status = parse(argc, argv, &o); status >= 0) return status;
  const int s = open_socket(o.interface);
  if (s < 0) return 1;
  FILE* out = fopen(o.path, "w");
  if (!out) return perror("meter: file"), 1;

  stop_on_signals();
  puts("ready");
  fclose(stdout);
  run_ahead();
  count_frames(s, o, out);
  fclose(out);
  if (const unsigned lost = frames_lost(s)) return fprintf(stderr, "meter: %u frames were not seen\n", lost), 1;
  return 0;
}
