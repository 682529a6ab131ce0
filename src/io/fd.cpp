#include "io/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace segue {

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = other.release();
    }
    return *this;
}

Fd::~Fd() { reset(); }

void Fd::reset() noexcept {
    // Never repeated after EINTR: Linux has freed the number by then, and it may be another file's.
    if (fd_ >= 0) ::close(release());
}

Fd Fd::duplicate() const noexcept { return Fd(fd_ < 0 ? -1 : ::fcntl(fd_, F_DUPFD_CLOEXEC, 0)); }

}  // namespace segue
