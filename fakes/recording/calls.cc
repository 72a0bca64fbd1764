#include "fakes/recording/calls.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "fakes/recording/recording_text.h"

namespace pollux::recorded {
namespace {

// From the arguments, of which all are taken at once, to the call. `threads` as in Make().
using Maker = Again (*)(const Arguments& a, int threads);
struct Known {
  std::string_view name;
  Maker make;
};

const sigset_t* Pointer(const std::optional<sigset_t>& mask) { return mask ? &*mask : nullptr; }
const timespec* Pointer(const std::optional<timespec>& time) { return time ? &*time : nullptr; }

int Entries(const Arguments& a, const char* name) { return a.Int(name, 1, Arguments::kEntriesMax); }
int ThreadOf(const Arguments& a, int threads) { return a.Int("thread", 0, threads - 1); }

// A call that moves bytes into memory of the caller's; `flags` as the run had them, if it has any.
Again Filling(const Arguments& a, int flags,
              Result<size_t> (*call)(Kernel&, int fd, char* buf, size_t count, int flags)) {
  return [=, fd = a.Int("fd"), count = a.Size("count")](Translation& t) {
    std::vector<char> bytes(count);
    const auto got = call(t.kernel, t.Fd(fd), bytes.data(), count, flags);
    return Text(got, bytes.data());
  };
}

// One that makes a descriptor, which the run knew as "made".
Again Opening(const Arguments& a, std::function<Result<int>(Translation&)> call) {
  return [=, made = a.Int("made")](Translation& t) { return New(t, made, call(t)); };
}

constexpr Known kFiles[] = {
    {"openat",
     [](const Arguments& a, int) {
       return Opening(a, [dir = a.Int("dirfd"), path = a.Bytes("path"), flags = a.Int("flags"),
                          mode = a.Unsigned("mode")](Translation& t) {
         return t.kernel.openat(t.Fd(dir), path.c_str(), flags, mode);
       });
     }},
    {"close",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd")](Translation& t) { return Text(t.kernel.close(t.Fd(fd))); };
     }},
    {"read",
     [](const Arguments& a, int) {
       return Filling(a, 0, [](Kernel& kernel, int fd, char* buf, size_t count, int) {
         return kernel.read(fd, buf, count);
       });
     }},
    {"write",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd"), bytes = a.Bytes("bytes")](Translation& t) {
         return Text(t.kernel.write(t.Fd(fd), bytes.data(), bytes.size()));
       };
     }},
    {"memfd_create",
     [](const Arguments& a, int) {
       return Opening(a, [flags = a.Unsigned("flags")](Translation& t) {
         return t.kernel.memfd_create("", flags);
       });
     }},
    {"ftruncate",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd"), length = a.Long("length", 0, Arguments::kBytesMax)](
                  Translation& t) { return Text(t.kernel.ftruncate(t.Fd(fd), length)); };
     }},
    {"fallocate",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd"), mode = a.Int("mode"), offset = a.Offset("offset"),
               length = a.Offset("length")](Translation& t) {
         return Text(t.kernel.fallocate(t.Fd(fd), mode, offset, length));
       };
     }},
    {"mmap",
     [](const Arguments& a, int) -> Again {
       return [length = a.Size("length"), prot = a.Int("prot"), flags = a.Int("flags"),
               fd = a.Int("fd"), offset = a.Long("offset", 0, Arguments::kBytesMax),
               made = a.Address("made")](Translation& t) {
         const auto again = t.kernel.mmap(nullptr, length, prot, flags, t.Fd(fd), offset);
         if (!again) return ErrnoName(again.error().code);
         t.areas.push_back({made, static_cast<char*>(*again), length});
         return std::string(kAddress);
       };
     }},
    {"munmap",
     [](const Arguments& a, int) -> Again {
       return [address = a.Address("address"), length = a.Size("length")](Translation& t) {
         char* here = t.Address(address, length);
         if (here == nullptr) return std::string("no such mapping");
         std::erase_if(t.areas, [&](const auto& area) { return area.here == here; });
         return Text(t.kernel.munmap(here, length));
       };
     }},
};

