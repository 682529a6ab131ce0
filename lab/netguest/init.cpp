// The network guest's only process: pid 1 on Debian's kernel. lab/netguest/README.md says what it serves.
//
// One loop, one timer of 2 ms. A second thread writes memory, so that a move has something to carry.
#include "guest.hpp"

#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr int kTickNs = 2'000'000;
constexpr uint16_t kTcpPort = 7000, kUdpPort = 7001, kBeatPort = 0xE9;
constexpr size_t kPage = 4096;

std::atomic<uint32_t> pages_written{0};
std::atomic<uint16_t> errors{0};

// Each page holds the number of the pass that wrote it last: anything else was lost or is stale.
void write_memory(size_t bytes, uint64_t bytes_per_second) {
  setpriority(PRIO_PROCESS, syscall(SYS_gettid), 19);
  auto* memory = static_cast<volatile uint64_t*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) stop("mmap");
  const uint64_t tick_pages = bytes_per_second / kPage * kTickNs / 1'000'000'000;
  uint64_t in_tick = 0;
  for (uint64_t pass = 1;; ++pass) {
    for (size_t at = 0; at < bytes / sizeof *memory; at += kPage / sizeof *memory) {
      if (memory[at] != pass - 1 && errors < UINT16_MAX) ++errors;
      memory[at] = pass;
      ++pages_written;
      if (bytes_per_second && ++in_tick >= tick_pages) {
        in_tick = 0;
        const timespec nap{0, kTickNs};
        nanosleep(&nap, nullptr);
      }
    }
  }
}

// The record of lab/guest/README.md.
void beat(uint32_t sequence) {
  uint8_t r[16] = {0x5E, 0x47, 1, uint8_t(errors ? 4 : 0)};
  const uint32_t work = pages_written;
  const uint16_t bad = errors;
  memcpy(r + 4, &sequence, 4);
  memcpy(r + 8, &work, 4);
  memcpy(r + 12, &bad, 2);
  uint16_t sum = 0;
  for (int i = 0; i < 7; i++) sum += r[2 * i] | r[2 * i + 1] << 8;
  sum = ~sum;
  memcpy(r + 14, &sum, 2);
  for (const uint8_t byte : r) outb(byte, kBeatPort);
}

struct Record {
  uint64_t number, guest_ns;
};

struct Client {
  int fd;
  char mode = 0;      // 'T': we talk every tick; 'E': we echo; 0: it has not said.
  uint64_t next = 0;  // Number of its next record.
};

// Returns false when the client is to be closed. A full buffer closes it too: nothing may be left out.
bool say(Client& client) {
  const Record r{client.next++, uint64_t(now_ns())};
  return send(client.fd, &r, sizeof r, MSG_NOSIGNAL) == sizeof r;
}

bool hear(Client& client) {
  char text[4096];
  const ssize_t got = recv(client.fd, text, sizeof text, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  size_t from = 0;
  if (!client.mode) client.mode = text[from++];
  if (client.mode != 'E' || from == size_t(got)) return true;
  return send(client.fd, text + from, got - from, MSG_NOSIGNAL) == ssize_t(got - from);
}

class Server {
 public:
  Server() : tcp_(listening(SOCK_STREAM, kTcpPort)), udp_(listening(SOCK_DGRAM, kUdpPort)) {
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    const itimerspec every{{0, kTickNs}, {0, kTickNs}};
    if (timer_ < 0 || timerfd_settime(timer_, 0, &every, nullptr)) stop("timer");
  }

  [[noreturn]] void run() {
    for (;;) {
      std::vector<pollfd> waits{{timer_, POLLIN, 0}, {tcp_, POLLIN, 0}, {udp_, POLLIN, 0}};
      for (const auto& client : clients_) waits.push_back({client.fd, POLLIN, 0});
      if (poll(waits.data(), waits.size(), -1) < 0) continue;
      for (size_t i = clients_.size(); i-- > 0;) {
        if (waits[3 + i].revents && !hear(clients_[i])) drop(i);
      }
      if (waits[2].revents) take_datagrams();
      if (waits[1].revents) take_connections();
      if (waits[0].revents) tick();
    }
  }

 private:
  void drop(size_t i) {
    close(clients_[i].fd);
    clients_.erase(clients_.begin() + i);
  }

  // Ticks that the timer skipped are not made up for; numbers never skip.
  void tick() {
    uint64_t missed;
    if (read(timer_, &missed, sizeof missed) != sizeof missed) return;
    for (size_t i = clients_.size(); i-- > 0;) {
      if (clients_[i].mode == 'T' && !say(clients_[i])) drop(i);
    }
    if (listener_.sin_port) {
      const Record r{datagrams_++, uint64_t(now_ns())};
      sendto(udp_, &r, sizeof r, 0, reinterpret_cast<sockaddr*>(&listener_), sizeof listener_);
    }
    if (ticks_++ % 2 == 0) beat(beats_++);
  }

  void take_connections() {
    int fd;
    while ((fd = accept4(tcp_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      clients_.push_back({fd});
    }
  }

  // "T": counters to that sender from now on; "Q": no more; anything else is echoed.
  void take_datagrams() {
    char text[2048];
    sockaddr_in from{};
    socklen_t length = sizeof from;
    ssize_t got;
    while ((got = recvfrom(udp_, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &length)) >= 0) {
      if (got == 1 && text[0] == 'T') listener_ = from;
      else if (got == 1 && text[0] == 'Q') listener_ = {};
      else sendto(udp_, text, got, 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }

  int tcp_, udp_, timer_;
  std::vector<Client> clients_;
  sockaddr_in listener_{};
  uint64_t datagrams_ = 0, ticks_ = 0;
  uint32_t beats_ = 0;
};

}  // namespace

int main() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string line = command_line();
  load_modules();
  set_interfaces(line);
  if (ioperm(kBeatPort, 1, 1)) stop("ioperm");
  const size_t hot = strtoul(parameter(line, "hot", "16").c_str(), nullptr, 10) << 20;
  const uint64_t rate = strtoull(parameter(line, "rate", "20").c_str(), nullptr, 10) << 20;
  if (hot) std::thread(write_memory, hot, rate).detach();
  Server server;
  const sched_param first{1};
  sched_setscheduler(0, SCHED_FIFO, &first);
  printf("ready hot=%zu rate=%llu after %lld ms\n", hot >> 20, static_cast<unsigned long long>(rate >> 20),
         static_cast<long long>(now_ns() / 1'000'000));
  server.run();
}
