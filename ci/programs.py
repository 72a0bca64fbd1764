"""Programs that a command of ci/ runs, several at once, and that Ctrl-C ends with all they started."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import threading


class Programs:
    """Those under way. After stop(), run() and run_logged() raise KeyboardInterrupt."""

    def __init__(self):
        self._running = set()
        self._lock = threading.Lock()
        self.stopped = False

    def run(self, command, cwd=None, environment=None, timeout=None):
        """Its status and what it wrote to standard output and standard error. What takes longer than
        `timeout` seconds is killed."""
        with self._begun(command, cwd, environment, subprocess.PIPE, subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
        return process.returncode, out, err

    def run_logged(self, command, log, cwd=None, environment=None):
        """Its status and the CPU seconds that it took; what it writes goes to the file `log`."""
        with open(log, "wb") as out, self._begun(command, cwd, environment, out,
                                                 subprocess.STDOUT) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_utime + usage.ru_stime

    def side_by_side(self, function, items, jobs):
        """function(item) of each, in order, at most `jobs` at a time; if one raises, all end."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            try:
                return list(pool.map(function, items))
            except BaseException:
                self.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def stop(self):
        with self._lock:
            self.stopped = True
            for process in self._running:  # each the leader of its group: the compilers as well
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def _begun(self, command, cwd, environment, out, err):
        with self._lock:
            if self.stopped:
                raise KeyboardInterrupt
            process = subprocess.Popen(command, cwd=cwd, env=environment, text=True,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                       start_new_session=True)
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
        if self.stopped:
            raise KeyboardInterrupt
