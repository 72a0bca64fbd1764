// The whole program: one server, or a supervisor and its workers.
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "core/server/server.h"
#include "core/server/supervisor.h"

namespace pollux {
namespace {

void WriteAll(Kernel& kernel, int fd, std::string_view text) {
  while (!text.empty()) {
    const Result<size_t> written = kernel.write(fd, text.data(), text.size());
    // EINTR: nothing was written. Anything else (EPIPE, ENOSPC) leaves nobody to tell.
    if (!written && written.error().code == EINTR) continue;
    if (!written || *written == 0) return;
    text.remove_prefix(*written);
  }
}

int Refused(Kernel& kernel, const std::string& why) {
  WriteAll(kernel, STDERR_FILENO, "pollux: " + InOneLine(why) + "\n");
  return 2;
}

int RunToTheEnd(Kernel& kernel, Server& server) {
  if (Status s = server.Run(); !s) {
    WriteAll(kernel, STDERR_FILENO, "pollux: " + ToString(s.error()) + "\n");
    return 1;
  }
  return 0;
}

class ServerWorkers final : public WorkerBody {
 public:
  ServerWorkers(Kernel& kernel, Server& server) : kernel_(kernel), server_(server) {}

  int RunWorker(size_t index, int control) override {
    server_.BecomeWorker(index, control);
    if (std::optional<std::string> failure = server_.Build()) return Refused(kernel_, *failure);
    return RunToTheEnd(kernel_, server_);
  }
  void OnWorkersReady() override { server_.Announce(); }
  void OnWorkersDrain() override { server_.CloseSockets(); }

 private:
  Kernel& kernel_;
  Server& server_;
};

}  // namespace

int ServerMain(Kernel& kernel, int argc, const char* const* argv) {
  ParsedArguments arguments = ParseArguments(argc, argv);
  if (arguments.config) return ServerMain(kernel, std::move(*arguments.config));
  OccupyStandardDescriptors(kernel);
  WriteAll(kernel, arguments.exit_status == 0 ? STDOUT_FILENO : STDERR_FILENO, arguments.text);
  return arguments.exit_status;
}

int ServerMain(Kernel& kernel, Config config) {
  OccupyStandardDescriptors(kernel);
  Server server(kernel, std::move(config));
  if (std::optional<std::string> failure = server.Acquire()) return Refused(kernel, *failure);
  if (server.config().workers > 1) {
    ServerWorkers workers(kernel, server);
    return Supervisor(kernel, server.log(), workers, server.config().workers).Run();
  }
  if (std::optional<std::string> failure = server.Build()) return Refused(kernel, *failure);
  server.Announce();
  return RunToTheEnd(kernel, server);
}

}  // namespace pollux