constexpr Known kSockets[] = {
    {"socket",
     [](const Arguments& a, int) {
       return Opening(
           a, [domain = a.Int("domain"), type = a.Int("type"), protocol = a.Int("protocol")](
                  Translation& t) { return t.kernel.socket(domain, type, protocol); });
     }},
    {"listen",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd"), backlog = a.Int("backlog")](Translation& t) {
         return Text(t.kernel.listen(t.Fd(fd), backlog));
       };
     }},
    {"accept4",
     [](const Arguments& a, int) {
       return Opening(a, [fd = a.Int("fd"), flags = a.Int("flags")](Translation& t) {
         return t.kernel.accept4(t.Fd(fd), nullptr, nullptr, flags);
       });
     }},
    {"recv",
     [](const Arguments& a, int) {
       return Filling(a, a.Int("flags"),
                      [](Kernel& kernel, int fd, char* buf, size_t count, int flags) {
                        return kernel.recv(fd, buf, count, flags);
                      });
     }},
    {"send",
     [](const Arguments& a, int) -> Again {
       return [fd = a.Int("fd"), bytes = a.Bytes("bytes"), flags = a.Int("flags")](Translation& t) {
         return Text(t.kernel.send(t.Fd(fd), bytes.data(), bytes.size(), flags));
       };
     }},
    {"sendfile",
     [](const Arguments& a, int) -> Again {
       return [out = a.Int("out_fd"), in = a.Int("in_fd"), offset = a.Offset("offset"),
               count = a.Size("count")](Translation& t) {
         off_t at = offset;
         return Text(t.kernel.sendfile(t.Fd(out), t.Fd(in), &at, count));
       };
     }},
    {kPeerConnects,
     [](const Arguments&, int) -> Again {
       return [](Translation& t) { return t.peer_connects() ? "0" : "ECONNREFUSED"; };
     }},
    {kPeerSends,
     [](const Arguments& a, int) -> Again {
       return [bytes = a.Bytes("bytes")](Translation& t) {
         return std::to_string(t.peer_sends(bytes));
       };
     }},
    {kPeerTakes,
     [](const Arguments& a, int) -> Again {
       return [count = a.Size("count")](Translation& t) {
         const std::string bytes = t.peer_takes(count);
         return Text(Result<size_t>(bytes.size()), bytes.data());
       };
     }},
};

constexpr Known kWaits[] = {
    {"epoll_create1",
     [](const Arguments& a, int) {
       return Opening(
           a, [flags = a.Int("flags")](Translation& t) { return t.kernel.epoll_create1(flags); });
     }},
    {"epoll_ctl",
     [](const Arguments& a, int) -> Again {
       return [epfd = a.Int("epfd"), op = a.Int("op"), fd = a.Int("fd"),
               events = a.Unsigned("events"), data = a.Address("data")](Translation& t) {
         epoll_event wanted{};
         wanted.events = events;
         wanted.data.u64 = data;
         return Text(t.kernel.epoll_ctl(t.Fd(epfd), op, t.Fd(fd), &wanted));
       };
     }},
    {"epoll_pwait",
     [](const Arguments& a, int) -> Again {
       return [epfd = a.Int("epfd"), most = Entries(a, "maxevents"), timeout = a.Int("timeout_ms"),
               mask = a.Mask("sigmask")](Translation& t) {
         std::vector<epoll_event> found(static_cast<size_t>(most));
         const auto count =
             t.kernel.epoll_pwait(t.Fd(epfd), found.data(), most, timeout, Pointer(mask));
         return Text(count, found.data());
       };
     }},
    {"poll",
     [](const Arguments& a, int) -> Again {
       return [asked = a.Polls("fds"), timeout = a.Int("timeout_ms")](Translation& t) {
         std::vector<pollfd> entries = asked;
         for (pollfd& one : entries) one.fd = t.Fd(one.fd);
         const auto count = t.kernel.poll(entries.data(), entries.size(), timeout);
         return Text(count, entries.data(), entries.size());
       };
     }},
    {"ppoll",
     [](const Arguments& a, int) -> Again {
       return [asked = a.Polls("fds"), timeout = a.Timeout("timeout_ns"),
               mask = a.Mask("sigmask")](Translation& t) {
         std::vector<pollfd> entries = asked;
         for (pollfd& one : entries) one.fd = t.Fd(one.fd);
         const auto count =
             t.kernel.ppoll(entries.data(), entries.size(), Pointer(timeout), Pointer(mask));
         return Text(count, entries.data(), entries.size());
       };
     }},
    {"eventfd",
     [](const Arguments& a, int) {
       return Opening(a, [value = a.Unsigned("initval"), flags = a.Int("flags")](Translation& t) {
         return t.kernel.eventfd(value, flags);
       });
     }},
    {"io_setup",
     [](const Arguments& a, int) -> Again {
       return [most = Entries(a, "nr_events"), made = a.Address("made")](Translation& t) {
         const auto again = t.kernel.io_setup(static_cast<unsigned>(most));
         if (!again) return ErrnoName(again.error().code);
         t.contexts[made] = *again;
         return std::string(kContext);
       };
     }},
    {"io_destroy",
     [](const Arguments& a, int) -> Again {
       return [context = a.Address("context")](Translation& t) {
         return Text(t.kernel.io_destroy(t.Context(context)));
       };
     }},
    {"io_submit",
     [](const Arguments& a, int) -> Again {
       return [context = a.Address("context"), asked = a.Requests("requests")](Translation& t) {
         std::vector<iocb*> batch;
         for (const auto& [at, request] : asked) batch.push_back(t.RequestFor(request, at));
         const auto count = static_cast<long>(batch.size());
         return Text(t.kernel.io_submit(t.Context(context), count, batch.data()));
       };
     }},
    {"io_getevents",
     [](const Arguments& a, int) -> Again {
       return [context = a.Address("context"), most = Entries(a, "nr"),
               least = a.Int("min_nr", 0, Arguments::kEntriesMax),
               timeout = a.Timeout("timeout_ns")](Translation& t) {
         std::vector<io_event> found(static_cast<size_t>(most));
         const auto count =
             t.kernel.io_getevents(t.Context(context), least, most, found.data(), Pointer(timeout));
         return Text(count, found.data());
       };
     }},
    {"io_pgetevents",
     [](const Arguments& a, int) -> Again {
       return [context = a.Address("context"), most = Entries(a, "nr"),
               least = a.Int("min_nr", 0, Arguments::kEntriesMax),
               timeout = a.Timeout("timeout_ns"), mask = a.Mask("sigmask")](Translation& t) {
         std::vector<io_event> found(static_cast<size_t>(most));
         const auto count = t.kernel.io_pgetevents(t.Context(context), least, most, found.data(),
                                                   Pointer(timeout), Pointer(mask));
         return Text(count, found.data());
       };
     }},
};

