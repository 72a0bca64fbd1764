#include "integration/disk/block_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

namespace pollux::disk {
namespace {

constexpr uint32_t kBlockBytes = 4096;
constexpr uint64_t kReadAheadUnit = 512;  // BLKRASET counts in sectors
constexpr int kAttachTries = 16;          // others look for free devices as well

tl::unexpected<Error> Failed(const char* what) { return Err(errno, what); }

Result<int> OpenFree(std::string* path) {
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return Failed("open /dev/loop-control");
  const int number = ioctl(control, LOOP_CTL_GET_FREE);
  const int error = errno;
  close(control);
  if (number < 0) return Err(error, "LOOP_CTL_GET_FREE");
  *path = "/dev/loop" + std::to_string(number);
  const int device = open(path->c_str(), O_RDWR | O_CLOEXEC);
  if (device < 0) return Failed("open a loop device");
  return device;
}

}  // namespace

Result<LoopDevice> LoopDevice::Attach(const std::string& path, uint64_t read_ahead_bytes) {
  const int file = open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (file < 0) return Failed("open the modelled disk");
  loop_config config{};
  config.fd = static_cast<uint32_t>(file);
  config.block_size = kBlockBytes;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  std::string name;
  Result<int> device = Err(EBUSY, "LOOP_CONFIGURE");
  // EBUSY: somebody else was faster.
  for (int i = 0; i < kAttachTries && !device && device.error().code == EBUSY; ++i) {
    device = OpenFree(&name);
    if (!device || ioctl(*device, LOOP_CONFIGURE, &config) == 0) continue;
    const int error = errno;
    close(*device);
    device = Err(error, "LOOP_CONFIGURE");
  }
  close(file);
  if (!device) return Err(device.error());
  LoopDevice attached(*device, name);
  if (ioctl(*device, BLKRASET, read_ahead_bytes / kReadAheadUnit) != 0) return Failed("BLKRASET");
  return attached;
}

LoopDevice::LoopDevice(LoopDevice&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

LoopDevice::~LoopDevice() {
  if (fd_ >= 0) close(fd_);
}

Status MakeExt4(const std::string& device) {
  // Few inodes, and all that describes the file system at its beginning: nothing lies between the
  // pieces of a large file. Not discarded: the disk is all holes as it is.
  std::istringstream text(
      "mkfs.ext4 -q -F -b 4096 -m 0 -N 4096 -G 4096 "
      "-E nodiscard,lazy_itable_init=0,packed_meta_blocks=1 " +
      device);
  std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (const int error =
          posix_spawnp(&child, "mkfs.ext4", nullptr, nullptr, arguments.data(), environ);
      error != 0) {
    return Err(error, "mkfs.ext4");  // ENOENT: e2fsprogs is not installed
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return Failed("waitpid");
  if (status != 0) return Err(EIO, "mkfs.ext4");
  return {};
}

Status MountExt4(const std::string& device, const std::string& point) {
  if (mount(device.c_str(), point.c_str(), "ext4", MS_NOATIME, nullptr) != 0) {
    return Failed("mount of ext4");
  }
  return {};
}

void Unmount(const std::string& point) {
  if (umount2(point.c_str(), 0) != 0) umount2(point.c_str(), MNT_DETACH);
}

}  // namespace pollux::disk
