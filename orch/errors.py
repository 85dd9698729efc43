"""Every error of orch that a person or a program may meet.

The docstring of a class is its default message; `code` is the same thing for a machine;
`suggested_fix` says what to do next. Facts ride along as keyword arguments.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OrchError(Exception):
    """Something in orch went wrong."""

    code: ClassVar[str] = "orch_error"
    fix: ClassVar[str] = "Look at the log of the process that reported this."

    def __init__(self, message: str = "", *, suggested_fix: str = "", **facts: Any) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        self.suggested_fix = suggested_fix or self.fix
        self.facts = facts
        super().__init__(self.message)


class ConfigError(OrchError):
    """The configuration cannot be used."""

    code = "config_invalid"
    fix = "Correct the settings named above, then start again."


class SchemaMismatch(ConfigError):
    """The database schema is not the one this version of orch works with."""

    code = "schema_mismatch"
    fix = "Run `orch db upgrade`, or start the version of orch that matches the database."


class BadInput(OrchError):
    """A value that was given cannot be used."""

    code = "bad_input"
    fix = "Correct the value named above and send it again."


class DoesNotFit(BadInput):
    """A value is well formed, and does not fit how things are."""

    code = "does_not_fit"


class NotFound(OrchError):
    """Nothing of that name is known."""

    code = "not_found"
    fix = "Check the spelling; `orch tasks` lists what is known."


class UnknownTask(NotFound):
    """No task has that work item id."""

    code = "unknown_task"


class UnknownJob(NotFound):
    """No job has that id."""

    code = "unknown_job"


class IllegalTransition(OrchError):
    """The thing is in a state from which this is not possible."""

    code = "illegal_transition"
    fix = "Look at its present state with `orch why`, then decide."


class AlreadyThere(IllegalTransition):
    """Something of that name exists already."""

    code = "already_exists"
    fix = "Choose another name, or work with the one that is there."


class DependencyCycle(IllegalTransition):
    """The dependency would close a cycle, and nothing in a cycle could ever start."""

    code = "dependency_cycle"
    fix = "Remove one of the dependencies in the cycle first."


class LostRace(OrchError):
    """Another process got there first."""

    code = "lost_race"
    fix = "Nothing to do: the other process carries on."


class GateError(OrchError):
    """The serial gate could not be evaluated."""

    code = "gate_error"
    fix = "Run `orch db current`; the log names the clause that failed."


class StoreUnavailable(OrchError):
    """The task store does not answer."""

    code = "store_unavailable"
    fix = "Check that the database is up and that ORCH_DATABASE_URL is right."


class BrokerUnavailable(OrchError):
    """The message broker does not answer."""

    code = "broker_unavailable"
    fix = "Check that Redis is up and that ORCH_BROKER_URL is right; no work is lost meanwhile."


class AgentError(OrchError):
    """The agent's command could not be run."""

    code = "agent_error"
    fix = "Check the agent's `command` in orch.toml."


class GitError(OrchError):
    """Git could not do what was asked."""

    code = "git_error"
    fix = "The message ends with git's own words; look at the repo's remote and the data folder."


class GitTimeout(GitError):
    """Git did not end in its time and was stopped."""

    code = "git_timeout"
    fix = "Nothing to do at first, it is tried again; if it stays, check the way to the remote."


class GitDiskFull(GitError):
    """The disk on which orch keeps its repositories is full."""

    code = "git_disk_full"
    fix = "Make room on the volume of ORCH_DATA_DIR; discarding workspaces of ended tasks helps."


class GitUnreachable(GitError):
    """The repo's remote does not answer, or refuses orch's credentials."""

    code = "git_unreachable"
    fix = "Check the remote's address and orch's access to it: `orch repo check`."


class GitBroken(GitError):
    """A repository that orch keeps on disk is damaged."""

    code = "git_broken"
    fix = "orch makes it anew by itself; if that fails too, check the disk."


class GitMissing(GitError):
    """Something that orch expects in git is not there."""

    code = "git_missing"
    fix = "Look who removed it; cancel the task, or put it back and resume the task."


class GitRefused(GitError):
    """Git was not asked, because the result would not be sound, or the remote said no."""

    code = "git_refused"
    fix = "Put right what the message names, then retry the task."


class GitFenced(GitRefused):
    """A later turn has taken over this task's workspace."""

    code = "git_fenced"
    fix = "Nothing to do: the later turn carries on."


class GitMoved(GitError):
    """A branch is not where it was expected: somebody pushed meanwhile."""

    code = "git_moved"
    fix = "Nothing to do: the work is rebased and tested again."

    @classmethod
    def between(cls, branch: str, expected: str, actual: str) -> GitMoved:
        """Two commits as one branch was expected and found at; `actual` is empty if it is gone."""
        there = actual or "no commit"
        return cls(
            f"{branch} is at {there}, not at {expected}: somebody pushed meanwhile.",
            branch=branch,
            expected=expected,
            actual=actual,
        )


class GitConflict(GitError):
    """The task's commits cannot be carried over to the default branch as it is now."""

    code = "git_conflict"
    fix = "The developer gets the conflicting hunks; nobody else has to do anything."


class GitHeld(GitError):
    """The forge does not merge yet: it waits for a check, a review, or its own queue."""

    code = "git_held"
    fix = "Give the forge what the message names; the landing is tried again by itself."


class TrackerError(OrchError):
    """A tracker could not be read or told."""

    code = "tracker_error"
    fix = "Look at the tracker's address and orch's access to it: `orch doctor`."


class TrackerUnavailable(TrackerError):
    """A tracker does not answer, or asks for patience."""

    code = "tracker_unavailable"
    fix = "Nothing to do at first, it is asked again; if it stays, check the way to the tracker."


class TrackerRefused(TrackerError):
    """A tracker says no, and will go on saying so until a person acts."""

    code = "tracker_refused"
    fix = "Put right what the message names, then run `orch doctor`."


class TrackerGone(TrackerRefused):
    """The item is not in the tracker any more."""

    code = "tracker_gone"
    fix = "Nothing to do: what was to be told about it is dropped."


class Unauthorised(OrchError):
    """No valid token came with the request."""

    code = "unauthorised"
    fix = "Send `Authorization: Bearer <token>`; an admin makes one with `orch token add`."


class Forbidden(OrchError):
    """The token's role does not allow this."""

    code = "forbidden"
    fix = "Ask for a token with the role named above."


class TooManyTries(OrchError):
    """This was tried too often in a short time."""

    code = "too_many_tries"
    fix = "Wait as long as the Retry-After header says; nobody is locked out for good."


class ChannelError(OrchError):
    """A notice could not be sent."""

    code = "channel_error"
    fix = "Correct the channel's settings, then run `orch notify test`."


class ChannelUnavailable(ChannelError):
    """The receiver of notices does not answer, or is too busy."""

    code = "channel_unavailable"
    fix = "Nothing to do at first, it is tried again; if it stays, check the way to the receiver."


class ChannelRefused(ChannelError):
    """The receiver of notices said no."""

    code = "channel_refused"
