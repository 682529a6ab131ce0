// Makes flushes slow on demand: preload into QEMU, then create the file named by
// SLOWFLUSH_WHEN. While it exists every fsync and fdatasync waits SLOWFLUSH_MS first.
// The calls themselves go straight to the kernel, so the same build serves another
// libc than the one it was built with.
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_if_told(void) {
  const char* when = getenv("SLOWFLUSH_WHEN");
  const char* ms = getenv("SLOWFLUSH_MS");
  if (!when || !ms || access(when, F_OK) != 0) return;
  long n = atol(ms);
  struct timespec t = {n / 1000, n % 1000 * 1000000};
  while (nanosleep(&t, &t) != 0) {}
}

int fsync(int fd) {
  wait_if_told();
  return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  wait_if_told();
  return (int)syscall(SYS_fdatasync, fd);
}
