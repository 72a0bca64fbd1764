#include "core/server/server.h"
#include "core/sys/linux_kernel.h"

int main(int argc, char** argv) {
  pollux::LinuxKernel kernel;
  return pollux::ServerMain(kernel, argc, argv);
}
