"""A node that asks people in the middle of its work, as an agent asks before it uses a tool."""

from pocketflow import AsyncFlow, AsyncNode

from core.nodes import review


class Agent(AsyncNode):
    name = "agent"

    async def prep_async(self, shared):
        return shared["task_input"]

    async def exec_async(self, prep_res):
        # Up to the answer, all of this runs again: keep effects after it.
        answer = await review({"tool": "send_mail", "to": "team@example.com", "text": prep_res})
        if not answer.is_approved:
            return f"not sent: {answer.comment}"
        return f"sent: {answer.content['text']}"

    async def post_async(self, shared, prep_res, exec_res):
        shared["final_result"] = exec_res


def create_flow():
    return AsyncFlow(start=Agent())
