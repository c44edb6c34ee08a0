"""Anonymous resident memory of a process, and the most of it, sampled every ten milliseconds, which costs no more than a percent of a core: what benchmarks compare."""

import json
import subprocess
import threading
import time


def anonymous(process="self"):
    """Bytes, or None of a process that has ended."""
    try:
        with open(f"/proc/{process}/status") as f:
            for line in f:
                if line.startswith("RssAnon"):
                    return int(line.split()[1]) * 1024
    except (OSError, ProcessLookupError):
        pass
    return None


class PeakMemory:
    """Watches a process, this one unless given, in a thread, from `with` on to its end or to the process' end."""

    def __init__(self, process="self"):
        self.process, self.bytes, self.running = process, 0, True
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while self.running:
            found = anonymous(self.process)
            if found is None:
                return
            self.bytes = max(self.bytes, found)
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()


def run_moert(command, env=None):
    """`moert bench ... --json`, watched from outside: what it printed, and the peak of its memory in bytes."""
    process = subprocess.Popen([*map(str, command), "--json"], stdout=subprocess.PIPE, text=True, env=env)
    with PeakMemory(process.pid) as peak:
        out = json.loads(process.communicate()[0])
    return out, peak.bytes
