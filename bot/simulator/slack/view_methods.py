"""Simulated views.*: dialogs and the App Home, as docs.slack.dev/reference/methods describes each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.simulator.slack import limits
from bot.simulator.slack.method import Args, Method
from bot.simulator.slack.pace import TIER_4
from bot.simulator.slack.workspace import SlackError, Workspace

if TYPE_CHECKING:
    from bot.simulator.slack.model import Body, View


def open_view(workspace: Workspace, args: Args) -> Body:
    trigger = workspace.exchange_trigger(args.required("trigger_id"))
    body = _view(workspace, args)
    return {"view": view_json(workspace, workspace.push_view(workspace.new_view(trigger.user, body)))}


def push(workspace: Workspace, args: Args) -> Body:
    trigger = workspace.exchange_trigger(args.required("trigger_id"))
    stack = workspace.stacks.get(trigger.user, [])
    if trigger.view is None or not stack:
        raise SlackError("not_found")
    if len(stack) >= limits.MODAL_STACK:
        raise SlackError("push_limit_reached")
    view = workspace.new_view(trigger.user, _view(workspace, args), below=stack[-1])
    return {"view": view_json(workspace, workspace.push_view(view))}


def update(workspace: Workspace, args: Args) -> Body:
    old = workspace.find_view(args.text("view_id"), args.text("external_id"))
    _compare_hash(old, args)
    body = _view(workspace, args, replaced=old)
    return {"view": view_json(workspace, workspace.put_view(workspace.changed_view(old, body)))}


def publish(workspace: Workspace, args: Args) -> Body:
    user = workspace.user(args.required("user_id"), "invalid_arguments")
    old = workspace.homes.get(user.id)
    if old is not None:
        _compare_hash(old, args)
    body = _view(workspace, args, replaced=old)
    view = workspace.new_view(user.id, body) if old is None else workspace.changed_view(old, body)
    return {"view": view_json(workspace, workspace.put_view(view))}


def checked_view(body: object) -> Body:
    """A view that Slack would show; raises what views.open answers to any other."""
    if not isinstance(body, dict):
        raise SlackError("invalid_arguments")
    if limits.is_view_too_large(body):
        raise SlackError("view_too_large")
    problems = limits.view_problems(body)
    if problems:
        messages = ["[ERROR] failed to match all allowed schemas [json-pointer:/view]"]
        messages += [f"[ERROR] {problem}" for problem in problems]
        raise SlackError("invalid_arguments", response_metadata={"messages": messages})
    return body


def view_json(workspace: Workspace, view: View, values: Body | None = None) -> Body:
    """A view as Slack shows it; `values` is the state of its inputs."""
    shown: dict[str, Any] = {
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        "clear_on_close": False,
        "notify_on_close": False,
        "title": None,
        "submit": None,
        "close": None,
        **view.body,
    }
    return shown | {
        "id": view.id,
        "team_id": workspace.team_id,
        "app_id": workspace.app_id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.bot_id,
        "hash": view.hash,
        "root_view_id": view.root,
        "previous_view_id": view.previous,
        "state": {"values": values or {}},
    }


def _view(workspace: Workspace, args: Args, *, replaced: View | None = None) -> Body:
    body = checked_view(args.json("view"))
    external_id = body.get("external_id")
    if external_id and _is_taken(workspace, external_id, replaced):
        raise SlackError("duplicate_external_id")
    return body


def _is_taken(workspace: Workspace, external_id: str, replaced: View | None) -> bool:
    try:
        return workspace.find_view(None, external_id) is not replaced
    except SlackError:
        return False


def _compare_hash(view: View, args: Args) -> None:
    if "hash" in args and args.text("hash") != view.hash:
        raise SlackError("hash_conflict")


METHODS = {
    "views.open": Method(call=open_view, rate=TIER_4),
    "views.push": Method(call=push, rate=TIER_4),
    "views.update": Method(call=update, rate=TIER_4),
    "views.publish": Method(call=publish, rate=TIER_4),
}
