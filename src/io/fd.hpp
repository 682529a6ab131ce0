#pragma once
/// \file  A file descriptor that closes itself.

#include <utility>

namespace segue {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd();

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;
    /// A second descriptor of the same open file, close-on-exec. Empty on failure.
    [[nodiscard]] Fd duplicate() const noexcept;

private:
    int fd_ = -1;
};

}  // namespace segue
