// The mount namespace in which a modelled disk lives (mount_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <initializer_list>

#include "core/base/result.h"

namespace pollux::disk {

// Mounts made from here on are seen by this process and its children only.
Status EnterPrivateMounts();

// pidfd_open(2): readable once the process has ended; -1 if it has before.
int OpenProcess(pid_t pid);

// Kills every process in this one's mount namespace but itself and those that are `spared`, and
// returns when they are gone, or after ten seconds: a loop device is busy as long as one of them
// has a file or a working folder on it. That a process has left its parents, its session and its
// process group does not help it.
void EndOthers(std::initializer_list<pid_t> spared);

}  // namespace pollux::disk
