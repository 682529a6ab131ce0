// Stamps the lab guest's heartbeats with the host's monotonic clock.
//
// QEMU writes 16-byte records (guest/README.md) into a FIFO; each becomes one line
// "mono_ns seq work errors". One thread reads and stamps, another writes the file,
// so that a slow disk never delays a stamp. Ends when QEMU closes the FIFO.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kRecord = 16;
constexpr size_t kRing = 1 << 14;  // 80 s of beats

struct Beat {
  int64_t mono_ns;
  uint32_t sequence, work;
  uint16_t errors;
};

Beat ring[kRing];
std::atomic<size_t> head{0}, tail{0};
std::atomic<bool> ended{false};

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

bool decode(const uint8_t* r, Beat* beat) {
  if (r[0] != 0x5E || r[1] != 0x47 || r[2] != 1) return false;
  uint16_t sum = 0;
  for (int i = 0; i < 7; i++) sum += r[2 * i] | r[2 * i + 1] << 8;
  if (uint16_t(~sum) != (r[14] | r[15] << 8)) return false;
  memcpy(&beat->sequence, r + 4, 4);
  memcpy(&beat->work, r + 8, 4);
  memcpy(&beat->errors, r + 12, 2);
  return true;
}

void write_beats(int out) {
  std::string text;
  for (;;) {
    const bool last = ended.load(std::memory_order_acquire);
    size_t t = tail.load(std::memory_order_relaxed);
    const size_t h = head.load(std::memory_order_acquire);
    text.clear();
    for (; t != h; t++) {
      char line[80];
      const Beat& b = ring[t % kRing];
      const int length = snprintf(line, sizeof line, "%lld %u %u %u\n", (long long)b.mono_ns, b.sequence, b.work,
                                  b.errors);
      text.append(line, length);
    }
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = write(out, text.data() + done, text.size() - done);
      if (n <= 0) { perror("recorder: beats file"); _exit(1); }
      done += n;
    }
    tail.store(t, std::memory_order_release);
    if (last) return;
    usleep(5000);
  }
}

const char kUsage[] =
    "usage: recorder FIFO BEATS\n\n"
    "Reads the guest's heartbeats from FIFO (made if it is not there) and appends lines\n"
    "\"mono_ns seq work errors\" to BEATS. Prints \"ready\" once it listens; ends when the\n"
    "writer closes the FIFO, and removes the FIFO.\n";

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) return fputs(kUsage, stdout), 0;
  if (argc != 3) return fputs(kUsage, stderr), 2;
  const char* fifo = argv[1];
  if (mkfifo(fifo, 0600) != 0 && errno != EEXIST) return perror("recorder: mkfifo"), 1;
  const int in = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const int out = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (in < 0 || out < 0) return perror("recorder"), 1;
  fcntl(in, F_SETPIPE_SZ, 1 << 18);  // room for a recorder that is kept from running
  std::thread writer(write_beats, out);
  // The reading thread only: a stamp must not wait for a build on the same machine.
  sched_param priority{};
  priority.sched_priority = 1;
  sched_setscheduler(0, SCHED_FIFO, &priority);
  mlockall(MCL_CURRENT);
  fputs("ready\n", stdout);
  fclose(stdout);

  pollfd wait{in, POLLIN, 0};
  if (poll(&wait, 1, 60000) <= 0) { unlink(fifo); _exit(1); }  // no QEMU came
  fcntl(in, F_SETFL, 0);
  uint8_t record[kRecord];
  size_t have = 0;
  uint64_t lost_bytes = 0;
  for (;;) {
    const ssize_t n = read(in, record + have, kRecord - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += n;
    if (have < kRecord) continue;
    Beat beat;
    if (decode(record, &beat)) {
      beat.mono_ns = now_ns();
      const size_t h = head.load(std::memory_order_relaxed);
      if (h - tail.load(std::memory_order_acquire) < kRing) {
        ring[h % kRing] = beat;
        head.store(h + 1, std::memory_order_release);
      }
      have = 0;
    } else {
      memmove(record, record + 1, --have);  // find the next record's start
      lost_bytes++;
    }
  }
  ended.store(true, std::memory_order_release);
  writer.join();
  unlink(fifo);
  if (lost_bytes) return fprintf(stderr, "recorder: %llu bytes were no heartbeat\n", (unsigned long long)lost_bytes), 1;
  return 0;
}
