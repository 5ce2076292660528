"""What core asks of the world, and the stored things that front ends may ask for.

Each is imported from here; where they stand is for readers:
    store.py                        what the service asks of the store
    engines.py clock.py             what runs tasks, and its part of the store; the time
    channels.py listeners.py        who is told, and their parts of the store
    leases.py                       what only one replica does at a time
    chats.py access.py health.py    what front ends ask of the store
    backups.py                      a copy of all of it
"""

from __future__ import annotations

from core.ports.access import Credentials, Secrets
from core.ports.backups import Backup, BackupStore
from core.ports.channels import Channel, DeliveryStore, TakesOver
from core.ports.chats import ChatInbox, Dialogs
from core.ports.clock import Alarm, Clock, TimeStore
from core.ports.engines import (
    CallStore,
    Engine,
    FlowStore,
    Others,
    Processor,
    Runner,
    SegmentStore,
    Sequel,
    SharedWorkStore,
    StepStore,
    TimerStore,
    WorkStore,
)
from core.ports.health import Health
from core.ports.leases import Held, LeaseStore, Turns
from core.ports.listeners import EventStore, Listener, Observer
from core.ports.store import (
    CheckpointStore,
    DelegationStore,
    LookingStore,
    OpenReviewStore,
    QuestionStore,
    Store,
)

__all__ = [
    "Alarm",
    "Backup",
    "BackupStore",
    "CallStore",
    "Channel",
    "ChatInbox",
    "CheckpointStore",
    "Clock",
    "Credentials",
    "DelegationStore",
    "DeliveryStore",
    "Dialogs",
    "Engine",
    "EventStore",
    "FlowStore",
    "Health",
    "Held",
    "LeaseStore",
    "Listener",
    "LookingStore",
    "Observer",
    "OpenReviewStore",
    "Others",
    "Processor",
    "QuestionStore",
    "Runner",
    "Secrets",
    "SegmentStore",
    "Sequel",
    "SharedWorkStore",
    "StepStore",
    "Store",
    "TakesOver",
    "TimeStore",
    "TimerStore",
    "Turns",
    "WorkStore",
]
