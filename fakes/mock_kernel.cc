#include "fakes/mock_kernel.h"

namespace pollux {

MockKernel::MockKernel() = default;
MockKernel::~MockKernel() = default;

void MockKernel::DelegateTo(Kernel& kernel) {
  using ::testing::Invoke;
  ON_CALL(*this, openat).WillByDefault(Invoke(&kernel, &Kernel::openat));
  ON_CALL(*this, openat2).WillByDefault(Invoke(&kernel, &Kernel::openat2));
  ON_CALL(*this, close).WillByDefault(Invoke(&kernel, &Kernel::close));
  ON_CALL(*this, fstat).WillByDefault(Invoke(&kernel, &Kernel::fstat));
  ON_CALL(*this, statx).WillByDefault(Invoke(&kernel, &Kernel::statx));
  ON_CALL(*this, read).WillByDefault(Invoke(&kernel, &Kernel::read));
  ON_CALL(*this, pread).WillByDefault(Invoke(&kernel, &Kernel::pread));
  ON_CALL(*this, preadv2).WillByDefault(Invoke(&kernel, &Kernel::preadv2));
  ON_CALL(*this, write).WillByDefault(Invoke(&kernel, &Kernel::write));
  ON_CALL(*this, cachestat).WillByDefault(Invoke(&kernel, &Kernel::cachestat));
  ON_CALL(*this, posix_fadvise).WillByDefault(Invoke(&kernel, &Kernel::posix_fadvise));
  ON_CALL(*this, getdents64).WillByDefault(Invoke(&kernel, &Kernel::getdents64));
  ON_CALL(*this, memfd_create).WillByDefault(Invoke(&kernel, &Kernel::memfd_create));
  ON_CALL(*this, ftruncate).WillByDefault(Invoke(&kernel, &Kernel::ftruncate));
  ON_CALL(*this, fallocate).WillByDefault(Invoke(&kernel, &Kernel::fallocate));
  ON_CALL(*this, mmap).WillByDefault(Invoke(&kernel, &Kernel::mmap));
  ON_CALL(*this, munmap).WillByDefault(Invoke(&kernel, &Kernel::munmap));
  ON_CALL(*this, madvise).WillByDefault(Invoke(&kernel, &Kernel::madvise));
  ON_CALL(*this, socket).WillByDefault(Invoke(&kernel, &Kernel::socket));
  ON_CALL(*this, socketpair).WillByDefault(Invoke(&kernel, &Kernel::socketpair));
  ON_CALL(*this, bind).WillByDefault(Invoke(&kernel, &Kernel::bind));
  ON_CALL(*this, listen).WillByDefault(Invoke(&kernel, &Kernel::listen));
  ON_CALL(*this, accept4).WillByDefault(Invoke(&kernel, &Kernel::accept4));
  ON_CALL(*this, getsockname).WillByDefault(Invoke(&kernel, &Kernel::getsockname));
  ON_CALL(*this, setsockopt).WillByDefault(Invoke(&kernel, &Kernel::setsockopt));
  ON_CALL(*this, getsockopt).WillByDefault(Invoke(&kernel, &Kernel::getsockopt));
  ON_CALL(*this, recv).WillByDefault(Invoke(&kernel, &Kernel::recv));
  ON_CALL(*this, send).WillByDefault(Invoke(&kernel, &Kernel::send));
  ON_CALL(*this, writev).WillByDefault(Invoke(&kernel, &Kernel::writev));
  ON_CALL(*this, sendfile).WillByDefault(Invoke(&kernel, &Kernel::sendfile));
  ON_CALL(*this, shutdown).WillByDefault(Invoke(&kernel, &Kernel::shutdown));
  ON_CALL(*this, ioctl_outq).WillByDefault(Invoke(&kernel, &Kernel::ioctl_outq));
  ON_CALL(*this, epoll_create1).WillByDefault(Invoke(&kernel, &Kernel::epoll_create1));
  ON_CALL(*this, epoll_ctl).WillByDefault(Invoke(&kernel, &Kernel::epoll_ctl));
  ON_CALL(*this, epoll_pwait).WillByDefault(Invoke(&kernel, &Kernel::epoll_pwait));
  ON_CALL(*this, poll).WillByDefault(Invoke(&kernel, &Kernel::poll));
  ON_CALL(*this, ppoll).WillByDefault(Invoke(&kernel, &Kernel::ppoll));
  ON_CALL(*this, eventfd).WillByDefault(Invoke(&kernel, &Kernel::eventfd));
  ON_CALL(*this, io_setup).WillByDefault(Invoke(&kernel, &Kernel::io_setup));
  ON_CALL(*this, io_destroy).WillByDefault(Invoke(&kernel, &Kernel::io_destroy));
  ON_CALL(*this, io_submit).WillByDefault(Invoke(&kernel, &Kernel::io_submit));
  ON_CALL(*this, io_cancel).WillByDefault(Invoke(&kernel, &Kernel::io_cancel));
  ON_CALL(*this, io_getevents).WillByDefault(Invoke(&kernel, &Kernel::io_getevents));
  ON_CALL(*this, io_pgetevents).WillByDefault(Invoke(&kernel, &Kernel::io_pgetevents));
  ON_CALL(*this, sigaction).WillByDefault(Invoke(&kernel, &Kernel::sigaction));
  ON_CALL(*this, pthread_sigmask).WillByDefault(Invoke(&kernel, &Kernel::pthread_sigmask));
  ON_CALL(*this, sigpending).WillByDefault(Invoke(&kernel, &Kernel::sigpending));
  ON_CALL(*this, kill).WillByDefault(Invoke(&kernel, &Kernel::kill));
  ON_CALL(*this, tgkill).WillByDefault(Invoke(&kernel, &Kernel::tgkill));
  ON_CALL(*this, fork).WillByDefault(Invoke(&kernel, &Kernel::fork));
  ON_CALL(*this, waitpid).WillByDefault(Invoke(&kernel, &Kernel::waitpid));
  ON_CALL(*this, getpid).WillByDefault(Invoke(&kernel, &Kernel::getpid));
  ON_CALL(*this, gettid).WillByDefault(Invoke(&kernel, &Kernel::gettid));
  ON_CALL(*this, geteuid).WillByDefault(Invoke(&kernel, &Kernel::geteuid));
  ON_CALL(*this, getrlimit).WillByDefault(Invoke(&kernel, &Kernel::getrlimit));
  ON_CALL(*this, setrlimit).WillByDefault(Invoke(&kernel, &Kernel::setrlimit));
  ON_CALL(*this, setgroups).WillByDefault(Invoke(&kernel, &Kernel::setgroups));
  ON_CALL(*this, setgid).WillByDefault(Invoke(&kernel, &Kernel::setgid));
  ON_CALL(*this, setuid).WillByDefault(Invoke(&kernel, &Kernel::setuid));
  ON_CALL(*this, getpwnam).WillByDefault(Invoke(&kernel, &Kernel::getpwnam));
  ON_CALL(*this, clock_gettime).WillByDefault(Invoke(&kernel, &Kernel::clock_gettime));
  ON_CALL(*this, thread_create).WillByDefault(Invoke(&kernel, &Kernel::thread_create));
  ON_CALL(*this, thread_join).WillByDefault(Invoke(&kernel, &Kernel::thread_join));
  ON_CALL(*this, mutex_create).WillByDefault(Invoke(&kernel, &Kernel::mutex_create));
  ON_CALL(*this, condvar_create).WillByDefault(Invoke(&kernel, &Kernel::condvar_create));
  ON_CALL(*this, word_create).WillByDefault(Invoke(&kernel, &Kernel::word_create));
}

}  // namespace pollux

template class testing::NiceMock<pollux::MockKernel>;
template class testing::StrictMock<pollux::MockKernel>;
