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

}  // namespace

int main(int argc, char** argv) {
  const char *interface = nullptr, *path = nullptr;
  int port = 0;
  size_t mss = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return fputs(kUsage, stdout), 0;
    if (!strcmp(argv[i], "--port") && i + 1 < argc) port = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--mss") && i + 1 < argc) mss = atoi(argv[++i]);
    else if (!interface) interface = argv[i];
    else if (!path) path = argv[i];
    else return fputs(kUsage, stderr), 2;
  }
  if (!interface || !path) return fputs(kUsage, stderr), 2;

  const int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);  // 0: nothing yet, until bound
  if (s < 0) return perror("meter: packet socket (root is needed)"), 1;
  const int on = 1, room = 64 << 20;
  setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) || setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on))
    return perror("meter"), 1;
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ALL);
  where.sll_ifindex = if_nametoindex(interface);
  if (!where.sll_ifindex || bind(s, reinterpret_cast<sockaddr*>(&where), sizeof where)) return perror("meter: interface"), 1;
  FILE* out = fopen(path, "w");
  if (!out) return perror("meter: file"), 1;

  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  puts("ready");
  fclose(stdout);
  sched_param priority{};
  priority.sched_priority = 1;
  sched_setscheduler(0, SCHED_FIFO, &priority);

  const int64_t real_to_mono = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
  int64_t bin = -1;
  uint64_t bytes = 0;
  const auto flush = [&] { if (bytes) fprintf(out, "%lld %llu\n", (long long)bin, (unsigned long long)bytes); bytes = 0; };

  uint8_t data[256];  // headers are enough; MSG_TRUNC tells the whole length
  alignas(cmsghdr) char control[256];
  pollfd wait{s, POLLIN, 0};
  bool draining = false;
  for (;;) {
    if (stop_asked) draining = true;
    if (draining) {
      if (poll(&wait, 1, 0) <= 0) break;
    } else if (poll(&wait, 1, 200) <= 0) {
      flush();
      fflush(out);
      continue;
    }
    sockaddr_ll from{};
    iovec part{data, sizeof data};
    msghdr m{};
    m.msg_name = &from;
    m.msg_namelen = sizeof from;
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(s, &m, MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      perror("meter: recv");
      break;
    }
    if (from.sll_pkttype != PACKET_OUTGOING || n < (ssize_t)sizeof(VnetHeader)) continue;
    VnetHeader header;
    memcpy(&header, data, sizeof header);
    const size_t length = n - sizeof header;
    const size_t captured = (length < sizeof data - sizeof header) ? length : sizeof data - sizeof header;
    const Frame frame{data + sizeof header, captured, length};
    int source = 0, destination = 0;
    const size_t headers = tcp_headers(frame, &source, &destination);
    if (port && (!headers || (source != port && destination != port))) continue;
    uint64_t wire = length;
    const size_t segment = mss ? mss : header.gso_type ? header.gso_size : 0;
    if (headers && segment && length > headers + segment)
      wire += (uint64_t)((length - headers + segment - 1) / segment - 1) * headers;
    int64_t stamp = clock_ns(CLOCK_MONOTONIC);
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
        timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        stamp = t.tv_sec * 1000000000LL + t.tv_nsec + real_to_mono;
      }
    const int64_t ms = stamp / 1000000;
    if (ms != bin) {
      flush();
      bin = ms;
    }
    bytes += wire;
  }
  flush();
  fclose(out);
  tpacket_stats dropped{};
  socklen_t size = sizeof dropped;
  getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &dropped, &size);
  if (dropped.tp_drops) return fprintf(stderr, "meter: %u frames were not seen\n", dropped.tp_drops), 1;
  return 0;
}
