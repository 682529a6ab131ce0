#include "store/sqlite/disk_test.hpp"

#include <sqlite3.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

namespace segue {

TestDisk& test_disk() {
    static TestDisk disk;
    return disk;
}

namespace {

int sync(long number, int fd) {
    TestDisk& disk = test_disk();
    ++disk.syncs;
    if (const int ms = disk.sync_milliseconds; ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds{ms});
    if (const int code = disk.sync_error; code != 0) {
        errno = code;
        return -1;
    }
    return static_cast<int>(::syscall(number, fd));
}

ssize_t no_space() {
    errno = ENOSPC;
    return -1;
}
ssize_t full_write(int, const void*, std::size_t) { return no_space(); }
ssize_t full_pwrite(int, const void*, std::size_t, off_t) { return no_space(); }

/// SQLite lets tests replace its system calls; null brings the real one back.
void set_call(const char* name, sqlite3_syscall_ptr call) {
    sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    static_cast<void>(vfs->xSetSystemCall(vfs, name, call));
}

}  // namespace

FullDisk::FullDisk() {
    sqlite3_initialize();
    set_call("write", reinterpret_cast<sqlite3_syscall_ptr>(full_write));
    set_call("pwrite", reinterpret_cast<sqlite3_syscall_ptr>(full_pwrite));
    set_call("pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(full_pwrite));
}

FullDisk::~FullDisk() {
    for (const char* name : {"write", "pwrite", "pwrite64"}) set_call(name, nullptr);
}

}  // namespace segue

extern "C" int fdatasync(int fd) { return segue::sync(SYS_fdatasync, fd); }
extern "C" int fsync(int fd) { return segue::sync(SYS_fsync, fd); }