// A handler of the run has no business in another one.
struct sigaction ActionOf(const Arguments& a) {
  struct sigaction act {};
  const std::string handler = a.Word("handler");
  if (handler == kIgnored) {
    act.sa_handler = SIG_IGN;
  } else if (handler == kDefault) {
    act.sa_handler = SIG_DFL;
  } else if (handler == kHandled) {
    act.sa_handler = [](int) {};
  } else {
    throw WrongArgument{"\"handler\" is none of: ignored, default, handled"};
  }
  act.sa_flags = a.Int("flags");
  if (const auto mask = a.Mask("mask")) act.sa_mask = *mask;
  return act;
}

constexpr Known kSignalsAndThreads[] = {
    {"sigaction",
     [](const Arguments& a, int) -> Again {
       return [signum = a.Int("signum"), act = ActionOf(a)](Translation& t) {
         return Text(t.kernel.sigaction(signum, act));
       };
     }},
    {"pthread_sigmask",
     [](const Arguments& a, int) -> Again {
       return [how = a.Int("how"), set = a.Mask("set").value_or(sigset_t{})](Translation& t) {
         return Text(t.kernel.pthread_sigmask(how, set, nullptr));
       };
     }},
    {"kill",
     [](const Arguments& a, int) -> Again {
       return [signum = a.Int("signum")](Translation& t) {
         return Text(t.kernel.kill(t.kernel.getpid(), signum));
       };
     }},
    {"tgkill",
     [](const Arguments& a, int threads) -> Again {
       return [thread = ThreadOf(a, threads), signum = a.Int("signum")](Translation& t) {
         const auto found = t.tids.find(thread);
         if (found == t.tids.end()) return std::string("no such thread");
         return Text(t.kernel.tgkill(t.kernel.getpid(), found->second, signum));
       };
     }},
    {"thread_create",
     [](const Arguments& a, int threads) -> Again {
       return [thread = ThreadOf(a, threads)](Translation& t) {
         if (t.threads.contains(thread) || thread == 0) return std::string("made already");
         const auto made = t.spawn(thread);
         if (!made) return ErrnoName(made.error().code);
         t.threads[thread] = *made;
         return std::string(kThread);
       };
     }},
    {"thread_join",
     [](const Arguments& a, int threads) -> Again {
       return [thread = ThreadOf(a, threads)](Translation& t) {
         const auto found = t.threads.find(thread);
         if (found == t.threads.end() || !found->second) return std::string("no such thread");
         t.kernel.thread_join(*std::exchange(found->second, std::nullopt));
         return std::string("0");
       };
     }},
};

}  // namespace

Again Make(const std::string& name, const Arguments& arguments, int threads) {
  for (const std::span<const Known> calls :
       {std::span<const Known>(kFiles), {kSockets}, {kWaits}, {kSignalsAndThreads}}) {
    const auto found = std::find_if(calls.begin(), calls.end(),
                                    [&](const Known& known) { return known.name == name; });
    if (found != calls.end()) return found->make(arguments, threads);
  }
  throw WrongArgument{"no call \"" + name + "\" is known"};
}

}  // namespace pollux::recorded
