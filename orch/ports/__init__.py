"""What orch needs from the outside, in orch's words: at most five verbs a port.

An adapter implements a port and translates the errors of its world into `orch.errors`.
"""

from orch.ports.agents import (
    Adapter as Adapter,
)
from orch.ports.agents import (
    AgentCommand as AgentCommand,
)
from orch.ports.agents import (
    AgentResult as AgentResult,
)
from orch.ports.agents import (
    AgentRunner as AgentRunner,
)
from orch.ports.agents import (
    AgentWork as AgentWork,
)
from orch.ports.agents import (
    Ending as Ending,
)
from orch.ports.agents import (
    Sandbox as Sandbox,
)
from orch.ports.agents import (
    StopReason as StopReason,
)
from orch.ports.agents import (
    Watch as Watch,
)
from orch.ports.commands import (
    RepoCommand as RepoCommand,
)
from orch.ports.commands import (
    RepoCommands as RepoCommands,
)
from orch.ports.commands import (
    RepoWork as RepoWork,
)
from orch.ports.doorbell import Claim as Claim
from orch.ports.doorbell import JobQueue as JobQueue
from orch.ports.forge import (
    Forge as Forge,
)
from orch.ports.forge import (
    Landed as Landed,
)
from orch.ports.forge import (
    Mark as Mark,
)
from orch.ports.forge import (
    MarkState as MarkState,
)
from orch.ports.forge import (
    Outlook as Outlook,
)
from orch.ports.forge import (
    Pull as Pull,
)
from orch.ports.forge import (
    PullState as PullState,
)
from orch.ports.forge import (
    Showing as Showing,
)
from orch.ports.pulls import (
    Message as Message,
)
from orch.ports.pulls import (
    Page as Page,
)
from orch.ports.pulls import (
    Preparing as Preparing,
)
from orch.ports.pulls import (
    PullRequests as PullRequests,
)
from orch.ports.tracker import (
    Item as Item,
)
from orch.ports.tracker import (
    Phase as Phase,
)
from orch.ports.tracker import (
    Priority as Priority,
)
from orch.ports.tracker import (
    Readiness as Readiness,
)
from orch.ports.tracker import (
    Remark as Remark,
)
from orch.ports.tracker import (
    StateGroup as StateGroup,
)
from orch.ports.tracker import (
    Telling as Telling,
)
from orch.ports.tracker import (
    Tracker as Tracker,
)
from orch.ports.workspaces import (
    Change as Change,
)
from orch.ports.workspaces import (
    Commit as Commit,
)
from orch.ports.workspaces import (
    Cut as Cut,
)
from orch.ports.workspaces import (
    DiskUse as DiskUse,
)
from orch.ports.workspaces import (
    Rebased as Rebased,
)
from orch.ports.workspaces import (
    Remote as Remote,
)
from orch.ports.workspaces import (
    Tree as Tree,
)
from orch.ports.workspaces import (
    Turn as Turn,
)
from orch.ports.workspaces import (
    Upkeep as Upkeep,
)
from orch.ports.workspaces import (
    Workspaces as Workspaces,
)
