#include "tests/sys/kernel_world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <cerrno>

#include "tests/sys/linux_world.h"
#include "tests/sys/sim_world.h"

namespace pollux {

std::string FileBytes(uint64_t offset, size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = FileByte(offset + i);
  return bytes;
}

std::vector<WorldFactory> AllWorlds() {
  return {{"Linux", [] { return std::make_unique<LinuxWorld>(); }},
          {"Simulated", [] { return std::make_unique<SimWorld>(); }}};
}

Fd ContractTest::OpenDirect(size_t size) {
  const std::string path = world_->MakeFile(size);
  Result<int> fd = kernel_.openat(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC, 0);
  if (!fd) {
    EXPECT_EQ(fd.error().code, EINVAL) << ToString(fd.error());  // open(2): no O_DIRECT here
    return {};
  }
  return {kernel_, *fd};
}

Mapping ContractTest::Pages(size_t bytes) {
  Result<void*> address =
      kernel_.mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!address) {
    ADD_FAILURE() << ToString(address.error());
    return {};
  }
  return {kernel_, *address, bytes};
}

Thread ContractTest::Spawn(std::function<void()> body) {
  Result<ThreadId> id = kernel_.thread_create("contract", std::move(body));
  if (!id) {
    ADD_FAILURE() << ToString(id.error());
    return {};
  }
  return {kernel_, *id};
}

ContractTest::Connection ContractTest::Connect() {
  Connection made;
  Result<Fd> listener = OwnFd(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (!listener ||
      !kernel_.bind(listener->get(), reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) ||
      !kernel_.listen(listener->get(), 1) ||
      !kernel_.getsockname(listener->get(), reinterpret_cast<sockaddr*>(&bound), &length)) {
    ADD_FAILURE() << "cannot listen on loopback";
    return made;
  }
  made.peer = world_->Connect(bound);
  EXPECT_EQ(Await(listener->get(), POLLIN), POLLIN);
  Result<int> fd = kernel_.accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (!fd) {
    ADD_FAILURE() << ToString(fd.error());
    return made;
  }
  made.fd = Fd(kernel_, *fd);
  return made;
}

short ContractTest::Await(int fd, short events) {
  pollfd entry{fd, events, 0};
  Result<int> ready = kernel_.poll(&entry, 1, 10'000);
  EXPECT_TRUE(ready && *ready == 1) << "descriptor " << fd << " did not become ready";
  return entry.revents;
}

}  // namespace pollux
