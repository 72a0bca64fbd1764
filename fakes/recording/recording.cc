#include "fakes/recording/recording.h"

namespace pollux {

int Translation::Fd(int recorded) const {
  const auto found = fds.find(recorded);
  return found != fds.end() ? found->second : recorded;  // -1, AT_FDCWD; or one that is not open
}

io_context_t Translation::Context(uint64_t recorded) const {
  const auto found = contexts.find(recorded);
  return found != contexts.end() ? found->second : nullptr;
}

char* Translation::Address(uint64_t recorded, size_t length) const {
  for (const Area& area : areas) {
    if (recorded < area.recorded) continue;
    const uint64_t into = recorded - area.recorded;
    if (into < area.length && length <= area.length - into) return area.here + into;
  }
  return nullptr;
}

iocb* Translation::RequestFor(const iocb& recorded, uint64_t at) {
  Request& request = requests[at];
  const size_t length = recorded.u.c.nbytes;
  request.control = recorded;
  request.control.aio_fildes = Fd(recorded.aio_fildes);
  request.control.u.c.buf = Address(reinterpret_cast<uintptr_t>(recorded.u.c.buf), length);
  if (request.control.u.c.buf == nullptr) {
    request.own = std::make_shared<std::vector<char>>(length + 4096);
    const auto start = reinterpret_cast<uintptr_t>(request.own->data());
    request.control.u.c.buf = request.own->data() + ((4096 - start % 4096) % 4096);
  }
  constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD
  if ((recorded.u.c.flags & kResfd) != 0) {
    request.control.u.c.resfd = static_cast<unsigned>(Fd(static_cast<int>(recorded.u.c.resfd)));
  }
  return &request.control;
}

}  // namespace pollux
