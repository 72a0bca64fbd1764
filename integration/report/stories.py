"""The found defects as drawings: what each is, and which of its steps matter."""

import dataclasses

import lanes


@dataclasses.dataclass(frozen=True)
class Story:
    title: str
    text: str
    first: str   # the step that the drawing begins with
    hidden: str  # steps that say nothing here, as a pattern

    def shown(self, timeline, number):
        return {"title": self.title, "text": self.text,
                "verdict": f"{timeline['oracle']}: {timeline['text']}",
                "commands": timeline["commands"],
                "picture": lanes.drawing(timeline, number, f"{self.title}: {timeline['oracle']}, "
                                         f"{timeline['text']}", self.hidden, self.first),
                "steps": lanes.as_list(timeline, self.hidden, self.first)}


_STORIES = {
    "lost-wake-up": Story(
        "The lost wake-up",
        "The completion is there and the helper says so with SIGUSR1, but the main thread has "
        "looked already and has not gone to sleep yet. The empty handler runs, nobody remembers, and "
        "poll() sleeps until its time-out with the result at hand.",
        "pthread_create", r"pthread_sigmask|mutex (un)?lock|word .*"),
    "kick-that-never-lands": Story(
        "The kick that never lands",
        "A client has sent something, and the main thread means to wake the helper. But kill() "
        "with its own process number is offered to the main thread first: it kicks itself, and the "
        "helper sleeps on.",
        "pthread_create", r"pthread_sigmask|mutex (un)?lock|word .*"),
    "foreign-signal": Story(
        "A foreign signal",
        "Any signal ends poll() with EINTR, and the loop of 2006 takes each for the helper's kick. "
        "It goes to fetch a result that nobody has announced, and needs the mutex that the helper "
        "holds in io_getevents(): everything stands still until the read is complete.",
        "pthread_create", r"pthread_sigmask|mutex unlock|word .*"),
    "early-reuse": Story(
        "The buffer that is used again",
        "sendfile() has handed the socket references of the buffer's pages. The next read goes "
        "into the same pages while the client has not taken the last ones: what it gets is not what was "
        "sent.",
        "client asks",
        r"mutex .*|word .*|condvar .*|epoll_ctl|pthread_sigmask|eventfd.*|fstat|statx"),
}


def drawn(document):
    """A drawing for each timeline of validate.json; none is a part that was not measured."""
    timelines = document.get("timelines") or []
    if not timelines:
        return [{"title": "Timelines", "problem": "", "command": "ci/validate"}]
    return [_STORIES.get(timeline["name"], Story(timeline["name"], timeline["text"], "", ""))
            .shown(timeline, number) for number, timeline in enumerate(timelines)]
