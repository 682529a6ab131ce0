#pragma once
/// \file  What both programs of the network guest need as pid 1 of Debian's kernel. They end the guest's work with a
///        line "error: ..." on the serial port: nobody else is there to see it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

// Said on the serial port; the lab waits for the line that begins with "ready ".
[[noreturn]] inline void stop(const std::string& why) {
  printf("error: %s: %s\n", why.c_str(), strerror(errno));
  fflush(stdout);
  for (;;) pause();
}

inline int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

inline std::string parameter(const std::string& line, const std::string& key, const std::string& otherwise) {
  const auto at = (" " + line).find(" " + key + "=");
  if (at == std::string::npos) return otherwise;
  const auto begin = at + key.size() + 1;
  return line.substr(begin, line.find_first_of(" \n", begin) - begin);
}

inline std::string command_line() {
  mkdir("/proc", 0755);
  if (mount("proc", "/proc", "proc", 0, nullptr)) stop("mount /proc");
  char text[4096] = {};
  const int fd = open("/proc/cmdline", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) stop("read /proc/cmdline");
  close(fd);
  return text;
}

// In the order of their dependencies, which lab/netguest/build writes down.
inline void load_modules() {
  FILE* list = fopen("/modules", "r");
  if (!list) stop("open /modules");
  char name[256];
  while (fscanf(list, "%255s", name) == 1) {
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) stop(name);
    close(fd);
  }
  fclose(list);
}

inline sockaddr_in address(const char* text, uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  if (inet_pton(AF_INET, text, &a.sin_addr) != 1) stop(std::string("address ") + text);
  return a;
}

inline void set_interface(int fd, const char* name, const char* ip) {
  ifreq r{};
  snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
  const auto set = [&](unsigned long what, const char* value) {
    const sockaddr_in a = address(value, 0);
    memcpy(&r.ifr_addr, &a, sizeof a);
    if (ioctl(fd, what, &r)) stop(std::string("address of ") + name);
  };
  set(SIOCSIFADDR, ip);
  set(SIOCSIFNETMASK, "255.255.255.0");
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &r)) stop(std::string("up ") + name);
}

inline int listening(int type, uint16_t port) {
  const int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const sockaddr_in any = address("0.0.0.0", port);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any)) stop("bind");
  if (type == SOCK_STREAM && listen(fd, 8)) stop("listen");
  return fd;
}

inline void set_interfaces(const std::string& line) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  set_interface(fd, "lo", "127.0.0.1");
  set_interface(fd, "eth0", parameter(line, "ip", "10.78.0.10").c_str());
  close(fd);
}
