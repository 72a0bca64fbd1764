#include "fakes/recording/recording.h"

#include "core/base/check.h"

namespace pollux {

int Translation::Fd(int recorded) const {
  const auto found = fds.find(recorded);
  return found != fds.end() ? found->second : recorded;  // -1, AT_FDCWD; or one that is not open
}

char* Translation::Address(const void* recorded) const {
  const auto* at = static_cast<const char*>(recorded);
  for (const Area& area : areas) {
    if (at >= area.recorded && at < area.recorded + area.length) {
      return area.here + (at - area.recorded);
    }
  }
  return nullptr;
}

iocb* Translation::RequestFor(const iocb& recorded, const iocb* at) {
  Request& request = requests[at];
  request.control = recorded;
  request.control.aio_fildes = Fd(recorded.aio_fildes);
  request.control.u.c.buf = Address(recorded.u.c.buf);
  if (request.control.u.c.buf == nullptr) {
    request.own = std::make_shared<std::vector<char>>(recorded.u.c.nbytes + 4096);
    const auto start = reinterpret_cast<uintptr_t>(request.own->data());
    request.control.u.c.buf = request.own->data() + ((4096 - start % 4096) % 4096);
  }
  constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD
  if ((recorded.u.c.flags & kResfd) != 0) {
    request.control.u.c.resfd = static_cast<unsigned>(Fd(static_cast<int>(recorded.u.c.resfd)));
  }
  return &request.control;
}

std::string Recording::Text() const {
  std::string text;
  for (const RecordedCall& call : calls) {
    text += std::to_string(call.thread) + " " + std::to_string(call.begin) + "-" +
            std::to_string(call.end) + " " + call.name + " = " + call.result + "\n";
  }
  return text;
}

}  // namespace pollux
