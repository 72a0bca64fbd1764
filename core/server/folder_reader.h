// Reads a folder for its listing: what is in it, and of each entry size and date. Everything here
// may wait for the disk.
//
// Listed is what a request would be answered with: regular files and folders, and what a symbolic
// link leads to as --symlinks has it, under the link's name. Left out are names that begin with a
// dot (who knows them can ask for them), links that are not followed or lead nowhere, FIFOs,
// sockets and devices, and what vanished meanwhile.
//
// Threads: any one at a time; ends on the loop thread, where the folder's permit is returned.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/aio/open_file.h"
#include "core/base/units.h"
#include "core/server/folder_names.h"

namespace pollux {

class FolderReader {
 public:
  // One getdents64(2) at most; of the shortest names more than a thousand.
  static constexpr size_t kReadBytes = 32_KiB;

  struct Details {
    bool folder = false;
    uint64_t size = 0;     // bytes
    int64_t modified = 0;  // seconds since the epoch
  };

  // `folder` was opened as `path`, relative to `root`, "." or with a slash at its end.
  FolderReader(std::shared_ptr<OpenFile> folder, int root, std::string path, Symlinks symlinks);

  // What the next read gives, sorted; perhaps nothing to be listed. False at the end. ENOENT if the
  // folder was deleted, EMFILE and ENFILE for the lack of a descriptor, EIO, ENOMEM.
  Result<bool> ReadBlock(Kernel& kernel, NameBlock& block);

  // Nothing for what is not listed. Errors are those of the machine, not of the entry: EIO, ENOMEM,
  // EMFILE, ENFILE.
  Result<std::optional<Details>> Look(Kernel& kernel, std::string_view name);

 private:
  Status OpenOwn(Kernel& kernel);
  Status Take(Kernel& kernel, std::string_view name, unsigned char type, NameBlock& block);
  Result<std::optional<Details>> LookThrough(Kernel& kernel);

  std::shared_ptr<OpenFile> folder_;  // to the end: its permit counts own_, too
  Fd own_;
  const int root_;
  const std::string path_;
  const Symlinks symlinks_;
  std::string name_;  // the entry that is looked at, for its NUL
};

}  // namespace pollux
